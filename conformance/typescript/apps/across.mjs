// Functions that invoke those of an app on the Rust SDK and are invoked by them.

import { definer } from "../app.mjs";
import { NonRetriableError, StepError, referenceFunction } from "../sdk.mjs";
import { order } from "./realtime.mjs";

const rust = (functionId) => referenceFunction({ appId: "rs-across", functionId });

export const across = (client) => {
  const define = definer(client, "across", { retries: 1 });
  const callee = (id, handler) => define(id, handler, { triggers: [] });
  return [
    callee("stepwise", async ({ event, step, attempt }) => {
      const one = await step.run("one", () => {
        if (attempt === 0) throw new Error("once");
        return event.data.number + 1;
      });
      await step.sleep("nap", "1s");
      const two = await step.run("two", () => one * 10);
      return { number: two, by: "typescript", größe: null };
    }),
    callee("broken", () => {
      throw new NonRetriableError("no use");
    }),
    define("typescript-calls", ({ event, step }) => step.invoke("call", { function: rust("stepwise"), data: { number: event.data.number } })),
    define("typescript-calls-broken", async ({ step }) => {
      try {
        return await step.invoke("call", { function: rust("broken"), data: {} });
      } catch (error) {
        return { message: error.message, isStepError: error instanceof StepError };
      }
    }),
    define("publishes-for-rust", async ({ event, step }) => {
      const { progress, tokens, notes } = order({ id: event.data.key });
      await step.realtime.publish("half", progress, { percent: 50 });
      await step.run("stream", async () => {
        const words = new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("größe"));
            controller.close();
          },
        });
        await client.realtime.publish(tokens, words);
      });
      await step.realtime.publish("last", notes, "that is all");
    }, { triggers: [{ event: "across/publish-for-rust" }] }),
    define("answers", async ({ event, step }) => {
      await step.sendEvent("answer", { name: "across/answer", data: { key: event.data.key, by: "typescript" } });
    }, { triggers: [{ event: "across/asked-by-rust" }] }),
  ];
};

export { order };
