import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { step } from "inngest";
import { stream } from "inngest/experimental/durable-endpoints";
import { fetchWithStream } from "inngest/experimental/durable-endpoints/client";
import { subscribe } from "inngest/realtime";

import { fresh, startApp } from "../app.mjs";
import { order, realtime } from "../apps/realtime.mjs";
import { serveEndpoints } from "../endpoint-app.mjs";
import { Provider } from "../provider.mjs";

/** The SDK takes the WebSocket that node has from version 22 on, and before with a flag, which `npm test` gives. */
const skip = typeof WebSocket === "undefined" && "needs node --experimental-websocket";

const PATIENCE_MS = 30_000;

/** What may be waited for under a name, once someone says so. */
const gates = new Map();
function gate(key) {
  if (!gates.has(key)) {
    let open;
    const opened = new Promise((resolve) => (open = resolve));
    gates.set(key, { opened, open });
  }
  return gates.get(key);
}

/** The next messages of a subscription. */
async function messages(subscription, count) {
  const reader = subscription.getReader();
  const seen = [];
  const patience = setTimeout(() => subscription.close(), PATIENCE_MS);
  while (seen.length < count) {
    const { done, value } = await reader.read();
    assert.ok(!done, `the subscription ended after ${JSON.stringify(seen)}`);
    seen.push(value);
  }
  clearTimeout(patience);
  subscription.close();
  return seen;
}
const said = ({ topic, data }) => [topic, data];

