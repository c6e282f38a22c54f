// Functions that have others run once they have ended. Only the current SDK has them.

import { definer } from "../app.mjs";
import { NonRetriableError, createDefer } from "../sdk.mjs";

/** What deferred functions got, in the order in which they ran. */
export const deferred = [];

export const defers = (client) => {
  const define = definer(client, "defers", { retries: 0 });
  const later = createDefer(client, { id: "later" }, async ({ event, parents, step }) => {
    const seen = await step.run("see", () => ({ ...event.data }));
    deferred.push({ data: seen, parents });
    return "later";
  });
  const brokenLater = createDefer(client, { id: "broken-later", retries: 0 }, ({ event }) => {
    deferred.push({ data: event.data });
    throw new Error("too late");
  });
  const put = (defer, event, id, target = later) => defer(id, { function: target, data: { key: event.data.key, id } });
  return [
    later,
    brokenLater,
    define("once", ({ event, defer }) => {
      put(defer, event, "one");
      return "now";
    }),
    define("once-off", ({ event, defer }) => {
      put(defer, event, "one");
      return "now";
    }, { checkpointing: false }),
    define("among-steps", async ({ event, defer, step }) => {
      put(defer, event, "before");
      await step.run("first", () => {});
      put(defer, event, "between");
      await step.sleep("nap", "1s");
      put(defer, event, "after");
      return step.run("second", () => "now");
    }),
    define("twice-the-same", async ({ event, defer, step }) => {
      put(defer, event, "one");
      put(defer, event, "one");
      return step.run("step", () => "now");
    }),
    define("called-off", async ({ event, defer, step }) => {
      const kept = put(defer, event, "kept");
      const dropped = put(defer, event, "dropped");
      await step.run("step", () => kept);
      dropped.abort();
      return step.run("end", () => "now");
    }),
    define("failing", ({ event, defer }) => {
      put(defer, event, "one");
      throw new NonRetriableError("no use");
    }),
    define("failing-late", async ({ event, defer, step }) => {
      put(defer, event, "one");
      await step.run("step", () => {});
      throw new NonRetriableError("no use");
    }),
    define("cancelled", async ({ event, defer, step }) => {
      put(defer, event, "one");
      await step.sleep("long", "1h");
    }),
    define("broken", ({ event, defer }) => {
      put(defer, event, "one", brokenLater);
      return "now";
    }),
    define("misused", ({ defer }) => {
      defer("one", { function: "not a function", data: {} });
      return "now";
    }),
  ];
};
