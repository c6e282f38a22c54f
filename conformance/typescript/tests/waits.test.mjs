import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { beforeWait, races, waits } from "../apps/waits.mjs";

describe("waits", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-waits", waits);
  });
  after(() => app?.stop());

  /** Starts the function and waits until it waits. */
  async function waiting(id, key, count = 1) {
    const eventId = await app.send(`waits/${id}`, { key });
    await app.parked(await app.started(eventId), count);
    return eventId;
  }
  const endOf = async (eventId) => (await app.ended(eventId))[0];
  const answered = (run, output) => {
    assert.equal(run.status, "Completed", JSON.stringify(run.output));
    assert.deepEqual(run.output, output);
  };

  for (const id of ["reply-if", "reply-match"]) {
    test(`${id}: the wait returns the event that its expression fits, and no other`, async () => {
      const key = fresh();
      const eventId = await waiting(id, key);
      await app.send("waits/reply", { key: fresh("another") });
      const replyId = await app.send("waits/reply", { key, text: "größe" }, { v: "3", ts: 1767225600000 });
      const { output, status } = await endOf(eventId);
      assert.equal(status, "Completed");
      const { name, data, v, ts } = output;
      assert.deepEqual({ name, data, v, ts }, { name: "waits/reply", data: { key, text: "größe" }, v: "3", ts: 1767225600000 });
      assert.equal(output.id, replyId, "an event without an id has its internal one");
    });
  }

  test("an event's own id is what the wait returns", async () => {
    const key = fresh();
    const eventId = await waiting("reply-if", key);
    await app.send("waits/reply", { key }, { id: key });
    assert.equal((await endOf(eventId)).output.id, key);
  });

  test("an event whose id came before resumes a wait all the same", async () => {
    const key = fresh();
    await app.send("waits/reply", { key }, { id: key });
    const eventId = await waiting("reply-if", key);
    await app.send("waits/reply", { key, number: 2 }, { id: key });
    assert.equal((await endOf(eventId)).output.data.number, 2);
  });

  test("a wait without an expression takes the next event of its name", async () => {
    const eventId = await waiting("reply-any", fresh());
    await app.send("waits/reply-any", { number: 5 });
    assert.equal((await endOf(eventId)).output.data.number, 5);
  });

  test("an expression may look into lists", async () => {
    const key = fresh();
    const eventId = await waiting("reply-of-list", key);
    await app.send("waits/reply", { keys: ["x"] });
    await app.send("waits/reply", { keys: ["x", key] });
    assert.deepEqual((await endOf(eventId)).output.data.keys, ["x", key]);
  });

  test("a wait that nothing answers returns null, and the function goes on", async () => {
    answered(await app.run("waits/expired", { key: fresh() }), { reply: null, after: "went on" });
  });

  test("events that do not fit let the wait expire", async () => {
    const eventId = await app.send("waits/expired", { key: fresh() });
    await app.send("waits/reply", { key: fresh("another") });
    await app.send("waits/reply", {});
    answered(await endOf(eventId), { reply: null, after: "went on" });
  });

  test("a wait may last until a date, which may have passed", async () => {
    answered(await app.run("waits/expired-at", { key: fresh() }), { past: null, soon: null, early: false });
  });

  test("an event that came before the wait is missed", async () => {
    const key = fresh();
    const eventId = await app.send("waits/missed", { key });
    await app.until("the step before the wait", () => beforeWait.inside === 1);
    await app.send("waits/reply", { key });
    beforeWait.releaseOne();
    answered(await endOf(eventId), { reply: null });
  });

  test("an expression that does not compile ends the run with the place", async () => {
    const { status, output } = await app.run("waits/broken-if", { key: fresh() });
    assert.equal(status, "Failed");
    assert.match(JSON.stringify(output), /InvalidExpression: Wait for event If expression failed to compile/);
    assert.match(JSON.stringify(output), /1:19|column 19/, "the second == is at column 19");
    assert.equal(app.callsOf("broken-if").length, 1, "trying again would not help");
  });

  test("a wait of more than a year ends the run", async () => {
    const { status, output } = await app.run("waits/too-long", { key: fresh() });
    assert.equal(status, "Failed");
    assert.match(JSON.stringify(output), /InngestErrTimeoutTooLong/);
  });

  test("one event resumes two waits of a run", async () => {
    const key = fresh();
    const eventId = await waiting("two-at-once", key, 2);
    await app.send("waits/reply", { key, number: 1 });
    answered(await endOf(eventId), [1, 1]);
  });

  test("one event resumes one of two waits that follow each other", async () => {
    const key = fresh();
    const eventId = await waiting("one-after-another", key);
    const [runId] = [await app.started(eventId)];
    await app.send("waits/reply", { key, number: 1 });
    await app.until("the second wait", () => app.callsOf("one-after-another").length >= 2);
    await app.parked(runId);
    assert.equal((await app.get(`/v1/runs/${runId}`)).status, "Running");
    await app.send("waits/reply", { key, number: 2 });
    answered(await endOf(eventId), [1, 2]);
  });

  test("one event resumes every run that waits for it", async () => {
    const key = fresh();
    const eventIds = await Promise.all([1, 2, 3].map(() => waiting("reply-if", key)));
    await app.send("waits/reply", { key, number: 9 });
    const runs = await Promise.all(eventIds.map(endOf));
    assert.deepEqual(runs.map(({ output }) => output.data.number), [9, 9, 9]);
  });

  test("a function may wait for the event that it sends beside", async () => {
    answered(await app.run("waits/own-event", { key: fresh() }), 7);
  });

  test("a race goes on with the first of its steps, and the loser leaves nothing behind", async () => {
    const key = fresh();
    const eventId = await app.send("waits/race", { key });
    const runId = await app.started(eventId);
    await app.until("the step after the race", () => races.includes(key));
    // The SDK reports the wait that lost for as long as it is not over, so the run ends with it at the latest.
    answered(await endOf(eventId), "patience");
    assert.deepEqual(await app.get(`/v1/runs/${runId}/jobs`), []);
    await app.send("waits/reply", { key });
    answered(await app.get(`/v1/runs/${runId}`), "patience");
  });

  test("the wait may win the race", async () => {
    const key = fresh();
    const eventId = await waiting("race", key);
    await app.send("waits/reply", { key });
    answered(await endOf(eventId), "reply");
  });

  test("a function may wait for the end of another", async () => {
    const key = fresh();
    const eventId = await waiting("finished", key);
    const run = await app.run("waits/watched", { key });
    const { output } = await endOf(eventId);
    assert.equal(output.name, "inngest/function.finished");
    assert.equal(output.data.run_id, run.run_id);
    assert.equal(output.data.function_id, `${app.client.id}-watched`);
    assert.equal(output.data.result, "watched");
    assert.equal(output.data.event.data.key, key);
  });

  test("a cancelled run waits no longer", async () => {
    const key = fresh();
    const eventId = await waiting("reply-if", key);
    const runId = await app.started(eventId);
    assert.equal((await app.call("DELETE", `/v1/runs/${runId}`)).status, 200);
    assert.equal((await endOf(eventId)).status, "Cancelled");
    await app.send("waits/reply", { key });
    assert.equal((await app.get(`/v1/runs/${runId}`)).status, "Cancelled");
    assert.deepEqual(await app.get(`/v1/runs/${runId}/jobs`), []);
  });
});
