// Functions whose runs are read through GraphQL.

import { definer } from "../app.mjs";

export const define = (client) => {
  const fn = definer(client, "graphql", { retries: 0 });
  const callee = fn("callee", async ({ event }) => ({ doubled: event.data.number * 2 }));
  return [
    callee,
    fn("works", async ({ event, step }) => {
      const counted = await step.run("count", () => event.data.number + 1);
      await step.sleep("nap", "1ms");
      const { doubled } = await step.invoke("double", { function: callee, data: { number: counted } });
      const missed = await step.waitForEvent("missed", { event: "graphql/never", timeout: "10ms" });
      return { doubled, missed };
    }),
    fn(
      "fails",
      async ({ step }) => {
        await step.run("charge", () => {
          throw new RangeError("too much", { cause: new Error("the reason") });
        });
      },
      { retries: 1 },
    ),
  ];
};
