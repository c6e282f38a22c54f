import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { API_KEY, requests } from "../apps/requests.mjs";
import { Provider } from "../provider.mjs";

describe("requests", { concurrency: 8 }, () => {
  let app;
  let provider;
  before(async () => {
    provider = await new Provider().start();
    app = await startApp("ts-requests", requests(provider));
  });
  after(async () => {
    provider?.stop();
    await app?.stop();
  });

  /** Has the function make its request; what it saw, and the requests that came. */
  async function outcome(id, what, more = {}) {
    const key = fresh(what);
    const run = await app.run(`requests/${id}`, { key, what, ...more });
    assert.equal(run.status, "Completed", JSON.stringify(run.output));
    return { output: run.output, came: provider.of(key) };
  }

  describe("step.fetch", { concurrency: 8 }, () => {
    test("sends method, headers and body, and returns the answer's", async () => {
      const init = { method: "PUT", headers: { "x-mine": "1", "content-type": "text/plain" }, body: "größe" };
      const { output, came } = await outcome("fetch", "echo", { init });
      assert.equal(output.result.status, 200);
      assert.deepEqual(JSON.parse(output.result.body), { method: "PUT", body: "größe", mine: "1" });
      assert.equal(came.length, 1);
      assert.equal(came[0].headers["content-type"], "text/plain");
    });

    test("without options is a GET", async () => {
      const { came } = await outcome("fetch", "echo");
      assert.deepEqual([came[0].method, came[0].body], ["GET", ""]);
    });

    test("returns a text with its headers", async () => {
      assert.deepEqual((await outcome("fetch", "text")).output.result, { status: 200, kind: "plain", body: "größe" });
    });

    for (const [what, status] of [["teapot", 418], ["broken", 500], ["refuses", 401]]) {
      test(`returns a status that is not a success: ${status}`, async () => {
        const { output, came } = await outcome("fetch", what);
        assert.equal(output.result.status, status);
        assert.equal(came.length, 1, "any answer is an answer");
      });
    }

    test("follows a redirect", async () => {
      const { output, came } = await outcome("fetch", "moved", { init: { method: "POST", body: "x" } });
      assert.equal(output.result.status, 200);
      assert.equal(came.length, 2);
    });

    test("fails after its attempts when nobody answers", async () => {
      const { output } = await outcome("fetch-url", "", { url: "http://127.0.0.1:9/secret-path" });
      const { name, message, isStepError } = output;
      assert.deepEqual([name, isStepError], ["GatewayError", true]);
      assert.match(message, /127\.0\.0\.1:9/);
      assert.doesNotMatch(message, /secret-path/);
    });

    test("fails when a name is not found", async () => {
      const { output } = await outcome("fetch-url", "", { url: "http://nowhere.invalid/" });
      assert.equal(output.name, "GatewayError");
    });

    test("fails on what is not HTTP", async () => {
      const { output } = await outcome("fetch-url", "", { url: "ftp://127.0.0.1/file" });
      assert.match(output.message, /ftp|http/);
    });

    test("fails when the answer is cut", async () => {
      const { output, came } = await outcome("fetch", "cut");
      assert.equal(output.name, "GatewayError");
      assert.equal(came.length, 2, "each attempt is a request");
    });

    test("is tried again when the connection breaks", async () => {
      const { output, came } = await outcome("fetch", "cut-once");
      assert.equal(output.result.status, 200);
      assert.equal(came.length, 2);
    });

    test("fails at once when the answer is larger than a step's value may be", async () => {
      const { output, came } = await outcome("fetch", "large");
      assert.match(output.message, /step output size is greater than the limit/);
      assert.equal(came.length, 1);
    });

    test("is recorded: later calls of the function do not send it again", async () => {
      const { output, came } = await outcome("fetch-twice", "echo");
      assert.deepEqual(output, ["one", "two"]);
      assert.deepEqual(came.map(({ body }) => body), ["one", "two"]);
    });

    test("goes side by side with others and with steps", async () => {
      const { output, came } = await outcome("fetch-side-by-side", "echo");
      assert.deepEqual(output, ["a", "b", "c", "worked"]);
      assert.deepEqual(came.map(({ body }) => body).sort(), ["a", "b", "c"]);
    });

    test("within a step is the app's own fetch", async () => {
      const { output, came } = await outcome("fetch-within", "text");
      assert.equal(output, 200);
      assert.doesNotMatch(came[0].headers["user-agent"], /stepwell/i);
    });
  });

  describe("step.ai.infer", { concurrency: 8 }, () => {
    test("openai: the key is a bearer's, and the answer is the step's", async () => {
      const { output, came } = await outcome("openai", "v1");
      assert.equal(output.result.choices[0].message.content, "hello");
      assert.equal(output.result.usage.total_tokens, 7);
      const [{ method, url, headers, body }] = came;
      assert.deepEqual([method, headers.authorization], ["POST", `Bearer ${API_KEY}`]);
      assert.match(url, /\/v1\/chat\/completions$/);
      assert.deepEqual(JSON.parse(body), { model: "m", messages: [{ role: "user", content: "hi" }] });
    });

    test("anthropic: the key has its header, and the version goes along", async () => {
      const { output, came } = await outcome("anthropic", "v1");
      assert.equal(output.result.content[0].text, "hello");
      const [{ url, headers, body }] = came;
      assert.deepEqual([headers["x-api-key"], headers["anthropic-version"], headers.authorization], [API_KEY, "2023-06-01", undefined]);
      assert.match(url, /\/v1\/messages$/);
      assert.equal(JSON.parse(body).max_tokens, 5);
    });

    test("gemini: the key is in the query, once", async () => {
      const { output, came } = await outcome("gemini", "v1beta");
      assert.equal(output.result.candidates[0].content.parts[0].text, "hello");
      const { pathname, searchParams } = new URL(came[0].url, provider.url);
      assert.match(pathname, /\/models\/m:generateContent$/);
      assert.deepEqual(searchParams.getAll("key"), [API_KEY]);
      assert.equal(came[0].headers.authorization, undefined);
    });

    test("a refusal is final, with the provider's words and without the key", async () => {
      const { output, came } = await outcome("openai", "refuses");
      assert.deepEqual([output.name, output.isStepError], ["AIGatewayError", true]);
      assert.match(output.message, /401.*no such key/);
      assert.doesNotMatch(JSON.stringify(output), new RegExp(API_KEY));
      assert.equal(came.length, 1);
    });

    for (const what of ["busy", "broken-once"]) {
      test(`a provider that is ${what} is asked again`, async () => {
        const { output, came } = await outcome("openai", what);
        assert.equal(output.result.choices[0].message.content, "hello");
        assert.equal(came.length, 2);
      });
    }

    for (const [what, message] of [
      ["always-busy", /429.*slow down/],
      ["broken", /500.*out of order/],
    ]) {
      test(`a provider that stays ${what} fails the step after its attempts`, async () => {
        const { output, came } = await outcome("openai", what);
        assert.equal(output.name, "AIGatewayError");
        assert.match(output.message, message);
        assert.equal(came.length, 2);
      });
    }

    test("an answer that is not JSON fails the step", async () => {
      const { output } = await outcome("openai", "prose");
      assert.equal(output.name, "AIGatewayError");
      assert.match(output.message, /not JSON/);
    });

    test("step.ai.wrap is a step of the app", async () => {
      assert.deepEqual((await outcome("wrap", "", { number: 4 })).output, { doubled: 8 });
    });
  });
});
