import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { admission, gates, heard } from "../apps/admission.mjs";

describe("admission", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-admission", admission);
  });
  after(() => app?.stop());

  const endOf = async (eventId) => (await app.ended(eventId))[0];
  const send = (id, data, rest) => app.send(`admission/${id}`, data, rest);

  test("a debounced function runs once, for the last of its events", async () => {
    const key = fresh();
    const first = await send("debounced", { key, n: 1 });
    const last = await send("debounced", { key, n: 2 });
    assert.equal((await endOf(last)).output, 2);
    assert.deepEqual(await app.get(`/v1/events/${first}/runs`), []);
    assert.equal((await app.verdict(first, "debounced")).verdict, "superseded");
    assert.equal((await app.verdict(last, "debounced")).verdict, "started");
  });

  test("each key has a debounce window of its own", async () => {
    const events = await Promise.all([1, 2].map((n) => send("debounced", { key: fresh(), n })));
    const outputs = await Promise.all(events.map(async (event) => (await endOf(event)).output));
    assert.deepEqual(outputs, [1, 2]);
  });

  test("a debounce's timeout ends the waiting", async () => {
    const event = await send("debounced-at-most", { n: 1 });
    assert.equal((await endOf(event)).output, 1);
  });

  test("a full batch runs for all its events, in order", async () => {
    const key = fresh();
    const events = [];
    for (const n of [1, 2, 3]) events.push(await send("batched", { key, n }));
    const runs = await Promise.all(events.map(endOf));
    assert.deepEqual(runs[0].output, [1, [1, 2, 3]]);
    assert.equal(new Set(runs.map((run) => run.run_id)).size, 1, "they share one run");
    assert.ok(runs[0].batch_id);
  });

  test("a batch that does not fill runs at its timeout", async () => {
    const event = await send("batched", { key: fresh(), n: 1 });
    assert.equal((await app.verdict(event, "batched")).verdict, "batched");
    assert.deepEqual((await endOf(event)).output, [1, [1]]);
  });

  test("events that the batch's condition leaves out run alone", async () => {
    const alone = await send("batched-if", { slow: false });
    assert.equal((await endOf(alone)).output, 1);
    const pair = await Promise.all([1, 2].map(() => send("batched-if", { slow: true })));
    assert.equal((await endOf(pair[0])).output, 2);
  });

  for (const [id, verdict] of [
    ["rate-limited", "rate-limited"],
    ["once", "rate-limited"],
  ]) {
    test(`${id}: what is too many starts nothing, and says so`, async () => {
      const key = fresh();
      assert.equal((await endOf(await send(id, { key }))).output, "ran");
      const dropped = await send(id, { key });
      assert.deepEqual(await app.get(`/v1/events/${dropped}/runs`), []);
      const told = await app.verdict(dropped, id);
      assert.deepEqual([told.verdict, told.key], [verdict, key]);
      assert.equal((await endOf(await send(id, { key: fresh() }))).output, "ran");
    });
  }

  test("a singleton skips a second run while the first one is there", async () => {
    const key = fresh();
    const first = await send("singleton", { key });
    await app.until("the first run to hold its place", () => gates.singleton.inside);
    const second = await endOf(await send("singleton", { key }));
    assert.deepEqual([second.status, second.cause.by], ["Skipped", "singleton"]);
    gates.singleton.releaseOne();
    assert.equal((await endOf(first)).status, "Completed");
    const third = await send("singleton", { key });
    await app.until("the third run to have the place", () => gates.singleton.inside);
    gates.singleton.releaseOne();
    assert.equal((await endOf(third)).status, "Completed");
  });

  test("a singleton that cancels makes way for the second run", async () => {
    const key = fresh();
    const first = await send("replaced", { key });
    await app.until("the first run to hold its place", () => gates.replaced.inside);
    const second = await endOf(await send("replaced", { key, last: true }));
    assert.deepEqual([second.status, second.output], ["Completed", "last"]);
    const ended = await endOf(first);
    assert.deepEqual([ended.status, ended.cause], ["Cancelled", { by: "replaced", run: second.run_id }]);
    gates.replaced.releaseOne();
  });

  for (const [name, data] of [
    ["admission/stop", (key) => ({ key })],
    ["admission/stop-if", (key) => ({ keys: key })],
  ]) {
    test(`${name} cancels the run that it fits, and no other`, async () => {
      const keys = [fresh(), fresh()];
      const [mine, other] = await Promise.all(keys.map((key) => send("cancelled", { key })));
      await Promise.all([mine, other].map((event) => app.started(event)));
      const stop = await app.send(name, data(keys[0]));
      const run = await endOf(mine);
      assert.deepEqual([run.status, run.cause], ["Cancelled", { by: "event", event: stop }]);
      const [still] = await app.get(`/v1/events/${other}/runs`);
      assert.ok(["Running", "Scheduled"].includes(still.status), still.status);
      assert.equal((await app.call("DELETE", `/v1/runs/${still.run_id}`)).status, 200);
      assert.equal((await endOf(other)).status, "Cancelled");
    });
  }

  test("a run that takes too long is cancelled", async () => {
    const run = await endOf(await send("finish"));
    assert.deepEqual([run.status, run.cause], ["Cancelled", { by: "finish-timeout" }]);
    await app.until("the cancellation to be announced", () => heard.includes("ts-admission-finish: Cancelled"));
  });

  test("a run that is not called in time is cancelled", async () => {
    const first = await send("start");
    await app.until("the first run to be called", () => gates.queued.inside);
    const run = await endOf(await send("start"));
    assert.deepEqual([run.status, run.cause], ["Cancelled", { by: "start-timeout" }]);
    gates.queued.releaseOne();
    assert.equal((await endOf(first)).status, "Completed");
  });

  test("a function with several triggers runs once for an event", async () => {
    for (const [name, data] of [
      ["admission/one", {}],
      ["admission/two", { n: 2 }],
      ["admission.dotted/any.thing", {}],
    ]) {
      assert.equal((await app.run(name, data)).output, name);
    }
    const left = await app.send("admission/two", { n: 1 });
    const verdict = await app.verdict(left, "several");
    assert.deepEqual([verdict.verdict, verdict.part, verdict.values], ["filtered", "event.data.n > 1", [["event.data.n", "1"]]]);
  });

  test("a verdict names the part of a condition that decided", async () => {
    const event = await send("filtered", { cents: 7, vip: true });
    const verdict = await app.verdict(event, "filtered");
    assert.deepEqual([verdict.verdict, verdict.part], ["filtered", "event.data.cents > 100"]);
  });

  test("a paused function skips its runs until it goes on", async () => {
    const path = "/v1/apps/ts-admission/functions/paused/pause";
    assert.equal((await app.call("POST", path)).status, 200);
    const skipped = await endOf(await send("paused"));
    assert.deepEqual([skipped.status, skipped.cause], ["Skipped", { by: "function-paused" }]);
    assert.equal((await app.call("DELETE", path)).status, 200);
    assert.equal((await endOf(await send("paused"))).output, "ran");
  });

  test("a schedule ticks", { timeout: 90_000 }, async () => {
    const deadline = Date.now() + 75_000;
    let ticks = [];
    while (ticks.length === 0 && Date.now() < deadline) {
      await new Promise((resume) => setTimeout(resume, 500));
      ticks = (await app.get("/v1/events?name=inngest/scheduled.timer")) ?? [];
    }
    const [tick] = ticks;
    assert.equal(tick.data.cron, "TZ=Europe/Paris * * * * *");
    assert.equal(tick.id, tick.data.scheduledAt, "its id is its time");
    const [run] = await app.ended(tick.internal_id);
    assert.deepEqual([run.output, run.cron], ["inngest/scheduled.timer", "TZ=Europe/Paris * * * * *"]);
  });
});
