// Functions whose runs are limited in number or in rate.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";

export const gates = Object.fromEntries(
  ["fn-and-step", "fn", "keyed-fn", "shared", "steps", "ordered", "two-limits", "unpaused"].map((id) => [id, new Gate()]),
);
/** What ran, in order, by function. */
export const order = { ordered: [], "by-burst": [], asleep: [] };

export const limits = (client) => {
  const define = definer(client, "limits", { retries: 0, checkpointing: false });
  const held = (id) => ({ step }) => step.run("hold", () => gates[id].enter());
  const shared = { concurrency: [{ limit: 1, scope: "env", key: "event.data.key" }] };
  return [
    define("free", () => "free"),
    define("fn", held("fn"), { concurrency: { fn: [{ limit: 2 }] } }),
    define("keyed-fn", held("keyed-fn"), { concurrency: { fn: [{ limit: 1, key: "event.data.key" }] } }),
    define("fn-and-step", ({ step }) => Promise.all([1, 2, 3].map((n) => step.run(`hold ${n}`, () => gates["fn-and-step"].enter()))), {
      concurrency: { fn: [{ limit: 1 }], step: [{ limit: 2 }] },
    }),
    define("asleep", async ({ event, step }) => {
      await step.run("begin", () => void order.asleep.push(`begin ${event.data.n}`));
      await step.sleep("nap", "1s");
      await step.run("end", () => void order.asleep.push(`end ${event.data.n}`));
    }, { concurrency: { fn: [{ limit: 1 }] } }),
    define("asleep-beside", async ({ event, step }) => {
      await step.run("begin", () => void order.asleep.push(`begin ${event.data.n}`));
      await step.waitForEvent("go", { event: "limits/go", match: "data.key", timeout: "1h" });
      await step.run("end", () => void order.asleep.push(`end ${event.data.n}`));
    }, { concurrency: 1 }),
    define("shared-one", held("shared"), shared),
    define("shared-two", held("shared"), shared),
    define("two-limits", held("two-limits"), { concurrency: [{ limit: 2 }, { limit: 1, key: "event.data.key" }] }),
    define("ordered", async ({ event, step }) => {
      await step.run("hold", () => gates.ordered.enter());
      order.ordered.push(event.data.name);
    }, { concurrency: { fn: [{ limit: 1 }] }, priority: { run: "event.data.urgent ? 120 : 0" } }),
    define("by-burst", ({ event }) => void order["by-burst"].push({ at: Date.now(), n: event.data.n }), { throttle: { limit: 1, period: "2s", burst: 2 } }),
    define("rate-of-two", () => "ran", { rateLimit: { limit: 2, period: "1h" } }),
    define("rate-of-ten", () => "ran", { rateLimit: { limit: 10, period: "1h" } }),
    define("rate-if", () => "ran", { rateLimit: { limit: 1, period: "1h", key: "event.data.limited && event.data.key" } }),
    define("rate-broken-key", () => "ran", { rateLimit: { limit: 1, period: "1h", key: "event.data.key.size() + 1" } }),
    define("once-each", ({ event }) => event.data.n, { idempotency: "event.data.key + '-' + string(event.data.n)" }),
    define("singleton", ({ step }) => step.sleep("long", "1h"), { singleton: { mode: "skip", key: "event.data.single && event.data.key" } }),
    define("singleton-failing", () => {
      throw new Error("fails");
    }, { singleton: { mode: "skip" } }),
    define("singleton-waiting", ({ step }) => step.waitForEvent("go", { event: "limits/go", match: "data.key", timeout: "1h" }), {
      singleton: { mode: "cancel", key: "event.data.key" },
    }),
    define("unpaused", async ({ step }) => {
      await step.run("hold", () => gates.unpaused.enter());
      return step.run("after", () => "went on");
    }),
  ];
};
