import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { ends, handled, heard } from "../apps/ends.mjs";
import { major } from "../sdk.mjs";

/** What the SDK says of a NonRetriableError; the previous one does not tell. */
const NON_RETRIABLE = major >= 4 ? "NonRetriableError" : "Error";

describe("ends", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-ends", ends);
  });
  after(() => app?.stop());

  const announced = (id, run) => app.until(`the run's inngest/function.${id}`, () => heard[id].find(({ data }) => data.run_id === run.run_id));
  const handledOf = (key) => handled.filter(({ event }) => event.data.event.data.key === key);
  const failureOf = (key) => app.until("the failure handler", () => handledOf(key)[0]);

  test("the end of a run is announced with its result", async () => {
    const key = fresh();
    const run = await app.run("ends/well", { key });
    const event = await announced("finished", run);
    assert.equal(event.name, "inngest/function.finished");
    const { function_id, result, error, event: trigger, events } = event.data;
    assert.deepEqual({ function_id, result, error }, { function_id: `${app.client.id}-well`, result: { got: key }, error: undefined });
    assert.deepEqual([trigger.name, trigger.data], ["ends/well", { key }]);
    assert.equal(events.length, 1);
    assert.equal(event.data._inngest.status, "Completed");
  });

  test("the end of a failed run is announced twice: as an end, and as a failure", async () => {
    const key = fresh();
    const run = await app.run("ends/badly", { key });
    const finished = await announced("finished", run);
    const failed = await announced("failed", run);
    for (const { data } of [finished, failed]) {
      assert.equal(data.function_id, `${app.client.id}-badly`);
      assert.equal(data._inngest.status, "Failed");
      assert.deepEqual([data.error.name, data.error.message], [NON_RETRIABLE, "no use"]);
      assert.match(data.error.stack, /no use/);
      assert.equal(data.event.data.key, key);
    }
    assert.equal(failed.id, run.run_id, "so that a run's failure is heard of once");
  });

  test("a cancelled run's end is announced twice, and is no failure", async () => {
    const key = fresh();
    const eventId = await app.send("ends/never", { key });
    const runId = await app.started(eventId);
    await app.call("DELETE", `/v1/runs/${runId}`);
    const [run] = await app.ended(eventId);
    const cancelled = await announced("cancelled", run);
    assert.equal(cancelled.data.function_id, `${app.client.id}-never`);
    assert.equal(cancelled.data._inngest.status, "Cancelled");
    assert.equal(cancelled.id, runId);
    assert.equal((await announced("finished", run)).data._inngest.status, "Cancelled");
    await failureOf(await failedAfterwards());
    assert.deepEqual(handledOf(key), []);
    assert.equal(heard.failed.some(({ data }) => data.run_id === runId), false);
  });

  async function failedAfterwards() {
    const key = fresh("fence");
    await app.run("ends/badly", { key });
    return key;
  }

  test("a listener may choose whose end it hears of", async () => {
    const [plain, special] = [fresh(), fresh()];
    await app.run("ends/well", { key: plain, special: false });
    await app.run("ends/well", { key: special, special: true });
    await app.until("the listener", () => handledOf(special).length === 1);
    assert.deepEqual(handledOf(plain), []);
  });

  for (const [id, name, message] of [
    ["badly", NON_RETRIABLE, "no use"],
    ["badly-in-a-step", undefined, "no use"],
    ["badly-after-retries", "RangeError", "never works"],
  ]) {
    test(`${id}: onFailure gets the error, the event and the run`, async () => {
      const key = fresh();
      const run = await app.run(`ends/${id}`, { key });
      assert.equal(run.status, "Failed");
      const { error, event } = await failureOf(key);
      assert.equal(error.message, message);
      if (name) assert.equal(error.name, name);
      assert.ok(error instanceof Error);
      assert.deepEqual([event.name, event.data.run_id, event.data.function_id], ["inngest/function.failed", run.run_id, `${app.client.id}-${id}`]);
    });
  }

  test("an error's cause is kept", async () => {
    const run = await app.run("ends/badly", { key: fresh() });
    assert.deepEqual([run.output.cause?.name, run.output.cause?.message], ["TypeError", "the reason"]);
  });

  test("a batch fails once", async () => {
    const key = fresh();
    const eventIds = [await app.send("ends/badly-in-batches", { key, n: 1 }), await app.send("ends/badly-in-batches", { key, n: 2 })];
    await Promise.all(eventIds.map((eventId) => app.ended(eventId)));
    const { event } = await failureOf(key);
    assert.deepEqual(event.data.events.map(({ data }) => data.n), [1, 2]);
    assert.equal(event.data.event.data.n, 1);
    await failureOf(await failedAfterwards());
    assert.equal(handledOf(key).length, 1);
  });

  test("a failure handler that fails is not handled", async () => {
    const key = fresh();
    await app.run("ends/badly-twice", { key });
    await failureOf(key);
    await failureOf(await failedAfterwards());
    assert.deepEqual(handledOf(key).map(({ attempt }) => attempt), [0]);
    assert.equal(heard.failed.some(({ data }) => data.function_id === `${app.client.id}-badly-twice-failure`), false);
  });

  test("a failure handler may have steps and sleep", async () => {
    const key = fresh();
    await app.run("ends/badly-at-length", { key });
    assert.equal((await failureOf(key)).second, 2);
  });
});
