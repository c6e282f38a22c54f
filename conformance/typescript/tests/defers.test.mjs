import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { defers, deferred } from "../apps/defers.mjs";

describe("defers", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-defers", defers);
  });
  after(() => app?.stop());

  const deferredOf = (key) => deferred.filter(({ data }) => data.key === key);
  const idsOf = (key) => deferredOf(key).map(({ data }) => data.id).toSorted();
  const until = (key, count) => app.until(`${count} deferred run(s)`, () => deferredOf(key), (seen) => seen.length === count);

  for (const id of ["once", "once-off"]) {
    test(`${id}: the deferred function runs after the run, with its data and its parent`, async () => {
      const key = fresh();
      const run = await app.run(`defers/${id}`, { key });
      assert.deepEqual([run.status, run.output], ["Completed", "now"]);
      const [seen] = await until(key, 1);
      assert.deepEqual(seen.data, { key, id: "one" });
      assert.deepEqual(seen.parents.map(({ fnSlug, runId }) => ({ fnSlug, runId })), [{ fnSlug: `${app.client.id}-${id}`, runId: run.run_id }]);
    });
  }

  test("each call among the steps is a run, once", async () => {
    const key = fresh();
    const eventId = await app.send("defers/among-steps", { key });
    const runId = await app.started(eventId);
    await app.until("the sleep", () => app.get(`/v1/runs/${runId}/jobs`), (jobs) => jobs.some(({ kind }) => kind === "sleep"));
    assert.deepEqual(idsOf(key), [], "nothing runs before the run has ended");
    assert.equal((await app.ended(eventId))[0].output, "now");
    await until(key, 3);
    assert.deepEqual(idsOf(key), ["after", "before", "between"]);
  });

  test("an id used twice is one run", async () => {
    const key = fresh();
    await app.run("defers/twice-the-same", { key });
    await until(key, 1);
    const fence = fresh();
    await app.run("defers/once", { key: fence });
    await until(fence, 1);
    assert.equal(deferredOf(key).length, 1);
  });

  test("what is called off does not run", async () => {
    const key = fresh();
    assert.equal((await app.run("defers/called-off", { key })).status, "Completed");
    await until(key, 1);
    const fence = fresh();
    await app.run("defers/once", { key: fence });
    await until(fence, 1);
    assert.deepEqual(idsOf(key), ["kept"]);
  });

  for (const id of ["failing", "failing-late"]) {
    test(`${id}: it runs after a failed run`, async () => {
      const key = fresh();
      const run = await app.run(`defers/${id}`, { key });
      assert.equal(run.status, "Failed");
      assert.equal(run.output.message, "no use");
      const trace = await app.get(`/v2/runs/${run.run_id}/trace`);
      assert.ok(!JSON.stringify(trace).includes('"complete"'), "the failure is the function's, not that of a step");
      const [seen] = await until(key, 1);
      assert.equal(seen.parents[0].runId, run.run_id);
    });
  }

  test("it runs after a cancelled run", async () => {
    const key = fresh();
    const eventId = await app.send("defers/cancelled", { key });
    const runId = await app.started(eventId);
    await app.until("the sleep", () => app.get(`/v1/runs/${runId}/jobs`), (jobs) => jobs.some(({ kind }) => kind === "sleep"));
    await app.call("DELETE", `/v1/runs/${runId}`);
    assert.equal((await app.ended(eventId))[0].status, "Cancelled");
    await until(key, 1);
  });

  test("its failure is its own", async () => {
    const key = fresh();
    const run = await app.run("defers/broken", { key });
    assert.equal(run.status, "Completed");
    await until(key, 1);
    const own = await app.until(
      "the deferred run's end",
      async () => {
        const events = await app.get("/v1/events?name=inngest/deferred.schedule&limit=51");
        const event = events.find(({ data }) => data.key === key);
        return event ? app.get(`/v1/events/${event.internal_id}/runs`) : [];
      },
      (runs) => runs[0]?.status === "Failed",
    );
    assert.equal((await app.get(`/v1/runs/${own[0].run_id}`)).output.message, "too late");
  });

  test("a misuse is ignored", async () => {
    assert.equal((await app.run("defers/misused")).output, "now");
  });
});
