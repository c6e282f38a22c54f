// What an app notes of its runs: metadata, scores, and spans of its own.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";
import * as notes from "../apps/notes.mjs";

let app;

before(async () => {
  app = await startApp("notes", notes.define, { client: notes.options });
});
after(() => app?.stop());

const trace = async (runId) => (await app.get(`/v2/runs/${runId}/trace`)).rootSpan;
const noted = (span) => span.metadata.map(({ scope, kind, values }) => ({ scope, kind, values })).sort((a, b) => a.kind.localeCompare(b.kind));
const child = (span, name) => span.children.find((one) => one.name === name);

test("metadata of a step and of its run goes along with the step", async () => {
  const run = await app.run("notes/metadata");
  assert.equal(run.status, "Completed");
  const root = await trace(run.run_id);
  assert.deepEqual(noted(root), [{ scope: "run", kind: "userland.order", values: { cents: 5 } }]);
  assert.deepEqual(noted(child(root, "charge")), [{ scope: "step", kind: "userland.default", values: { card: "visa", tries: 1 } }]);
});

test("metadata of a run can be noted from outside when it has ended", async () => {
  const run = await app.run("notes/plain");
  await app.client.metadata.run(run.run_id).update({ checked: true }, "review");
  await app.client.metadata.run(run.run_id).step("work").update({ by: "hand" });
  const root = await trace(run.run_id);
  assert.deepEqual(noted(root), [{ scope: "run", kind: "userland.review", values: { checked: true } }]);
  assert.deepEqual(noted(child(root, "work")), [{ scope: "step", kind: "userland.default", values: { by: "hand" } }]);
});

test("scores are noted, from within a run and from outside", async () => {
  const run = await app.run("notes/score");
  await app.client.score({ runId: run.run_id, name: "outside", value: 0.5 });
  const root = await trace(run.run_id);
  assert.deepEqual(noted(root), [{ scope: "run", kind: "inngest.score", values: { inside: { value: true }, outside: { value: 0.5 } } }]);
});

test("spans that the app makes within a step are below it", async () => {
  const run = await app.run("notes/spans");
  // They are exported when a call ends, which may be after the run has.
  const step = await app.until(
    "the app's spans",
    async () => child(await trace(run.run_id), "query"),
    (step) => step?.children.length > 0,
  );
  assert.equal(step.status, "COMPLETED");
  const [outer] = step.children;
  assert.deepEqual([outer.name, outer.status, outer.userland.attributes], ["select", "COMPLETED", { "db.rows": 5 }]);
  assert.deepEqual(outer.children.map(({ name, status }) => [name, status]), [["parse", "FAILED"]]);
});
