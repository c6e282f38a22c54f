import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { signals } from "../apps/signals.mjs";

describe("signals", { concurrency: 8 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-signals", signals);
  });
  after(() => app?.stop());

  async function waiting(id, signal) {
    const eventId = await app.send(`signals/${id}`, { signal });
    const runId = await app.started(eventId);
    await app.parked(runId);
    return { eventId, runId };
  }
  const endOf = async ({ eventId }) => (await app.ended(eventId))[0];
  const send = (body) => app.call("POST", "/v1/signals", body);

  for (const [what, data] of Object.entries({ object: { a: [1, "ü"] }, text: "text", zero: 0, null: null })) {
    test(`a signal brings its data: ${what}`, async () => {
      const signal = fresh(what);
      const wait = await waiting("wait", signal);
      const { status, body } = await send({ signal, data });
      assert.equal(status, 200);
      assert.deepEqual(body.data, { run_id: wait.runId });
      const run = await endOf(wait);
      assert.equal(run.status, "Completed");
      assert.deepEqual(run.output, { signal, data });
    });
  }

  test("client.sendSignal tells which run it resumed", async () => {
    const signal = fresh();
    const wait = await waiting("wait", signal);
    const sent = await app.client.sendSignal({ signal, data: 1 });
    assert.deepEqual(sent, { runId: wait.runId });
    assert.deepEqual((await endOf(wait)).output, { signal, data: 1 });
  });

  test("step.sendSignal resumes another run", async () => {
    const signal = fresh();
    const wait = await waiting("wait", signal);
    const sender = await app.run("signals/send", { signal, data: { from: "a step" } });
    assert.equal(sender.status, "Completed", JSON.stringify(sender.output));
    assert.deepEqual(sender.output, { sent: { runId: wait.runId }, after: "went on" });
    assert.deepEqual((await endOf(wait)).output, { signal, data: { from: "a step" } });
  });

  test("a signal that nobody waits for is lost, which is no error for its sender", async () => {
    const signal = fresh();
    const { status, body } = await send({ signal, data: 1 });
    assert.deepEqual([status, body.error], [404, "No signal found"]);
    assert.equal((await app.client.sendSignal({ signal, data: 1 })).runId, undefined);
    const sender = await app.run("signals/send", { signal, data: 1 });
    assert.deepEqual(sender.output, { sent: {}, after: "went on" });

    const { output } = await app.run("signals/wait-shortly", { signal });
    assert.deepEqual(output, { seen: null, after: "went on" }, "a signal does not wait for its receiver");
  });

  test("a signal is received once", async () => {
    const signal = fresh();
    const wait = await waiting("wait", signal);
    assert.equal((await send({ signal, data: 1 })).status, 200);
    assert.equal((await send({ signal, data: 2 })).status, 404);
    assert.equal((await endOf(wait)).output.data, 1);
  });

  test("the name is free again when the wait is over", async () => {
    const signal = fresh();
    for (const data of [1, 2]) {
      const wait = await waiting("wait", signal);
      await send({ signal, data });
      assert.equal((await endOf(wait)).output.data, data);
    }
    await app.run("signals/wait-shortly", { signal });
    const wait = await waiting("wait", signal);
    await app.call("DELETE", `/v1/runs/${wait.runId}`);
    assert.equal((await send({ signal, data: 3 })).status, 404, "a cancelled run waits no longer");
    const last = await waiting("wait", signal);
    await send({ signal, data: 4 });
    assert.equal((await endOf(last)).output.data, 4);
  });

  test("a second wait for a name fails its run at once, and the first goes on", async () => {
    const signal = fresh();
    const first = await waiting("wait", signal);
    const second = await app.run("signals/wait", { signal });
    assert.equal(second.status, "Failed");
    assert.equal(second.output.name, "Error");
    assert.equal(second.output.message, "Signal conflict; signal wait already exists for another run");
    await send({ signal, data: "for the first" });
    assert.equal((await endOf(first)).output.data, "for the first");
  });

  test("a second wait may take the name over, and the first expires", async () => {
    const signal = fresh();
    const first = await waiting("wait-replaceably", signal);
    const second = await waiting("wait-anew", signal);
    assert.deepEqual((await send({ signal, data: "for the second" })).body.data, { run_id: second.runId });
    assert.equal((await endOf(second)).output.data, "for the second");
    assert.deepEqual((await endOf(first)).output, { seen: null });
  });

  test("a wait beside a step", async () => {
    const signal = fresh();
    const wait = await waiting("wait-beside-work", signal);
    await send({ signal, data: "seen" });
    assert.deepEqual((await endOf(wait)).output, { data: "seen", work: "worked" });
  });

  for (const [what, body] of [
    ["without a name", { data: 1 }],
    ["with an empty name", { signal: "" }],
    ["that is not an object", 7],
  ]) {
    test(`a signal ${what} is refused`, async () => {
      const answer = await send(body);
      assert.deepEqual([answer.status, answer.body.error], [400, "Invalid signal data"]);
    });
  }
});
