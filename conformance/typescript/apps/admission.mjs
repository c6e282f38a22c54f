// Functions whose runs are held back, gathered, skipped, cancelled or timed out.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";

/** Holds runs where a test wants them. */
export const gates = { singleton: new Gate(), replaced: new Gate(), runs: new Gate(), queued: new Gate() };

/** The ends that `ended` heard of, as `<function>: <status>`. */
export const heard = [];

export const admission = (client) => {
  const define = definer(client, "admission", { retries: 0, checkpointing: false });
  return [
    define("debounced", ({ event }) => event.data.n, { debounce: { period: "1s", key: "event.data.key" } }),
    define("debounced-at-most", ({ event }) => event.data.n, { debounce: { period: "5s", timeout: "1s" } }),
    define("batched", ({ event, events }) => [event.data.n, events.map(({ data }) => data.n)], {
      batchEvents: { maxSize: 3, timeout: "2s", key: "event.data.key" },
    }),
    define("batched-if", ({ events }) => events.length, { batchEvents: { maxSize: 2, timeout: "60s", if: "event.data.slow == true" } }),
    define("rate-limited", () => "ran", { rateLimit: { limit: 1, period: "1h", key: "event.data.key" } }),
    define("once", () => "ran", { idempotency: "event.data.key" }),
    define("singleton", ({ step }) => step.run("hold", () => gates.singleton.enter()), { singleton: { mode: "skip", key: "event.data.key" } }),
    define("replaced", ({ event, step }) => step.run("hold", () => (event.data.last ? "last" : gates.replaced.enter())), {
      singleton: { mode: "cancel", key: "event.data.key" },
    }),
    define("cancelled", ({ step }) => step.sleep("long", "1h"), {
      cancelOn: [{ event: "admission/stop", match: "data.key" }, { event: "admission/stop-if", if: "async.data.keys == event.data.key" }],
    }),
    define("finish", ({ step }) => step.sleep("long", "1h"), { timeouts: { finish: "1s" } }),
    define("start", ({ step }) => step.run("hold", () => gates.queued.enter()), { concurrency: 1, timeouts: { start: "1s" } }),
    define("several", ({ event }) => event.name, {
      triggers: [{ event: "admission/one" }, { event: "admission/two", if: "event.data.n > 1" }, { event: "admission.dotted/*" }],
    }),
    define("ended", ({ event }) => void heard.push(`${event.data.function_id}: ${event.data._inngest.status}`), {
      triggers: [{ event: "inngest/function.cancelled" }],
    }),
    define("paused", () => "ran"),
    define("cron", ({ event }) => event.name, { triggers: [{ cron: "TZ=Europe/Paris * * * * *" }] }),
    define("filtered", () => "ran", { triggers: [{ event: "admission/filtered", if: "event.data.cents > 100 && event.data.vip" }] }),
  ];
};
