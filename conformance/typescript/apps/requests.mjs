// Functions that have the server make requests: `step.fetch` and `step.ai.infer`.

import { definer } from "../app.mjs";
import { StepError, anthropic, gemini, openai } from "../sdk.mjs";

export const API_KEY = "sk-of-the-test";

/** What came of a step, as the function's code sees it. */
const caught = (step) =>
  step.then(
    (result) => ({ result }),
    (error) => ({ name: error.name, message: error.message, isStepError: error instanceof StepError }),
  );

export const requests = (provider) => (client) => {
  const define = definer(client, "requests", { retries: 1 });
  const base = ({ data }) => `${provider.url}/${data.key}/${data.what}`;
  const ask = (id, makeModel, body) =>
    define(id, ({ event, step }) => caught(step.ai.infer("ask", { model: makeModel({ model: "m", apiKey: API_KEY, baseUrl: base(event) }), body: structuredClone(body) })));
  const messages = [{ role: "user", content: "hi" }];
  return [
    define("fetch", ({ event, step }) =>
      caught(
        step.fetch(base(event), event.data.init).then(async (response) => ({ status: response.status, kind: response.headers.get("x-kind"), body: await response.text() })),
      ),
    ),
    define("fetch-url", ({ event, step }) => caught(step.fetch(event.data.url).then((response) => response.status))),
    define("fetch-twice", async ({ event, step }) => {
      const one = await step.fetch(base(event), { method: "POST", body: "one" });
      const two = await step.fetch(base(event), { method: "POST", body: "two" });
      const kept = await step.run("keep", async () => (await one.json()).body);
      return [kept, (await two.json()).body];
    }),
    define("fetch-side-by-side", async ({ event, step }) => {
      const bodies = ["a", "b", "c"].map(async (body) => (await (await step.fetch(base(event), { method: "POST", body })).json()).body);
      return Promise.all([...bodies, step.run("work", () => "worked")]);
    }),
    define("fetch-within", ({ event, step }) => step.run("inside", async () => (await step.fetch(base(event))).status)),
    ask("openai", openai, { messages }),
    ask("anthropic", (options) => anthropic({ ...options, defaultParameters: { max_tokens: 5 } }), { messages, max_tokens: 5 }),
    ask("gemini", gemini, { contents: [{ role: "user", parts: [{ text: "hi" }] }] }),
    define("wrap", ({ event, step }) => step.ai.wrap("wrapped", async (number) => ({ doubled: number * 2 }), event.data.number)),
  ];
};
