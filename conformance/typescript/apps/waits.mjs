// Functions that wait for events.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";

/** Holds the run of `missed` before it waits. */
export const beforeWait = new Gate();

/** The keys of the races that were decided. */
export const races = [];

/** The race of the SDK: `group.parallel` where there is one; the one before it discovers after each step anyway. */
const racing = (group, race) => (group ? group.parallel({ mode: "race" }, race) : race());

export const waits = (client) => {
  const define = definer(client, "waits", { retries: 1 });
  const ofKey = { event: "waits/reply", if: "async.data.key == event.data.key" };
  return [
    define("reply-if", ({ step }) => step.waitForEvent("reply", { ...ofKey, timeout: "1h" })),
    define("reply-match", ({ step }) => step.waitForEvent("reply", { event: "waits/reply", match: "data.key", timeout: "1h" })),
    define("reply-any", ({ step }) => step.waitForEvent("reply", { event: "waits/reply-any", timeout: "1h" })),
    define("reply-of-list", ({ step }) => step.waitForEvent("reply", { event: "waits/reply", if: "async.data.keys.exists(key, key == event.data.key)", timeout: "1h" })),
    define("expired", async ({ step }) => {
      const reply = await step.waitForEvent("reply", { ...ofKey, timeout: "1s" });
      return { reply, after: await step.run("after", () => "went on") };
    }),
    define("expired-at", async ({ step }) => {
      const past = await step.waitForEvent("past", { ...ofKey, timeout: new Date("2020-01-01T00:00:00Z") });
      const at = await step.run("at", () => new Date(Date.now() + 1500).toISOString());
      const soon = await step.waitForEvent("soon", { ...ofKey, timeout: new Date(at) });
      return { past, soon, early: (await step.run("now", () => Date.now())) < Math.floor(Date.parse(at) / 1000) * 1000 };
    }),
    define("missed", async ({ step }) => {
      await step.run("before", () => beforeWait.enter());
      return { reply: await step.waitForEvent("reply", { ...ofKey, timeout: "1s" }) };
    }),
    define("broken-if", ({ step }) => step.waitForEvent("reply", { event: "waits/reply", if: "async.data.key == == event.data.key", timeout: "1h" })),
    define("too-long", ({ step }) => step.waitForEvent("reply", { ...ofKey, timeout: "400d" })),
    define("two-at-once", ({ step }) =>
      Promise.all(["one", "two"].map((id) => step.waitForEvent(id, { ...ofKey, timeout: "1h" }))).then((replies) => replies.map((reply) => reply.data.number)),
    ),
    define("one-after-another", async ({ step }) => {
      const first = await step.waitForEvent("first", { ...ofKey, timeout: "1h" });
      const second = await step.waitForEvent("second", { ...ofKey, timeout: "1h" });
      return [first.data.number, second.data.number];
    }),
    define("own-event", async ({ event, step }) => {
      const [reply] = await Promise.all([
        step.waitForEvent("reply", { ...ofKey, timeout: "1h" }),
        step.sendEvent("tell", { name: "waits/reply", data: { key: event.data.key, number: 7 } }),
      ]);
      return reply.data.number;
    }),
    define("race", async ({ event, step, group }) => {
      const winner = await racing(group, () =>
        Promise.race([
          step.waitForEvent("reply", { ...ofKey, timeout: "4s" }).then(() => "reply"),
          step.sleep("patience", "1s").then(() => "patience"),
        ]),
      );
      await step.run("after", () => races.push(event.data.key));
      return winner;
    }),
    define("finished", ({ step }) =>
      step.waitForEvent("end", { event: "inngest/function.finished", if: "async.data.event.data.key == event.data.key", timeout: "1h" }),
    ),
    define("watched", () => "watched"),
  ];
};
