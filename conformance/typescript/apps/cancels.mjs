// Functions that are cancelled: by events, by time, by hand.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";

/** A gate for each function that holds its runs inside a step. */
export const gates = Object.fromEntries(
  ["in-flight", "finish-in-flight", "queued", "listening-shortly", "finish-enough", "late"].map((id) => [id, new Gate()]),
);
export const cleanedUp = [];

export const cancels = (client) => {
  const define = definer(client, "cancels", { retries: 0 });
  const held = (id) => ({ step }) => step.run("hold", () => gates[id].enter());
  const stop = { event: "cancels/stop", match: "data.key" };
  return [
    define("in-flight", held("in-flight"), { cancelOn: [stop] }),
    define("queued", held("queued"), { cancelOn: [stop], concurrency: 1 }),
    define("asleep", ({ step }) => step.sleep("long", "1h"), { cancelOn: [stop] }),
    define("waiting", ({ step }) => step.waitForEvent("reply", { event: "cancels/stop", match: "data.key", timeout: "1h" }), { cancelOn: [stop] }),
    define("by-any", ({ step }) => step.sleep("long", "1h"), { cancelOn: [{ event: "cancels/stop-all" }] }),
    define("by-either", ({ step }) => step.sleep("long", "1h"), {
      cancelOn: [stop, { event: "cancels/halt", if: "event.data.key == async.data.key && async.data.level >= 2" }],
    }),
    define("itself", ({ event }) => event.data.key, { cancelOn: [{ event: "cancels/itself", match: "data.key" }] }),
    define("listening-shortly", async ({ step }) => {
      await step.sleep("until the listener is gone", "2s");
      await step.run("hold", () => gates["listening-shortly"].enter());
      return "not cancelled";
    }, { cancelOn: [{ ...stop, timeout: "1s" }] }),
    define("finish-in-flight", held("finish-in-flight"), { timeouts: { finish: "1s" } }),
    define("finish-enough", async ({ step }) => {
      await step.run("step", () => {});
      return "in time";
    }, { timeouts: { start: "1h", finish: "1h" } }),
    define("late", async ({ event, step }) => {
      await step.run("hold", () => gates.late.enter());
      return step.run("after", () => cleanedUp.push(event.data.key));
    }, { checkpointing: false, cancelOn: [stop] }),
    define("clean-up", ({ event, step }) => step.run("clean up", () => void cleanedUp.push(event.data.event.data.key)), {
      triggers: [{ event: "inngest/function.cancelled", if: `event.data.function_id == '${client.id}-asleep'` }],
    }),
  ];
};
