import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { abroad, invoked, invokes, slow } from "../apps/invokes.mjs";

describe("invokes", { concurrency: 8 }, () => {
  let app;
  let other;
  before(async () => {
    app = await startApp("ts-invokes", invokes);
    other = await startApp("ts-invoked-abroad", abroad, { server: app.server });
  });
  after(async () => {
    await other?.stop();
    await app?.stop();
  });

  async function outputOf(id, data = {}) {
    const run = await app.run(`invokes/${id}`, { key: fresh(), ...data });
    assert.equal(run.status, "Completed", JSON.stringify(run.output));
    return run.output;
  }
  /** The invocations of a function with this key in their data. */
  const eventsWith = async (key) => (await app.get("/v1/events?name=inngest/function.invoked&limit=51")).filter(({ data }) => data.key === key);
  /** The runs that they started. */
  async function runsWith(key) {
    return (await Promise.all((await eventsWith(key)).map((event) => app.get(`/v1/events/${event.internal_id}/runs`)))).flat();
  }

  test("the result of the invoked function is that of the step", async () => {
    const key = fresh();
    assert.deepEqual(await outputOf("call-double", { key, number: 21 }), { result: 42 });
    const { name, data } = invoked.get(key);
    assert.equal(name, "inngest/function.invoked");
    assert.deepEqual([data.key, data.number], [key, 21]);
  });

  test("a function that returns nothing", async () => {
    assert.deepEqual(await outputOf("call-nothing"), { result: null });
  });

  test("a function of steps and sleeps", async () => {
    assert.deepEqual(await outputOf("call-stepwise", { number: 1 }), { result: 20 });
  });

  test("steps after an invoke see its result", async () => {
    assert.equal(await outputOf("sum"), 21);
  });

  test("a function that has triggers may be invoked all the same", async () => {
    assert.deepEqual(await outputOf("call-also-triggered"), { result: "inngest/function.invoked" });
  });

  test("a function may be named instead", async () => {
    assert.deepEqual(await outputOf("call-reference", { number: 4 }), { result: 8 });
  });

  test("a function of another app", async () => {
    assert.deepEqual(await outputOf("call-abroad", { who: "neighbour" }), { result: "hello neighbour" });
  });

  test("three invokes at once", async () => {
    assert.deepEqual(await outputOf("many"), [2, 4, 6]);
  });

  test("a function that invokes itself", async () => {
    assert.deepEqual(await outputOf("call-factorial", { number: 4 }), { result: 24 });
  });

  test("a function that fails and is tried again has failed for nobody", async () => {
    assert.deepEqual(await outputOf("call-flaky"), { result: "attempt 1" });
  });

  test("the failure of the invoked function is an error of the step, once", async () => {
    const { message, isStepError } = await outputOf("call-broken");
    assert.deepEqual({ message, isStepError }, { message: "no use", isStepError: true });
  });

  test("a failure that nobody catches fails the caller", async () => {
    const run = await app.run("invokes/uncaught", {});
    assert.equal(run.status, "Failed");
    assert.equal(run.output.message, "no use");
  });

  test("a function that does not exist", async () => {
    const { message } = await outputOf("call-missing");
    assert.match(message, /could not find function with ID: ts-invokes-missing/);
  });

  test("a function that is rate limited", async () => {
    const key = fresh();
    assert.deepEqual(await outputOf("call-rarely", { key }), { result: "once" });
    assert.equal((await outputOf("call-rarely", { key })).message, "invoked function is rate limited");
  });

  test("a function that does not end in time goes on, and the caller has an error", async () => {
    const key = fresh();
    const { name, message, isStepError } = await outputOf("call-held-shortly", { key });
    assert.deepEqual([name, message, isStepError], ["InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete", true]);
    const [run] = await runsWith(key);
    assert.equal(run.status, "Running");
  });

  test("a function that is skipped", async () => {
    const key = fresh();
    const holder = await app.send("invokes/call-lonely", { key });
    await app.until("the one run", () => slow.inside === 1);
    assert.match((await outputOf("call-lonely", { key })).message, /^the invoked function was skipped: run \w{26} has its place$/);
    assert.equal(slow.most, 1);
    slow.releaseOne();
    await app.ended(holder);
  });

  test("a function that is debounced answers the last of its callers", async () => {
    const key = fresh();
    const first = await app.send("invokes/call-settled", { key, number: 1 });
    await app.until("the first invocation", () => eventsWith(key), (events) => events.length === 1);
    const second = await app.send("invokes/call-settled", { key, number: 2 });
    const [[superseded], [answered]] = await Promise.all([first, second].map((eventId) => app.ended(eventId)));
    assert.match(superseded.output.message, /the invoked function runs for another event of its debounce window/);
    assert.deepEqual(answered.output, { result: 2 });
  });

  test("a function of batches answers each of its callers", async () => {
    const key = fresh();
    const eventIds = await Promise.all([1, 2].map((number) => app.send("invokes/call-batched", { key, number })));
    const runs = await Promise.all(eventIds.map((eventId) => app.ended(eventId)));
    assert.deepEqual(runs.map(([run]) => run.output), [{ result: 3 }, { result: 3 }], "the sum of what they gave");
  });

  test("a function whose run is cancelled", async () => {
    const key = fresh();
    const eventId = await app.send("invokes/call-held", { key });
    const [run] = await app.until("the invoked run", () => runsWith(key), (runs) => runs.length === 1);
    await app.call("DELETE", `/v1/runs/${run.run_id}`);
    const [caller] = await app.ended(eventId);
    assert.deepEqual([caller.status, caller.output.message], ["Completed", "the invoked function's run was cancelled"]);
    assert.equal((await app.get(`/v1/runs/${run.run_id}`)).status, "Cancelled");
  });

  test("a caller that is cancelled leaves the invoked run alone", async () => {
    const key = fresh();
    const eventId = await app.send("invokes/call-held", { key });
    const [run] = await app.until("the invoked run", () => runsWith(key), (runs) => runs.length === 1);
    await app.call("DELETE", `/v1/runs/${await app.started(eventId)}`);
    assert.equal((await app.ended(eventId))[0].status, "Cancelled");
    assert.equal((await app.get(`/v1/runs/${run.run_id}`)).status, "Running");
  });

  describe("over HTTP", () => {
    test("POST /invoke runs a function, whatever its triggers", async () => {
      const key = fresh();
      const { status, body } = await app.call("POST", `/invoke/${app.client.id}-double`, { name: "ignored", data: { key, number: 3 } });
      assert.deepEqual([status, body.status], [200, 200]);
      const [run] = await app.ended(body.id);
      assert.equal(run.output, 6);
      assert.equal(invoked.get(key).name, "inngest/function.invoked");
    });

    test("POST /invoke of a function that does not exist", async () => {
      const { status, body } = await app.call("POST", `/invoke/${app.client.id}-missing`, { data: {} });
      assert.equal(status, 404);
      assert.match(body.error, /could not find function with ID: ts-invokes-missing/);
    });

    test("POST /invoke of what is not an event", async () => {
      const { status, body } = await app.call("POST", `/invoke/${app.client.id}-double`, [1]);
      assert.equal(status, 400);
      assert.match(body.error, /^Invalid invocation event/);
    });
  });
});
