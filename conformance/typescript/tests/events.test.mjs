import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const received = [];
/** Ids of this execution, so that a server which keeps its state meets them for the first time. */
const fresh = (text) => `${text}-${process.pid}-${Date.now()}`;

let app;
before(async () => {
  app = await startApp("ts-events", (client) => [
    client.createFunction({ id: "first", triggers: [{ event: "events/both" }] }, () => "first"),
    client.createFunction({ id: "second", triggers: [{ event: "events/both" }] }, () => "second"),
    client.createFunction({ id: "count", triggers: [{ event: "events/count" }] }, ({ event }) => {
      received.push(event.data.key);
      return event.data.key;
    }),
    client.createFunction({ id: "either", triggers: [{ event: "events/this" }, { event: "events/that" }] }, ({ event }) => event.name),
    client.createFunction({ id: "filtered", triggers: [{ event: "events/filtered", if: "event.data.wanted == true" }] }, () => "wanted"),
  ]);
});
after(() => app?.stop());

const receivedOf = (key) => received.filter((seen) => seen === key).length;

test("two functions on one event each have their run", async () => {
  const runs = await app.ended(await app.send("events/both"), 2);
  assert.deepEqual(runs.map((run) => run.output).sort(), ["first", "second"]);
  assert.notEqual(runs[0].function_id, runs[1].function_id);
});

test("a function with two triggers runs for either", async () => {
  assert.equal((await app.run("events/this")).output, "events/this");
  assert.equal((await app.run("events/that")).output, "events/that");
});

test("an event that nothing listens to is accepted and starts nothing", async () => {
  const eventId = await app.send("events/unheard");
  assert.match(eventId, ULID);
  await app.run("events/this");
  assert.deepEqual(await app.get(`/v1/events/${eventId}/runs`), []);
});

test("a trigger's expression decides", async () => {
  const unwanted = await app.send("events/filtered", { wanted: false });
  assert.equal((await app.run("events/filtered", { wanted: true })).output, "wanted");
  assert.deepEqual(await app.get(`/v1/events/${unwanted}/runs`), []);
});

test("client.send answers with one id for each event, in order", async () => {
  const keys = Array.from({ length: 25 }, (_, index) => fresh(`batch-${index}`));
  const { ids } = await app.client.send(keys.map((key) => ({ name: "events/count", data: { key } })));

  assert.equal(new Set(ids).size, keys.length);
  for (const id of ids) assert.match(id, ULID);
  const runs = await Promise.all(ids.map((id) => app.ended(id)));
  assert.deepEqual(runs.map(([run]) => run.output), keys);
});

test("sending no event at all is not an error", async () => {
  assert.deepEqual(await app.client.send([]), { ids: [] });
});

test("the same event id starts one run a function", async () => {
  const key = fresh("dedupe");
  const ids = [await app.send("events/count", { key }, { id: key }), await app.send("events/count", { key }, { id: key })];
  await app.ended(ids[0]);
  await app.run("events/count", { key: fresh("fence") });

  assert.equal(new Set(ids).size, 2, "both events are recorded");
  assert.equal(receivedOf(key), 1);
  assert.deepEqual(await app.get(`/v1/events/${ids[1]}/runs`), []);
});

test("the same event id twice in one batch starts one run", async () => {
  const key = fresh("dedupe-batch");
  const { ids } = await app.client.send([1, 2, 3].map(() => ({ name: "events/count", id: key, data: { key } })));
  assert.equal(ids.length, 3);
  await app.ended(ids[0]);
  await app.run("events/count", { key: fresh("fence") });
  assert.equal(receivedOf(key), 1);
});

test("a send that is repeated with its seed is the same event", async () => {
  const key = fresh("seed");
  const seed = `${Date.now()},${Buffer.from(Array.from({ length: 10 }, () => Math.floor(Math.random() * 256))).toString("base64")}`;
  const send = async () => {
    const response = await fetch(`${app.server.url}/e/test`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-inngest-event-id-seed": seed },
      body: JSON.stringify([{ name: "events/count", data: { key } }]),
    });
    assert.equal(response.status, 200);
    return (await response.json()).ids;
  };
  const ids = await send();
  assert.deepEqual(await send(), ids);
  await app.ended(ids[0]);
  await app.run("events/count", { key: fresh("fence") });
  assert.equal(receivedOf(key), 1);
});

for (const [what, body, message] of [
  ["without a name", JSON.stringify({ data: {} }), /event name is empty/],
  ["with a reserved name", JSON.stringify({ name: "inngest/mine", data: {} }), /reserved/],
  ["that is not JSON", "{", /.+/],
  ["that is not an object", "7", /.+/],
]) {
  test(`an event ${what} is refused, and the answer says why`, async () => {
    const response = await fetch(`${app.server.url}/e/test`, { method: "POST", headers: { "content-type": "application/json" }, body });
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, message);
  });
}

test("100 runs at once all end", async () => {
  const keys = Array.from({ length: 100 }, (_, index) => fresh(`many-${index}`));
  const { ids } = await app.client.send(keys.map((key) => ({ name: "events/count", data: { key } })));
  const runs = await Promise.all(ids.map((id) => app.ended(id)));
  assert.ok(runs.every(([run]) => run.status === "Completed"));
  assert.deepEqual(keys.map(receivedOf), keys.map(() => 1));
});
