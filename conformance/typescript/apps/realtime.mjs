// Functions that publish to those who follow their channels.

import { openai } from "inngest";
import { channel, staticSchema } from "inngest/realtime";

import { definer } from "../app.mjs";

/** A schema that takes numbers up to a hundred only. */
const percent = {
  "~standard": { version: 1, vendor: "test", validate: (value) => (value?.percent <= 100 ? { value } : { issues: [{ message: "not a percentage" }] }) },
};

/** A channel of its own for each order. */
export const order = channel({
  name: ({ id }) => `order:${id}`,
  topics: { progress: { schema: percent }, notes: { schema: staticSchema() }, tokens: {}, answers: {} },
});

export const realtime = (provider, gate) => (client) => {
  const define = definer(client, "realtime", { retries: 1 });
  const executions = new Map();
  const count = (key) => {
    executions.set(key, (executions.get(key) ?? 0) + 1);
    return executions.get(key);
  };
  return [
    define("publish", async ({ event, step }) => {
      const { progress, notes } = order({ id: event.data.key });
      await step.realtime.publish("half", progress, { percent: 50 });
      await step.run("note", () => client.realtime.publish(notes, `größe ${event.data.key}`));
      const said = await step.realtime.publish("all", progress, { percent: 100 });
      return { said };
    }),
    define("publish-invalid", ({ event, step }) => step.realtime.publish("too much", order({ id: event.data.key }).progress, { percent: 101 }).catch((error) => error.message)),
    define("publish-again", async ({ event, step }) => {
      const { notes } = order({ id: event.data.key });
      await step.realtime.publish("once", notes, "once");
      await step.run("flaky", () => {
        if (count(event.data.key) === 1) throw new Error("the first attempt");
      });
      await step.realtime.publish("end", notes, "end");
    }),
    define("stream", ({ event, step }) =>
      step.run("stream", async () => {
        const encoder = new TextEncoder();
        const words = new ReadableStream({
          start(controller) {
            for (const word of ["one ", "größe ", "three"]) controller.enqueue(encoder.encode(word));
            controller.close();
          },
        });
        await client.realtime.publish(order({ id: event.data.key }).tokens, words);
      }),
    ),
    define("gated", async ({ event, step }) => {
      await step.run("wait", () => gate(event.data.key));
      if (event.data.fail) throw new Error("as asked");
      return { worked: true };
    }, { retries: 0 }),
    define("infer", ({ event, step }) =>
      step.ai.infer("ask", {
        model: openai({ model: "m", apiKey: "k", baseUrl: `${provider.url}/${event.data.key}/chat` }),
        body: { messages: [{ role: "user", content: "hi" }] },
        publish: { channel: order({ id: event.data.key }).name, topic: "answers" },
      }),
    ),
  ];
};
