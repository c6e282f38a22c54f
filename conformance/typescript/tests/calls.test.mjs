import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { calls, startProvider } from "../apps/calls.mjs";

describe("calls", { concurrency: 8 }, () => {
  let app, provider;
  before(async () => {
    provider = await startProvider();
    app = await startApp("ts-calls", calls(provider));
  });
  after(() => {
    provider?.stop();
    return app?.stop();
  });

  const run = (id, data) => app.run(`calls/${id}`, data);
  const output = async (id, data) => {
    const ended = await run(id, data);
    assert.equal(ended.status, "Completed", JSON.stringify(ended.output));
    return ended.output;
  };

  test("an invoked function's result is the step's", async () => {
    assert.deepEqual(await output("invokes", { n: 7 }), { got: 7, name: "inngest/function.invoked" });
  });

  test("a function is invoked by its id", async () => {
    assert.equal((await output("invokes-by-id")).got, 3);
  });

  test("an invoked function's error is the step's", async () => {
    const { error, message } = await output("invokes-failing");
    assert.match(`${error}: ${message}`, /not today/);
  });

  test("a function that is not there fails the step at once", async () => {
    assert.match((await output("invokes-missing")).message, /could not find function with ID: .*nobody/);
  });

  test("an invoked function that does not end in time fails the step", async () => {
    const { error, message } = await output("invokes-slow");
    assert.match(`${error} ${message}`, /Timed out waiting for invoked function to complete/);
  });

  test("an invoked function that is rate limited fails the step", async () => {
    const [first, second] = await output("invokes-limited");
    assert.equal(first.value, "ran");
    assert.match(second.message, /invoked function is rate limited/);
  });

  test("an invoked function that is skipped fails the step", async () => {
    await app.started(await app.send("calls/only"));
    assert.match((await output("invokes-only")).message, /the invoked function was skipped: run \w+ has its place/);
  });

  test("a function is invoked by hand", async () => {
    const { status, body } = await app.call("POST", "/invoke/ts-calls-callee", { data: { n: 9 } });
    assert.equal(status, 200);
    const [ended] = await app.ended(body.id);
    assert.equal(ended.output.got, 9);
    assert.equal((await app.call("POST", "/invoke/nobody", {})).status, 404);
  });

  test("a signal from outside ends the wait", async () => {
    const signal = fresh("signal");
    const event = await app.send("calls/signalled", { signal });
    const waiting = await app.started(event);
    await app.parked(waiting);
    const sent = await app.call("POST", "/v1/signals", { signal, data: { by: "hand" } });
    assert.deepEqual([sent.status, sent.body.data], [200, { run_id: waiting }]);
    assert.deepEqual((await app.ended(event))[0].output, { signal, data: { by: "hand" } });
    assert.equal((await app.call("POST", "/v1/signals", { signal })).status, 404);
  });

  test("a signal from a function ends the wait", async () => {
    const signal = fresh("signal");
    const event = await app.send("calls/signalled", { signal });
    await app.parked(await app.started(event));
    await run("signals", { signal });
    assert.deepEqual((await app.ended(event))[0].output.data, { by: "a function" });
  });

  test("a wait for a signal that nobody sends returns null", async () => {
    assert.equal(await output("signalled", { signal: fresh(), timeout: "1s" }), null);
  });

  test("a signal's name goes to one wait", async () => {
    const signal = fresh("signal");
    const event = await app.send("calls/signalled", { signal });
    await app.parked(await app.started(event));
    const second = await run("signalled", { signal });
    assert.equal(second.status, "Failed");
    assert.match(second.output.message, /Signal conflict; signal wait already exists for another run/);
    await app.call("POST", "/v1/signals", { signal });
  });

  test("the server fetches for a step", async () => {
    assert.deepEqual(await output("fetches"), { status: 418, body: { short: "stout" }, kind: "tea" });
    const { method, headers, body } = provider.requests.find(({ url }) => url === "/teapot");
    assert.deepEqual([method, headers["x-mine"], body], ["PUT", "1", "brew"]);
  });

  test("a fetch that nobody answers fails the step after its attempts", async () => {
    const { message } = await output("fetches-dead");
    assert.match(message, /127\.0\.0\.1:9/);
  });

  for (const [id, proof] of [
    ["asks-openai", ({ headers }) => headers.authorization === "Bearer sk-of-the-test"],
    ["asks-anthropic", ({ headers }) => headers["x-api-key"] === "sk-of-the-test"],
    ["asks-gemini", ({ url }) => url.includes("key=sk-of-the-test")],
  ]) {
    test(`${id}: the provider's answer is the step's, and the key goes where it belongs`, async () => {
      assert.deepEqual(await output(id), { said: "hello", to: "POST" });
      assert.ok(provider.requests.some(proof), JSON.stringify(provider.requests.map(({ url, headers }) => [url, headers])));
    });
  }

  test("a provider's refusal fails the step, without another attempt and without the key", async () => {
    const refused = await output("asks-refusing");
    assert.match(refused.message, /401/);
    assert.ok(!JSON.stringify(refused).includes("sk-of-the-test"));
    assert.equal(provider.requests.filter(({ url }) => url.startsWith("/refuses")).length, 1);
  });

  test("a provider that is busy is asked again", async () => {
    assert.deepEqual(await output("asks-busy"), { said: "hello", to: "POST" });
    assert.equal(provider.requests.filter(({ url }) => url.startsWith("/busy")).length, 2);
  });

  test("a run is run again, whole and from a step on", async () => {
    const event = await app.send("calls/repeated", { n: 1 });
    const [first] = await app.ended(event);
    assert.deepEqual(first.output, { first: 2, second: 20 });
    const rerun = async (body) => {
      const answer = await app.call("POST", `/v2/runs/${first.run_id}/rerun`, body);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const id = answer.body.data.runId;
      return app.until("the end of the repetition", () => app.get(`/v1/runs/${id}`), (again) => again.status === "Completed");
    };
    assert.deepEqual((await rerun({})).output, { first: 2, second: 20 });
    const again = await rerun({ fromStep: { stepId: "second", input: [5] } });
    assert.deepEqual([again.output, again.original_run_id], [{ first: 2, second: 50 }, first.run_id]);
    const missing = await app.call("POST", `/v2/runs/${first.run_id}/rerun`, { fromStep: { stepId: "third" } });
    assert.deepEqual([missing.status, missing.body.errors[0].message], [400, "Step not found in original run"]);
  });
});
