import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";
import { Gate } from "../gate.mjs";

const limited = new Gate();
const limitedSteps = new Gate();
const byAccount = { a: new Gate(), b: new Gate() };
const starts = [];

let app;
before(async () => {
  app = await startApp("ts-flow", (client) => {
    const define = (id, handler, options = {}) => client.createFunction({ id, triggers: [{ event: `flow/${id}` }], checkpointing: false, ...options }, handler);
    return [
      define("free", () => "free"),
      define("limited", ({ step }) => step.run("inside", () => limited.enter()), { concurrency: 2 }),
      define("limited-steps", ({ step }) => Promise.all([1, 2, 3, 4].map((id) => step.run(`step ${id}`, () => limitedSteps.enter()))), { concurrency: { limit: 2 } }),
      define("by-account", ({ event, step }) => step.run("inside", () => byAccount[event.data.account].enter()), {
        concurrency: [{ limit: 1, key: "event.data.account" }],
      }),
      define(
        "throttled",
        ({ event }) => {
          starts.push({ at: Date.now(), key: event.data.key });
        },
        { throttle: { limit: 1, period: "2s", key: "event.data.key" } },
      ),
    ];
  });
});
after(() => app?.stop());

/** Something newer has gone all the way through the server: what was going to start has started. */
const fence = () => app.run("flow/free");
const sendMany = (name, all) => app.client.send(all.map((data) => ({ name, data }))).then(({ ids }) => ids);

async function drain(gate, count, limit) {
  for (let left = count; left > 0; left -= 1) {
    const expected = Math.min(limit, left);
    await app.until(`${expected} executions inside, ${left} left`, () => gate.inside, (inside) => inside >= expected);
    await fence();
    gate.releaseOne();
    await app.until("one to leave", () => gate.inside, (inside) => inside <= Math.max(expected, left - 1));
  }
}

test("no more executions at once than the limit, and nothing is lost", async () => {
  const ids = await sendMany("flow/limited", Array(6).fill({}));
  await drain(limited, 6, 2);
  const runs = await Promise.all(ids.map((id) => app.ended(id)));
  assert.ok(runs.every(([run]) => run.status === "Completed"));
  assert.equal(limited.most, 2);
});

test("parallel steps count each", async () => {
  const eventId = await app.send("flow/limited-steps");
  await drain(limitedSteps, 4, 2);
  const [run] = await app.ended(eventId);
  assert.equal(run.status, "Completed");
  assert.equal(limitedSteps.most, 2);
});

test("each value of the key has a limit of its own", async () => {
  const ids = await sendMany("flow/by-account", ["a", "a", "a", "b", "b"].map((account) => ({ account })));
  await app.until("one execution of each account", () => [byAccount.a.inside, byAccount.b.inside], ([a, b]) => a === 1 && b === 1);
  await drain(byAccount.a, 3, 1);
  await drain(byAccount.b, 2, 1);
  await Promise.all(ids.map((id) => app.ended(id)));
  assert.deepEqual([byAccount.a.most, byAccount.b.most], [1, 1]);
});

test("a throttle spaces the starts of each key and drops none", async () => {
  const ids = await sendMany("flow/throttled", ["k", "k", "k", "other"].map((key) => ({ key })));
  const runs = await Promise.all(ids.map((id) => app.ended(id)));
  assert.ok(runs.every(([run]) => run.status === "Completed"));

  const own = starts.filter(({ key }) => key === "k").map(({ at }) => at);
  const other = starts.find(({ key }) => key === "other").at;
  const gaps = own.slice(1).map((at, index) => at - own[index]);
  assert.equal(own.length, 3);
  assert.ok(gaps.every((gap) => gap >= 1000), `starts of one key were ${gaps} ms apart, of 2000`);
  assert.ok(other < own[2], "another key does not wait for this one");
});
