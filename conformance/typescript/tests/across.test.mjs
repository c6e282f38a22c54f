// Functions in two languages on one server.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { across, order } from "../apps/across.mjs";
import { middleware, read, sealed } from "../apps/sealed.mjs";
import { startRustApps } from "../rust.mjs";

const skip = typeof WebSocket === "undefined" && "needs node --experimental-websocket";

describe("Rust and TypeScript", { concurrency: 8 }, () => {
  let app;
  let secret;
  let rust;
  before(async () => {
    app = await startApp("ts-across", across);
    secret = await startApp("ts-sealed", sealed, { server: app.server, client: { middleware } });
    rust = await startRustApps(app.server);
  });
  after(async () => {
    await rust?.stop();
    await secret?.stop();
    await app?.stop();
  });

  async function outputOf(id, data = {}) {
    const run = await app.run(`across/${id}`, { key: fresh(), ...data });
    assert.equal(run.status, "Completed", JSON.stringify(run.output));
    return run.output;
  }

  test("a function in TypeScript invokes one in Rust", async () => {
    assert.deepEqual(await outputOf("typescript-calls", { number: 3 }), { number: 40, by: "rust", größe: null });
  });

  test("a function in Rust invokes one in TypeScript", async () => {
    assert.deepEqual(await outputOf("rust-calls", { number: 4 }), { number: 50, by: "typescript", größe: null });
  });

  test("each sees how the other failed", async () => {
    assert.deepEqual(await outputOf("typescript-calls-broken"), { message: "no use", isStepError: true });
    assert.deepEqual(await outputOf("rust-calls-broken"), { name: "NonRetriableError", message: "no use" });
  });

  test("events go from one to the other and back", async () => {
    const key = fresh();
    assert.deepEqual(await outputOf("rust-sends", { key }), { key, by: "typescript" });
  });

  test("a subscriber in TypeScript gets what a function in Rust publishes", { skip }, async () => {
    const key = fresh();
    const heard = [];
    const subscription = await app.client.realtime.subscribe({
      channel: order({ id: key }),
      topics: ["progress", "notes"],
      onMessage: ({ kind, topic, data, runId }) => heard.push({ kind, topic, data, runId }),
    });
    const run = await app.run("across/rust-publishes", { key });
    await app.until("three messages", () => heard, (heard) => heard.length === 3);
    subscription.close();
    const said = { kind: "data", runId: run.run_id };
    assert.deepEqual(heard, [
      { ...said, topic: "progress", data: { percent: 50 } },
      { ...said, topic: "notes", data: "größe" },
      { ...said, topic: "progress", data: { percent: 100 } },
    ]);
  });

  test("a subscriber in Rust gets what a function in TypeScript publishes, and streams", async () => {
    assert.deepEqual(await outputOf("rust-subscribes"), [
      ["progress", { percent: 50 }, true],
      ["tokens", "start", true],
      ["tokens", { chunk: "größe" }, true],
      ["tokens", "end", true],
      ["notes", "that is all", true],
    ]);
  });

  const card = { card: "4242 größe", open: [1, null] };
  /** Waits until a function in TypeScript has read something under the key. */
  const readBy = (key) => secret.until(`what is read of ${key}`, () => read.get(key));
  /** All that the server tells of an event, of its runs and of their steps, as text. */
  async function toldOf(eventId) {
    const [run] = await secret.ended(eventId);
    assert.equal(run.status, "Completed", JSON.stringify(run.output));
    const event = await secret.get(`/v1/events/${eventId}`);
    const trace = await secret.call("GET", `/v2/runs/${run.run_id}/trace?includeOutput=true`);
    assert.equal(trace.status, 200, JSON.stringify(trace.body));
    return JSON.stringify([event, run, trace.body]);
  }
  function assertSealed(told) {
    assert.doesNotMatch(told, /4242/);
    assert.match(told, /__ENCRYPTED__/);
  }

  test("a function in TypeScript reads what one in Rust encrypted in an event", async () => {
    const key = fresh();
    const eventId = await app.send("sealed/rust-sends", { key });
    assert.deepEqual(await readBy(key), card);
    const [sent] = (await app.get("/v1/events?name=sealed/rust-sent&limit=50")).filter(({ data }) => data.key === key);
    assert.deepEqual(Object.keys(sent.data.encrypted).sort(), ["__ENCRYPTED__", "__STRATEGY__", "data"]);
    await app.ended(eventId);
    assertSealed(await toldOf(sent.internal_id));
  });

  test("a function in Rust reads what a client in TypeScript encrypted in an event, and the result of what it invokes", async () => {
    const key = fresh();
    // The client encrypts it. Rust tells what it read in an invocation; what that returns, in another.
    const eventId = await secret.send("sealed/typescript-sent", { key, encrypted: card });
    assert.deepEqual(await readBy(key), { "rust read": card });
    assert.deepEqual(await readBy(`${key}/result`), { "rust read": { "typescript read": { "rust read": card } } });
    assertSealed(await toldOf(eventId));
  });

  test("a function in TypeScript invokes one in Rust with encrypted data and reads its encrypted result", async () => {
    const key = fresh();
    await secret.run("sealed/typescript-calls", { key, secret: card });
    assert.deepEqual(await readBy(key), { "rust read": card });
    const [invoked] = (await app.get("/v1/events?name=inngest/function.invoked&limit=50")).filter(({ data }) => data.key === key);
    assertSealed(await toldOf(invoked.internal_id));
  });
});
