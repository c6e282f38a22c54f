import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { executions, held, mend, repeats } from "../apps/repeats.mjs";

const ENDED = ["Completed", "Failed", "Cancelled"];
const UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

describe("repeats", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-repeats", repeats);
  });
  after(() => app?.stop());

  const rerun = (runId, body = {}) => app.call("POST", `/v2/runs/${runId}/rerun`, body);
  async function again(runId, body) {
    const { status, body: answer } = await rerun(runId, body);
    assert.equal(status, 200, JSON.stringify(answer));
    assert.notEqual(answer.data.runId, runId);
    return app.until("the end of the repetition", () => app.get(`/v1/runs/${answer.data.runId}`), (run) => ENDED.includes(run.status));
  }
  const executionsOf = (run, ...stepIds) => stepIds.map((stepId) => executions.get(`${run.run_id} ${stepId}`) ?? 0);

  test("a run is run again with the same event, and names the first", async () => {
    const first = await app.run("repeats/sum", { n: 1 });
    const second = await again(first.run_id);
    assert.deepEqual([first.output, second.output], [25, 25]);
    assert.deepEqual(executionsOf(second, "first", "second", "third"), [1, 1, 1]);
    assert.deepEqual([second.original_run_id, second.event_id], [first.run_id, first.event_id]);
    const third = await again(second.run_id);
    assert.equal(third.original_run_id, first.run_id, "however often it is repeated");
  });

  test("from a step on, the steps before it keep their results", async () => {
    const first = await app.run("repeats/sum", { n: 1 });
    const second = await again(first.run_id, { fromStep: { stepId: "third" } });
    assert.equal(second.output, 25);
    assert.deepEqual(executionsOf(second, "first", "second", "third"), [0, 0, 1]);
  });

  test("from a step on, it may get other arguments", async () => {
    const first = await app.run("repeats/sum", { n: 1 });
    const second = await again(first.run_id, { fromStep: { stepId: "second", input: [100] } });
    assert.equal(second.output, 1005);
    assert.deepEqual(executionsOf(second, "first", "second", "third"), [0, 1, 1]);
  });

  test("a failed run goes on from its failed step once that is mended", async () => {
    const first = await app.run("repeats/failing-once");
    assert.equal(first.status, "Failed");
    mend();
    const second = await again(first.run_id, { fromStep: { stepId: "bad" } });
    assert.deepEqual([second.status, second.output], ["Completed", "good, mended"]);
    assert.deepEqual(executionsOf(second, "good", "bad"), [0, 1]);
  });

  test("limits on events do not hold for repetitions", async () => {
    const first = await app.run("repeats/once-a-day", { key: fresh() });
    assert.equal((await again(first.run_id)).output, "ran");
  });

  test("what cannot be repeated is refused with the reason", async () => {
    const first = await app.run("repeats/twins");
    for (const [id, body, status, message] of [
      [first.run_id, { fromStep: { stepId: "nobody" } }, 400, /^Step not found in original run$/],
      [first.run_id, { fromStep: { stepId: "twin" } }, 400, /^Step name matches multiple steps in original run$/],
      [first.run_id, { fromStep: { stepId: "twin", input: 7 } }, 400, /input/],
      [UNKNOWN, {}, 404, /./],
      ["no-id", {}, 400, /run ID/],
    ]) {
      const answer = await rerun(id, body);
      assert.equal(answer.status, status, JSON.stringify(answer));
      assert.match(answer.body.errors[0].message, message);
    }
  });

  test("a run that is called says so, and gives the call up when it is cancelled", async () => {
    const eventId = await app.send("repeats/held");
    const runId = await app.started(eventId);
    await app.until("the step to be executed", () => held.inside === 1);
    const running = await app.get(`/v1/runs/${runId}`);
    assert.deepEqual([running.status, running.ended_at, running.output ?? null], ["Running", null, null]);
    const jobs = await app.get(`/v1/runs/${runId}/jobs`);
    assert.equal(jobs.length, 1);
    assert.deepEqual([jobs[0].attempt, typeof jobs[0].JobID, jobs[0].position], [0, "string", 0]);

    assert.equal((await app.call("DELETE", `/v1/runs/${runId}`)).status, 200);
    const [run] = await app.ended(eventId);
    assert.deepEqual([run.status, run.cause], ["Cancelled", { by: "request" }]);
    assert.deepEqual(await app.get(`/v1/runs/${runId}/jobs`), []);
    held.releaseOne();
  });

  test("a sleeping run has the job that wakes it", async () => {
    const eventId = await app.send("repeats/asleep");
    const runId = await app.started(eventId);
    const jobs = await app.until("the sleep", () => app.get(`/v1/runs/${runId}/jobs`), (seen) => seen[0]?.kind === "sleep");
    assert.ok(Date.parse(jobs[0].at) > Date.now() + 30 * 60_000, jobs[0].at);
    await app.call("DELETE", `/v1/runs/${runId}`);
    assert.equal((await app.ended(eventId))[0].status, "Cancelled");
  });

  test("cancelling twice is no error, and what has ended stays as it is", async () => {
    const run = await app.run("repeats/twins");
    assert.equal((await app.call("DELETE", `/v1/runs/${run.run_id}`)).status, 200);
    assert.equal((await app.get(`/v1/runs/${run.run_id}`)).status, "Completed");
  });

  for (const path of [`/v1/runs/${UNKNOWN}`, `/v1/events/${UNKNOWN}`, `/v1/events/${UNKNOWN}/verdicts`]) {
    test(`GET ${path} is 404 and says what is missing`, async () => {
      const { status, body } = await app.call("GET", path);
      assert.deepEqual([status, body.status], [404, 404]);
      assert.match(body.error, /Unable to load function run|Event not found/);
    });
  }

  test("the app's functions are listed as they were registered", async () => {
    const { status, body } = await app.call("GET", `/v1/apps/${app.client.id}/functions`);
    assert.equal(status, 200);
    assert.deepEqual(
      body.map(({ slug }) => slug).sort(),
      ["asleep", "failing-once", "held", "once-a-day", "sum", "twins"].map((id) => `${app.client.id}-${id}`),
    );
  });

  test("events are listed by name, newest first, page by page", async () => {
    const name = `repeats/${fresh("listed")}`;
    const ids = [];
    for (const number of [1, 2, 3]) ids.unshift(await app.send(name, { number }));
    const listed = await app.get(`/v1/events?name=${name}&limit=2`);
    assert.deepEqual(listed.map((event) => event.internal_id), ids.slice(0, 2));
    assert.deepEqual([listed[0].name, listed[0].data], [name, { number: 3 }]);
    const rest = await app.get(`/v1/events?name=${name}&limit=2&cursor=${ids[1]}`);
    assert.deepEqual(rest.map((event) => event.internal_id), [ids[2]]);
    assert.deepEqual((await app.get(`/v1/events/${ids[0]}`)).data, { number: 3 });
  });
});
