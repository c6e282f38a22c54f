// Functions that wait for signals, and one that sends them.

import { definer } from "../app.mjs";

export const signals = (client) => {
  const define = definer(client, "signals", { retries: 1 });
  const wait = ({ event, step }, timeout, onConflict = "fail") => step.waitForSignal("wait", { signal: event.data.signal, timeout, onConflict });
  return [
    define("wait", (context) => wait(context, "1h")),
    define("wait-anew", (context) => wait(context, "1h", "replace")),
    define("wait-shortly", async (context) => ({ seen: await wait(context, "1s"), after: await context.step.run("after", () => "went on") })),
    define("wait-replaceably", async (context) => ({ seen: await wait(context, "2s") })),
    define("wait-beside-work", async (context) => {
      const [seen, work] = await Promise.all([wait(context, "1h"), context.step.run("work", () => "worked")]);
      return { data: seen.data, work };
    }),
    define("send", async ({ event, step }) => {
      const sent = await step.sendSignal("send", { signal: event.data.signal, data: event.data.data });
      return { sent, after: await step.run("after", () => "went on") };
    }),
  ];
};
