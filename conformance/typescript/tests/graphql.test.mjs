// A run as the original's web page reads it: its list, its trace, what started it, and what each span gave.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";
import { define } from "../apps/graphql.mjs";

let app;
before(async () => {
  app = await startApp("ts-graphql", define);
});
after(() => app?.stop());

const SPAN = `name status attempts isRoot parentSpanID spanID runID stepID startedAt endedAt duration outputID stepOp stepType
  metadata { scope kind values updatedAt } isUserland
  stepInfo { __typename
    ... on InvokeStepInfo { triggeringEventID functionID timeout returnEventID runID timedOut }
    ... on SleepStepInfo { sleepUntil }
    ... on WaitForEventStepInfo { eventName expression timeout foundEventID timedOut }
    ... on RunStepInfo { type } }`;
const RUN = `query ($runID: String!) {
  run(runID: $runID) { id status output traceID isBatch batchCreatedAt cronSchedule endedAt hasAI
    function { id name slug app { id externalID name } }
    trace(preview: true) { ${SPAN} childrenSpans { ${SPAN} childrenSpans { ${SPAN} } } } }
  runTrigger(runID: $runID) { eventName IDs timestamp payloads isBatch batchID cron } }`;
const OUTPUT = `query ($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { name message stack cause } } }`;
const RUNS = `query ($from: Time!, $query: String) {
  runs(first: 10, filter: { from: $from, query: $query, timeField: QUEUED_AT }, orderBy: [{ field: QUEUED_AT, direction: DESC }], preview: true) {
    edges { cursor node { id status traceID queuedAt startedAt endedAt } } pageInfo { startCursor endCursor hasNextPage } totalCount(preview: true) } }`;

async function ask(query, variables) {
  const { status, body } = await app.call("POST", "/v0/gql", { query, variables });
  assert.equal(status, 200);
  assert.equal(body.errors, undefined, JSON.stringify(body.errors));
  return body.data;
}
const output = async (span) => (await ask(OUTPUT, { id: span.outputID })).runTraceSpanOutputByID;
const child = (span, name) => span.childrenSpans.find((one) => one.name === name);

test("a run that went well, with every kind of step", async () => {
  const sent = await app.run("graphql/works", { number: 20 });
  const { run, runTrigger } = await ask(RUN, { runID: sent.run_id });
  assert.equal(run.status, "COMPLETED");
  assert.deepEqual(JSON.parse(run.output), { doubled: 42, missed: null });
  assert.equal(run.function.slug, "ts-graphql-works");
  assert.equal(run.function.app.externalID, "ts-graphql");
  assert.deepEqual([run.isBatch, run.batchCreatedAt, run.cronSchedule, run.hasAI], [false, null, null, false]);

  const root = run.trace;
  assert.deepEqual([root.isRoot, root.parentSpanID, root.status, root.runID], [true, null, "COMPLETED", sent.run_id]);
  assert.deepEqual(root.childrenSpans.map((span) => span.name), ["count", "nap", "double", "missed", "function success"]);
  for (const span of root.childrenSpans) {
    assert.equal(span.parentSpanID, root.spanID, span.name);
    assert.equal(span.status, "COMPLETED", span.name);
    assert.ok(Date.parse(span.endedAt) >= Date.parse(span.startedAt), span.name);
    assert.deepEqual([span.isUserland, span.metadata], [false, []], span.name);
  }
  const [count, nap, double, missed, end] = root.childrenSpans;
  assert.deepEqual([count.stepOp, nap.stepOp, double.stepOp, missed.stepOp], ["RUN", "SLEEP", "INVOKE", "WAIT_FOR_EVENT"]);
  assert.deepEqual(await output(count), { data: "21", error: null });
  assert.equal(nap.outputID, null);
  assert.ok(Date.parse(nap.stepInfo.sleepUntil) > 0);
  const { stepInfo } = double;
  assert.deepEqual([stepInfo.__typename, stepInfo.timedOut], ["InvokeStepInfo", false]);
  assert.ok(stepInfo.returnEventID && stepInfo.triggeringEventID);
  const { run: callee } = await ask(RUN, { runID: stepInfo.runID });
  assert.equal(callee.function.slug, "ts-graphql-callee");
  assert.deepEqual([missed.stepInfo.eventName, missed.stepInfo.timedOut, missed.stepInfo.foundEventID], ["graphql/never", true, null]);
  assert.deepEqual(JSON.parse((await output(end)).data), { doubled: 42, missed: null });

  assert.deepEqual([runTrigger.eventName, runTrigger.isBatch, runTrigger.cron, runTrigger.IDs.length], ["graphql/works", false, null, 1]);
  assert.deepEqual(JSON.parse(runTrigger.payloads[0]).data, { number: 20 });
});

test("a run whose step failed, with its attempts", async () => {
  const sent = await app.run("graphql/fails");
  const { run } = await ask(RUN, { runID: sent.run_id });
  assert.equal(run.status, "FAILED");
  const charge = child(run.trace, "charge");
  assert.deepEqual([charge.status, charge.attempts, charge.stepOp], ["FAILED", 2, "RUN"]);
  assert.deepEqual(charge.childrenSpans.map(({ name, status }) => [name, status]), [["Attempt 0", "FAILED"], ["Attempt 1", "FAILED"]]);
  const { data, error } = await output(charge);
  assert.equal(data, null);
  assert.deepEqual([error.name, error.message], ["RangeError", "too much"]);
  assert.match(error.stack, /RangeError: too much/);
  assert.equal(JSON.parse(error.cause).message, "the reason");
  assert.equal(child(run.trace, "function error").status, "FAILED");
});

test("runs are found by what their events and outputs hold", async () => {
  const [one, other] = [await app.run("graphql/callee", { number: 3 }), await app.run("graphql/callee", { number: 4 })];
  const from = "2001-01-01T00:00:00Z";
  const found = async (query) => (await ask(RUNS, { from, query })).runs;
  const eight = await found("event.name == 'graphql/callee'\noutput.doubled == 8");
  assert.deepEqual(eight.edges.map(({ node }) => node.id), [other.run_id]);
  const both = await found("event.name == 'graphql/callee' && event.data.number <= 4");
  assert.deepEqual(both.edges.map(({ node }) => node.id), [other.run_id, one.run_id]);
  assert.equal(both.totalCount, 2);
  assert.equal(both.pageInfo.hasNextPage, false);
  for (const { node } of both.edges) assert.equal(node.status, "COMPLETED");
});
