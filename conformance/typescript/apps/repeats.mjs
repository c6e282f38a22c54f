// Functions whose runs are run again, looked at and cancelled by hand.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";
import { NonRetriableError } from "../sdk.mjs";

/** How often each step's body ran, by run and step. */
export const executions = new Map();
export const held = new Gate();
let failing = true;
/** From now on `failing-once` works. */
export const mend = () => (failing = false);

export const repeats = (client) => {
  const define = definer(client, "repeats", { retries: 0 });
  const counted = (runId, stepId, body) => (...args) => {
    const key = `${runId} ${stepId}`;
    executions.set(key, (executions.get(key) ?? 0) + 1);
    return body(...args);
  };
  return [
    define("sum", async ({ event, step, runId }) => {
      const first = await step.run("first", counted(runId, "first", (n) => n + 1), event.data.n);
      await step.sleep("nap", "1s");
      const second = await step.run("second", counted(runId, "second", (n) => n * 10), first);
      return step.run("third", counted(runId, "third", (n) => n + 5), second);
    }),
    define("failing-once", async ({ step, runId }) => {
      const good = await step.run("good", counted(runId, "good", () => "good"));
      return step.run("bad", counted(runId, "bad", () => {
        if (failing) throw new NonRetriableError("not mended");
        return `${good}, mended`;
      }));
    }),
    define("twins", async ({ step }) => [await step.run("twin", () => 1), await step.run("twin", () => 2)]),
    define("held", ({ step }) => step.run("hold", () => held.enter())),
    define("asleep", ({ step }) => step.sleep("long", "1h")),
    define("once-a-day", () => "ran", { rateLimit: { limit: 1, period: "24h", key: "event.data.key" } }),
  ];
};
