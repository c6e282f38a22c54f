import assert from "node:assert/strict";
import { test } from "node:test";

import { startApp } from "../app.mjs";

const greet = (client) => [
  client.createFunction({ id: "greet", triggers: [{ event: "sync/greet" }] }, ({ event }) => `hello ${event.data.who}`),
];

test("an app registers itself, and again without a change", async (t) => {
  const app = await startApp("ts-sync", greet);
  t.after(() => app.stop());

  const again = await app.register();

  assert.equal(again.modified, false, "the second registration sent the same functions");
  assert.equal((await app.run("sync/greet", { who: "you" })).output, "hello you");
});

test("a dev server finds the app at its --sdk-url", { skip: Boolean(process.env.STEPWELL_URL) && "needs its own server" }, async (t) => {
  const app = await startApp("ts-found", greet, { sync: "server" });
  t.after(() => app.stop());

  const call = await app.until("the server's PUT", () => app.calls.find(({ method }) => method === "PUT"));
  assert.equal(call.headers["x-inngest-server-kind"], "dev");
  // Events sent before the registration has been answered start nothing, so each try is a new event.
  const [run] = await app.until("a run of the found function", async () => app.get(`/v1/events/${await app.send("sync/greet", { who: "you" })}/runs`), (runs) => runs?.length > 0);
  assert.ok(run.run_id);
});

test("a later registration replaces the functions of the app", async (t) => {
  const app = await startApp("ts-replaced", greet);
  t.after(() => app.stop());
  await app.run("sync/greet", { who: "you" });

  const renamed = await startApp(
    "ts-replaced",
    (client) => [client.createFunction({ id: "greet", triggers: [{ event: "sync/renamed" }] }, () => "renamed")],
    { server: app.server },
  );
  t.after(() => renamed.stop());

  assert.equal((await renamed.run("sync/renamed")).output, "renamed");
  const eventId = await renamed.send("sync/greet", { who: "nobody" });
  await renamed.run("sync/renamed");
  assert.deepEqual(await renamed.get(`/v1/events/${eventId}/runs`), [], "the old trigger is gone");
});

test("a call carries the headers and the body that SDKs and proxies rely on", async (t) => {
  let context = null;
  const app = await startApp("ts-call", (client) => [
    client.createFunction({ id: "call", triggers: [{ event: "sync/call" }], retries: 2 }, ({ event, events, runId, attempt, maxAttempts }) => {
      context = { event, events, runId, attempt, maxAttempts };
    }),
  ]);
  t.after(() => app.stop());

  const run = await app.run("sync/call", { number: 1 }, { id: "call-1", user: { name: "u" }, v: "7", ts: 1767225600000 });

  assert.equal(run.status, "Completed");
  assert.equal(context.runId, run.run_id);
  assert.deepEqual([context.attempt, context.maxAttempts], [0, 3]);
  assert.deepEqual(context.events, [context.event]);
  const { id, name, data, user, v, ts } = context.event;
  assert.deepEqual({ id, name, data, user, v, ts }, { id: "call-1", name: "sync/call", data: { number: 1 }, user: { name: "u" }, v: "7", ts: 1767225600000 });
  const { headers } = app.calls.find(({ method }) => method === "POST");
  assert.equal(headers["x-run-id"], run.run_id);
  assert.match(headers["content-type"], /^application\/json/);
});
