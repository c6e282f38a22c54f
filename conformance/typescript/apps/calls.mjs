// Functions that call others: each other, signals, HTTP servers, AI providers.

import { createServer } from "node:http";

import { definer } from "../app.mjs";
import { anthropic, gemini, openai, referenceFunction } from "../sdk.mjs";

/** A server that functions fetch from, and that speaks as an AI provider; it keeps the requests that came. */
export async function startProvider() {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body });
    const answer = (status, json, more = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...more });
      response.end(JSON.stringify(json));
    };
    if (url.startsWith("/refuses")) return answer(401, { error: { message: "no such key" } });
    if (url.startsWith("/busy")) {
      const before = requests.filter((earlier) => earlier.url === url).length;
      if (before < 2) return answer(429, { error: { message: "slow down" } }, { "retry-after": "1" });
    }
    if (url.startsWith("/teapot")) return answer(418, { short: "stout" }, { "x-kind": "tea" });
    answer(200, { said: "hello", to: method });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}`, requests, stop: () => server.close() };
}

export const calls = (provider) => (client) => {
  const define = definer(client, "calls", { retries: 1 });
  const callee = define("callee", ({ event }) => ({ got: event.data.n, name: event.name }));
  const failing = define("failing", () => {
    throw new Error("not today");
  }, { retries: 0 });
  const slow = define("slow", ({ step }) => step.sleep("long", "1h"));
  const limited = define("limited", () => "ran", { rateLimit: { limit: 1, period: "1h" } });
  const only = define("only", ({ step }) => step.sleep("long", "1h"), { singleton: { mode: "skip" } });
  const caught = (call) => call.then((value) => ({ value }), (error) => ({ error: error.name, message: error.message }));
  const model = (make, options) => make({ model: "m", apiKey: "sk-of-the-test", baseUrl: provider.url, ...options });
  const chat = { messages: [{ role: "user", content: "hi" }] };
  return [
    callee,
    failing,
    slow,
    limited,
    only,
    define("invokes", ({ event, step }) => step.invoke("call", { function: callee, data: { n: event.data.n } })),
    define("invokes-by-id", ({ step }) =>
      step.invoke("call", { function: referenceFunction({ appId: "ts-calls", functionId: "callee" }), data: { n: 3 } }),
    ),
    define("invokes-failing", ({ step }) => caught(step.invoke("call", { function: failing, data: {} }))),
    define("invokes-missing", ({ step }) =>
      caught(step.invoke("call", { function: referenceFunction({ functionId: "nobody" }), data: {} })),
    ),
    define("invokes-slow", ({ step }) => caught(step.invoke("call", { function: slow, data: {}, timeout: "1s" }))),
    define("invokes-limited", async ({ step }) => {
      const first = await caught(step.invoke("first", { function: limited, data: {} }));
      return [first, await caught(step.invoke("second", { function: limited, data: {} }))];
    }),
    define("invokes-only", ({ step }) => caught(step.invoke("call", { function: only, data: {} }))),
    define("signalled", ({ event, step }) => step.waitForSignal("signal", { signal: event.data.signal, timeout: event.data.timeout ?? "1h" })),
    define("signals", ({ event, step }) => step.sendSignal("send", { signal: event.data.signal, data: { by: "a function" } })),
    define("fetches", async ({ step }) => {
      const response = await step.fetch(`${provider.url}/teapot`, { method: "PUT", headers: { "x-mine": "1" }, body: "brew" });
      return { status: response.status, body: await response.json(), kind: response.headers.get("x-kind") };
    }),
    define("fetches-dead", ({ step }) => caught(step.fetch("http://127.0.0.1:9/").then(() => "answered"))),
    define("asks-openai", ({ step }) => step.ai.infer("ask", { model: model(openai), body: chat })),
    define("asks-anthropic", ({ step }) =>
      step.ai.infer("ask", { model: model(anthropic, { defaultParameters: { max_tokens: 5 } }), body: { ...chat, max_tokens: 5 } }),
    ),
    define("asks-gemini", ({ step }) =>
      step.ai.infer("ask", { model: model(gemini), body: { contents: [{ role: "user", parts: [{ text: "hi" }] }] } }),
    ),
    define("asks-refusing", ({ step }) => caught(step.ai.infer("ask", { model: model(openai, { baseUrl: `${provider.url}/refuses` }), body: chat }))),
    define("asks-busy", ({ step }) => step.ai.infer("ask", { model: model(openai, { baseUrl: `${provider.url}/busy` }), body: chat })),
    define("repeated", async ({ event, step }) => {
      const first = await step.run("first", () => event.data.n + 1);
      const second = await step.run("second", (value) => value * 10, first);
      return { first, second };
    }),
  ];
};
