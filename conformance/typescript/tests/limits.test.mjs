import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { gates, limits, order } from "../apps/limits.mjs";

describe("limits", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-limits", limits);
  });
  after(async () => {
    for (const gate of Object.values(gates)) while (gate.releaseOne());
    await app?.stop();
  });

  const send = (id, data) => app.send(`limits/${id}`, data);
  const endOf = async (eventId) => (await app.ended(eventId))[0];
  const endsOf = (eventIds) => Promise.all(eventIds.map(endOf));
  /** Something newer has gone all the way through the server: what was going to start has started. */
  const fence = () => app.run("limits/free");
  const inside = (id, count) => app.until(`${count} inside ${id}`, () => gates[id].inside, (seen) => seen >= count);
  /** Lets all out, `limit` at once at most, and sees that there are never more. */
  async function drain(id, count, limit) {
    for (let left = count; left > 0; left -= 1) {
      await inside(id, Math.min(limit, left));
      await fence();
      assert.ok(gates[id].inside <= limit, `${gates[id].inside} inside ${id}`);
      const before = gates[id].inside;
      gates[id].releaseOne();
      await app.until("one to leave", () => gates[id].inside, (seen) => seen < before || left > limit);
    }
    assert.equal(gates[id].most, limit);
  }

  /** Lets `count` out, one after the other, each as it comes. */
  async function letAllOut(id, count) {
    for (let left = count; left > 0; left -= 1) await app.until(`${left} more to leave ${id}`, () => gates[id].releaseOne());
  }

  test("a limit on whole runs", async () => {
    const eventIds = await Promise.all([1, 2, 3, 4].map(() => send("fn")));
    await drain("fn", 4, 2);
    assert.ok((await endsOf(eventIds)).every(({ status }) => status === "Completed"));
  });

  test("a limit on whole runs holds while a run sleeps", async () => {
    const eventIds = [];
    for (const n of ["1", "2", "3"]) eventIds.push(await send("asleep", { n }));
    await endsOf(eventIds);
    assert.deepEqual(order.asleep.filter((entry) => /[123]$/.test(entry)), ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
  });

  test("a limit on calls does not hold while a run waits", async () => {
    const key = fresh();
    const eventIds = await Promise.all(["a", "b", "c"].map((n) => send("asleep-beside", { n, key })));
    const begun = () => order.asleep.filter((entry) => /begin [abc]$/.test(entry)).length;
    await app.until("all to have begun", () => begun() === 3);
    for (const eventId of eventIds) await app.parked(await app.started(eventId));
    await app.send("limits/go", { key });
    await endsOf(eventIds);
  });

  test("a limit on whole runs for each value of a key", async () => {
    const eventIds = await Promise.all(["a", "a", "b"].map((key) => send("keyed-fn", { key })));
    await inside("keyed-fn", 2);
    await fence();
    assert.equal(gates["keyed-fn"].inside, 2, "one of each");
    await letAllOut("keyed-fn", 3);
    await endsOf(eventIds);
    assert.equal(gates["keyed-fn"].most, 2);
  });

  test("a limit on whole runs together with one on calls", async () => {
    const eventIds = await Promise.all([send("fn-and-step"), send("fn-and-step")]);
    await inside("fn-and-step", 2);
    await fence();
    await letAllOut("fn-and-step", 6);
    await endsOf(eventIds);
    assert.equal(gates["fn-and-step"].most, 2);
  });

  test("functions may share a limit", async () => {
    const key = fresh();
    const eventIds = await Promise.all(["shared-one", "shared-two", "shared-one"].map((id) => send(id, { key })));
    await drain("shared", 3, 1);
    assert.ok((await endsOf(eventIds)).every(({ status }) => status === "Completed"));
  });

  test("two limits hold both", async () => {
    const eventIds = await Promise.all(["a", "a", "b", "c"].map((key) => send("two-limits", { key })));
    await inside("two-limits", 2);
    await fence();
    assert.equal(gates["two-limits"].inside, 2);
    await letAllOut("two-limits", 4);
    await endsOf(eventIds);
    assert.equal(gates["two-limits"].most, 2);
  });

  test("what is urgent goes first, the rest in the order of its coming", async () => {
    const eventIds = [await send("ordered", { name: "holder" })];
    await inside("ordered", 1);
    for (const [name, urgent] of [["one", false], ["two", false], ["urgent", true], ["three", false]]) eventIds.push(await send("ordered", { name, urgent }));
    await fence();
    for (let left = 5; left > 0; left -= 1) {
      await app.until("the next", () => order.ordered.length === 5 - left && gates.ordered.inside === 1);
      gates.ordered.releaseOne();
    }
    await endsOf(eventIds);
    assert.deepEqual(order.ordered, ["holder", "urgent", "one", "two", "three"]);
  });

  test("a throttle's burst starts at once, the rest at its pace", async () => {
    const eventIds = [];
    for (const n of [1, 2, 3, 4]) eventIds.push(await send("by-burst", { n }));
    await endsOf(eventIds);
    const times = order["by-burst"].map(({ at }) => at);
    assert.equal(times.length, 4);
    assert.ok(times[3] - times[0] >= 1000, `the fourth of 1 + 2 came ${times[3] - times[0]} ms after the first`);
  });

  for (const [id, admitted] of [["rate-of-two", 1], ["rate-of-ten", 2]]) {
    test(`${id}: a rate limit is spread over its period, with a tenth of it at once`, async () => {
      const eventIds = [];
      for (const n of [1, 2, 3, 4, 5]) eventIds.push(await send(id, { n }));
      const verdicts = await Promise.all(eventIds.map(async (eventId) => (await app.verdict(eventId, id)).verdict));
      assert.deepEqual(verdicts, [1, 2, 3, 4, 5].map((n) => (n <= admitted ? "started" : "rate-limited")));
    });
  }

  test("an event for which the rate limit's key is false is not limited", async () => {
    const key = fresh();
    const unlimited = await Promise.all([1, 2, 3].map(() => send("rate-if", { key, limited: false })));
    assert.ok((await endsOf(unlimited)).every(({ output }) => output === "ran"));
    const limited = [await send("rate-if", { key, limited: true }), await send("rate-if", { key, limited: true })];
    assert.equal((await endOf(limited[0])).output, "ran");
    assert.equal((await app.verdict(limited[1], "rate-if")).verdict, "rate-limited");
  });

  test("an idempotency expression may be of several values", async () => {
    const key = fresh();
    const runs = await endsOf([await send("once-each", { key, n: 1 }), await send("once-each", { key, n: 2 })]);
    assert.deepEqual(runs.map(({ output }) => output), [1, 2]);
    const third = await send("once-each", { key, n: 1 });
    assert.equal((await app.verdict(third, "once-each")).verdict, "rate-limited");
    assert.deepEqual(await app.get(`/v1/events/${third}/runs`), []);
  });

  test("an event for which the singleton's key is false starts a run beside others", async () => {
    const key = fresh();
    const free = await Promise.all([1, 2].map(() => send("singleton", { key, single: false })));
    const single = [await send("singleton", { key, single: true }), await send("singleton", { key, single: true })];
    const other = await send("singleton", { key: fresh("other"), single: true });
    for (const eventId of [...free, single[0], other]) assert.equal((await app.verdict(eventId, "singleton")).verdict, "started");
    const holder = await app.started(single[0]);
    const { verdict, cause } = await app.verdict(single[1], "singleton");
    assert.deepEqual([verdict, cause], ["skipped", { by: "singleton", run: holder }]);

    await app.call("DELETE", `/v1/runs/${holder}`);
    const next = await send("singleton", { key, single: true });
    assert.equal((await app.verdict(next, "singleton")).verdict, "started", "the place is free once its run has ended");
  });

  test("a singleton's place is free after a failure", async () => {
    for (const attempt of [1, 2]) assert.equal((await app.run("limits/singleton-failing")).status, "Failed", `run ${attempt}`);
  });

  test("of many singletons that replace each other, the last one is left", async () => {
    const key = fresh();
    const eventIds = [];
    for (const n of [1, 2, 3, 4]) eventIds.push(await send("singleton-waiting", { key, n }));
    const before = await endsOf(eventIds.slice(0, 3));
    assert.ok(before.every(({ status, cause }) => status === "Cancelled" && cause.by === "replaced"), JSON.stringify(before));
    await app.parked(await app.started(eventIds[3]));
    await app.send("limits/go", { key });
    assert.equal((await endOf(eventIds[3])).status, "Completed");
  });

  test("a run of a function that is paused goes on with it", async () => {
    const path = `/v1/apps/${app.client.id}/functions/unpaused/pause`;
    const eventId = await send("unpaused");
    await inside("unpaused", 1);
    assert.equal((await app.call("POST", path)).status, 200);
    gates.unpaused.releaseOne();
    const runId = await app.started(eventId);
    const known = app.callsOf("unpaused").length;
    await app.until("the run to wait for its function", () => app.get(`/v1/runs/${runId}/standing`), ({ paused }) => paused);
    await fence();
    assert.equal(app.callsOf("unpaused").length, known, "a paused function is not called");
    assert.equal((await app.call("DELETE", path)).status, 200);
    assert.equal((await endOf(eventId)).output, "went on");
  });

  test("a function that does not exist cannot be paused", async () => {
    const { status, body } = await app.call("POST", `/v1/apps/${app.client.id}/functions/nobody/pause`);
    assert.equal(status, 404);
    assert.match(body.error, /nobody/);
  });
});
