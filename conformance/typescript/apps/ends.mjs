// Functions that end in every way, and functions that hear of it.

import { definer } from "../app.mjs";
import { NonRetriableError } from "../sdk.mjs";

/** The announcements that came, by the listener's id. */
export const heard = { finished: [], failed: [], cancelled: [] };
/** What failure handlers saw. */
export const handled = [];

export const ends = (client) => {
  const define = definer(client, "ends", { retries: 0 });
  const listener = (id) =>
    define(`on-${id}`, ({ event }) => void heard[id].push(event), { triggers: [{ event: `inngest/function.${id}` }] });
  const handler = ({ error, event, events }) => handled.push({ error, event, events: events.length });
  const fail = () => {
    throw new NonRetriableError("no use", { cause: new TypeError("the reason") });
  };
  return [
    ...Object.keys(heard).map(listener),
    define("well", ({ event }) => ({ got: event.data.key })),
    define("badly", fail, { onFailure: handler }),
    define("badly-in-a-step", ({ step }) => step.run("step", fail), { onFailure: handler }),
    define("badly-after-retries", () => {
      throw new RangeError("never works");
    }, { retries: 1, onFailure: handler }),
    define("badly-in-batches", fail, { batchEvents: { maxSize: 2, timeout: "30s", key: "event.data.key" }, onFailure: handler }),
    define("badly-twice", fail, {
      onFailure: ({ event, attempt }) => {
        handled.push({ event, attempt });
        throw new NonRetriableError("nor does this");
      },
    }),
    define("badly-at-length", fail, {
      onFailure: async ({ event, step }) => {
        const first = await step.run("first", () => 1);
        await step.sleep("nap", "1s");
        const second = await step.run("second", () => first + 1);
        handled.push({ event, second });
      },
    }),
    define("never", ({ step }) => step.sleep("long", "1h"), { onFailure: handler }),
    define("only-of-one", ({ event }) => void handled.push({ event, filtered: true }), {
      triggers: [{ event: "inngest/function.finished", if: `event.data.function_id == '${client.id}-well' && event.data.event.data.special` }],
    }),
  ];
};
