import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { cancels, cleanedUp, gates } from "../apps/cancels.mjs";

describe("cancels", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-cancels", cancels);
  });
  after(async () => {
    for (const gate of Object.values(gates)) while (gate.inside && gate.releaseOne());
    await app?.stop();
  });

  const send = (id, key) => app.send(`cancels/${id}`, { key });
  const stop = (key) => app.send("cancels/stop", { key });
  const endOf = async (eventId) => (await app.ended(eventId))[0];
  const isInside = (id) => app.until(`a run inside ${id}`, () => gates[id].inside);
  /** The run sleeps or waits: it has been called and has nothing in flight. */
  const settled = async (eventId) => {
    const runId = await app.started(eventId);
    await app.until("the run to settle", () => app.get(`/v1/runs/${runId}/jobs`), (jobs) => jobs.some(({ kind }) => kind !== "start" && kind !== "discovery"));
    return runId;
  };
  const cancelledBy = (run, eventId) => assert.deepEqual([run.status, run.cause, run.output ?? null], ["Cancelled", { by: "event", event: eventId }, null]);

  test("an event cancels a run in the middle of a call, which is given up", async () => {
    const key = fresh();
    const eventId = await send("in-flight", key);
    await isInside("in-flight");
    const stopId = await stop(key);
    cancelledBy(await endOf(eventId), stopId);
    await app.until("the call to be cut", () => app.calls.find((call) => call.fnId?.endsWith("-in-flight") && !call.fnId.includes("finish") && call.cut));
    gates["in-flight"].releaseOne();
  });

  test("an event cancels a run that has not begun", async () => {
    const key = fresh();
    const first = await send("queued", fresh("first"));
    await isInside("queued");
    const second = await send("queued", key);
    await app.started(second);
    const stopId = await stop(key);
    cancelledBy(await endOf(second), stopId);
    assert.equal(gates.queued.most, 1);
    gates.queued.releaseOne();
    assert.equal((await endOf(first)).status, "Completed");
  });

  for (const id of ["asleep", "waiting"]) {
    test(`an event cancels a run that is ${id}`, async () => {
      const key = fresh();
      const eventId = await send(id, key);
      const runId = await settled(eventId);
      const stopId = await stop(key);
      cancelledBy(await endOf(eventId), stopId);
      assert.deepEqual(await app.get(`/v1/runs/${runId}/jobs`), []);
    });
  }

  test("without a condition, any event of the name cancels all", async () => {
    const eventIds = await Promise.all([1, 2, 3].map(() => send("by-any", fresh())));
    await Promise.all(eventIds.map(settled));
    const stopId = await app.send("cancels/stop-all");
    for (const eventId of eventIds) cancelledBy(await endOf(eventId), stopId);
  });

  test("either of two events cancels, if its condition holds", async () => {
    const [one, two] = [fresh(), fresh()];
    const [first, second] = await Promise.all([send("by-either", one), send("by-either", two)]);
    await Promise.all([first, second].map(settled));
    const stopId = await stop(one);
    cancelledBy(await endOf(first), stopId);
    await app.send("cancels/halt", { key: two, level: 1 });
    await app.send("cancels/halt", { key: fresh("another"), level: 3 });
    assert.equal((await app.get(`/v1/events/${second}/runs`))[0].status, "Running");
    const haltId = await app.send("cancels/halt", { key: two, level: 2 });
    cancelledBy(await endOf(second), haltId);
  });

  test("the event that started a run does not cancel it", async () => {
    const key = fresh();
    const run = await app.run("cancels/itself", { key });
    assert.deepEqual([run.status, run.output], ["Completed", key]);
  });

  test("an event that came before does not cancel", async () => {
    const key = fresh();
    await stop(key);
    const eventId = await send("asleep", key);
    const runId = await settled(eventId);
    assert.equal((await app.get(`/v1/runs/${runId}`)).status, "Running");
    await stop(key);
    assert.equal((await endOf(eventId)).status, "Cancelled");
  });

  test("a listener that has run out does not cancel", async () => {
    const key = fresh();
    const eventId = await send("listening-shortly", key);
    await isInside("listening-shortly");
    await stop(key);
    gates["listening-shortly"].releaseOne();
    assert.equal((await endOf(eventId)).output, "not cancelled");
  });

  test("a run that takes too long is cancelled in the middle of a call, which is given up", async () => {
    const run = await endOf(await send("finish-in-flight", fresh()));
    assert.deepEqual([run.status, run.cause], ["Cancelled", { by: "finish-timeout" }]);
    await app.until("the call to be cut", () => app.calls.find((call) => call.fnId?.endsWith("-finish-in-flight") && call.cut));
    gates["finish-in-flight"].releaseOne();
  });

  test("a run within its timeouts is left alone", async () => {
    assert.equal((await endOf(await send("finish-enough", fresh()))).output, "in time");
  });

  test("what a call reports after its run was cancelled is dropped", async () => {
    const key = fresh();
    const eventId = await send("late", key);
    await isInside("late");
    await stop(key);
    assert.equal((await endOf(eventId)).status, "Cancelled");
    gates.late.releaseOne();
    await app.run("cancels/itself", { key: fresh("fence") });
    assert.equal((await endOf(eventId)).status, "Cancelled");
    assert.ok(!cleanedUp.includes(key), "no later step is executed");
  });

  test("a function may clean up after a cancelled run", async () => {
    const key = fresh();
    const eventId = await send("asleep", key);
    await settled(eventId);
    await stop(key);
    await app.until("the clean-up", () => cleanedUp.includes(key));
  });
});