describe("realtime", { skip, concurrency: 8 }, () => {
  let app;
  let provider;
  before(async () => {
    provider = await new Provider().start();
    app = await startApp("ts-realtime", realtime(provider, (key) => gate(key).opened));
  });
  after(async () => {
    provider?.stop();
    await app?.stop();
  });

  const follow = (channel, topics) => app.client.realtime.subscribe({ channel, topics });

  test("what a function publishes arrives, in order, with the run that said it", async () => {
    const key = fresh();
    const subscription = await follow(order({ id: key }), ["progress", "notes"]);
    const run = await app.run("realtime/publish", { key });
    const seen = await messages(subscription, 3);
    assert.deepEqual(seen.map(said), [
      ["progress", { percent: 50 }],
      ["notes", `größe ${key}`],
      ["progress", { percent: 100 }],
    ]);
    for (const { kind, channel, runId, createdAt } of seen) {
      assert.deepEqual([kind, channel, runId], ["data", `order:${key}`, run.run_id]);
      assert.ok(createdAt instanceof Date && createdAt.getTime() > 0);
    }
    assert.deepEqual(run.output, { said: { percent: 100 } });
  });

  test("only the topics that were asked for arrive", async () => {
    const key = fresh();
    const subscription = await follow(order({ id: key }), ["progress"]);
    await app.run("realtime/publish", { key });
    assert.deepEqual((await messages(subscription, 2)).map(said), [
      ["progress", { percent: 50 }],
      ["progress", { percent: 100 }],
    ]);
  });

  test("channels do not hear one another", async () => {
    const [mine, other] = [fresh(), fresh()];
    const subscription = await follow(order({ id: mine }), ["notes"]);
    await app.run("realtime/publish", { key: other });
    await app.run("realtime/publish", { key: mine });
    assert.deepEqual((await messages(subscription, 1)).map(said), [["notes", `größe ${mine}`]]);
  });

  test("data that does not fit its topic is not published", async () => {
    const run = await app.run("realtime/publish-invalid", { key: fresh() });
    assert.match(run.output, /Schema validation failed for topic "progress"/);
  });

  test("a browser subscribes with a token alone", async () => {
    const key = fresh();
    const { key: token, apiBaseUrl } = await app.client.realtime.token({ channel: order({ id: key }), topics: ["notes"] });
    const heard = [];
    const subscription = await subscribe({ channel: `order:${key}`, topics: ["notes"], key: token, apiBaseUrl, onMessage: (message) => heard.push(message.data) });
    await app.client.realtime.publish(order({ id: key }).notes, "hello");
    await app.until("a message", () => heard, (heard) => heard.length === 1);
    assert.deepEqual(heard, ["hello"]);
    subscription.close();
  });

  test("a token that is none opens nothing", async () => {
    const apiBaseUrl = app.server.url;
    await assert.rejects(subscribe({ channel: "c", topics: ["t"], key: "x.y.z", apiBaseUrl }));
  });

  test("a durable message is published once, however often the function is called", async () => {
    const key = fresh();
    const subscription = await follow(order({ id: key }), ["notes"]);
    const run = await app.run("realtime/publish-again", { key });
    assert.equal(run.status, "Completed");
    assert.deepEqual((await messages(subscription, 2)).map(said), [
      ["notes", "once"],
      ["notes", "end"],
    ]);
  });

  // The SDK's own subscriber (4.24) breaks on the beginning of a stream, so this one is bare.
  test("a stream that a function publishes arrives in chunks", async () => {
    const key = fresh();
    const { key: token } = await app.client.realtime.token({ channel: order({ id: key }), topics: ["tokens"] });
    const socket = new WebSocket(`${app.server.url.replace("http", "ws")}/v1/realtime/connect?token=${token}`);
    await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    const heard = [];
    socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
    const run = await app.run("realtime/stream", { key });
    await app.until("the stream's end", () => heard, (heard) => heard.at(-1)?.kind === "datastream-end");
    socket.close();
    const [start, ...rest] = heard;
    const end = rest.pop();
    assert.deepEqual([start.kind, start.data, start.run_id], ["datastream-start", end.data, run.run_id]);
    for (const chunk of rest) assert.deepEqual([chunk.kind, chunk.stream_id, chunk.topic], ["chunk", start.data, "tokens"]);
    assert.equal(rest.map(({ data }) => data).join(""), "one größe three");
  });

  for (const [what, fail, status] of [["returns", false, "Completed"], ["fails", true, "Failed"]]) {
    test(`a run that is followed tells how it ${what}`, async () => {
      const key = fresh();
      const eventId = await app.send("realtime/gated", { key, fail });
      const runId = await app.started(eventId);
      const subscription = await follow(runId, ["$run"]);
      gate(key).open();
      const seen = await messages(subscription, 1);
      const end = seen.at(-1);
      assert.deepEqual([end.kind, end.topic, end.runId], ["run", "$run", runId]);
      assert.equal(end.data.status, status, JSON.stringify(end));
      if (fail) assert.equal(end.data.error.message, "as asked");
      else assert.deepEqual(end.data.result, { worked: true });
    });
  }

  test("the answer of an AI provider reaches subscribers", async () => {
    const key = fresh();
    const subscription = await follow(order({ id: key }), ["answers"]);
    const run = await app.run("realtime/infer", { key });
    const [answer] = await messages(subscription, 1);
    assert.equal(answer.data.choices[0].message.content, "hello");
    assert.equal(answer.runId, run.run_id);
  });

  test("what an endpoint streams reaches its requester, before and after the server takes over", async (t) => {
    const endpoints = await serveEndpoints(app.server, (client) => ({
      "/tale": client.endpoint(async () => {
        await step.run("begin", () => stream.push({ once: "upon" }));
        await step.sleep("nap", "1s");
        await step.run("go on", async () => {
          await stream.pipe(async function* () {
            yield "a ";
            yield "time";
          });
        });
        return { end: true };
      }),
    }));
    t.after(() => endpoints.stop());
    const heard = [];
    const committed = [];
    const response = await fetchWithStream(`${endpoints.url}/tale`, {
      onData: ({ data }) => heard.push(data),
      onCommit: ({ hashedStepId }) => committed.push(hashedStepId),
      fetchOpts: { signal: AbortSignal.timeout(PATIENCE_MS) },
    });
    assert.deepEqual(heard, [{ once: "upon" }, "a ", "time"]);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { end: true });
    assert.ok(committed.length >= 2);
    assert.ok(endpoints.reEntries("/tale") > 0, "the server took over");
  });
});
