import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";

import { Place } from "../workers.mjs";

const KEY = "signkey-test-00112233445566778899aabbccddeeff";

describe("workers of a server that is always there", () => {
  let place;
  before(async () => (place = await Place.start()));
  after(() => place?.stop());
  const workers = [];
  const worker = async (...about) => workers[workers.push(await place.worker(...about)) - 1];
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.end("SIGKILL")));
    await place.ready(0);
  });

  for (const isolateExecution of [true, false]) {
    test(`steps, sleeps, retries and failures (isolateExecution: ${isolateExecution})`, async () => {
      await worker("alone", { isolateExecution });
      const run = await place.run("ts-connect/steps", { text: "hello" });
      assert.deepEqual(run.output, { first: "hello!", both: ["left", "right"], by: "alone" });
      assert.equal((await place.run("ts-connect/fails-once")).output, 1);
      const failed = await place.run("ts-connect/never-again");
      assert.equal(failed.status, "Failed");
      assert.equal(failed.output.message, "for good");
    });
  }

  test("two apps on one connection", async () => {
    await worker("both", { apps: ["ts-connect", "ts-other"] });
    const runs = await Promise.all(["ts-connect", "ts-other"].map((app) => place.run(`${app}/steps`, { text: app })));
    assert.deepEqual(runs.map((run) => run.output.first), ["ts-connect!", "ts-other!"]);
  });

  test("a worker killed in the middle of a call: another one takes it", async () => {
    const first = await worker("first");
    const event = await place.send("ts-connect/held", { key: "killed" });
    await first.heard("entered");
    const second = await worker("second");
    await first.end("SIGKILL");
    await second.heard("entered");
    second.release("killed");
    assert.deepEqual((await place.ended(event)).output, { by: "second", attempt: 1 });
  });

  test("a worker that is told to stop finishes what it has, and gets nothing new", async () => {
    const first = await worker("first");
    const event = await place.send("ts-connect/held", { key: "finished" });
    await first.heard("entered");
    const second = await worker("second");
    first.signal("SIGTERM");
    await place.ready(1);
    const later = await place.send("ts-connect/held", { key: "later" });
    await second.heard("entered");
    second.release("later");
    assert.deepEqual((await place.ended(later)).output, { by: "second", attempt: 0 });
    first.release("finished");
    assert.deepEqual((await place.ended(event)).output, { by: "first", attempt: 0 });
    await first.heard("closed");
  });

  test("a call outlives several leases", async () => {
    const only = await worker("only");
    const event = await place.send("ts-connect/held", { key: "long" });
    await only.heard("entered");
    await new Promise((passed) => setTimeout(passed, 13_000));
    only.release("long");
    assert.deepEqual((await place.ended(event)).output, { by: "only", attempt: 0 });
  });

  test("no more calls at once than a worker wants, and waiting costs no attempt", async () => {
    const keys = ["a", "b", "c", "d", "e"].map((key) => `${key}-of-five`);
    const busy = await worker("busy", { maxWorkerConcurrency: 2 });
    const events = await Promise.all(keys.map((key) => place.send("ts-connect/held", { key })));
    for (let count = 1; count <= keys.length; count += 1) {
      await busy.heard("entered", Math.min(count + 1, keys.length));
      assert.ok(busy.entered.length <= count + 1, `${busy.entered} after ${count - 1} have ended`);
      busy.release(busy.entered[count - 1]);
    }
    const runs = await Promise.all(events.map((event) => place.ended(event)));
    assert.deepEqual(runs.map((run) => run.output), keys.map(() => ({ by: "busy", attempt: 0 })));
  });
});

describe("workers of a server that goes and comes back", () => {
  let place;
  after(() => place?.stop());
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`ended by ${signal}: the worker connects again and its run ends`, async () => {
      await place?.stop();
      place = await Place.start();
      const worker = await place.worker("worker");
      const event = await place.send("ts-connect/held", { key: "restart" });
      await worker.heard("entered");
      await place.down(signal);
      await place.up();
      // Whether it is executed again depends on who is faster; that it costs no attempt does not.
      const released = setInterval(() => worker.release("restart"), 100);
      const run = await place.ended(event).finally(() => clearInterval(released));
      assert.deepEqual(run.output, { by: "worker", attempt: 0 });
      await place.ready(1);
      assert.equal((await place.run("ts-connect/steps", { text: "again" })).output.first, "again!");
    });
  }
});

describe("with a signing key", () => {
  let place;
  before(async () => (place = await Place.start({ signingKey: KEY })));
  after(() => place?.stop());

  test("a worker that has it runs functions", async () => {
    await place.worker("locked");
    const run = await place.run("ts-connect/steps", { text: "hello" });
    assert.deepEqual(run.output, { first: "hello!", both: ["left", "right"], by: "locked" });
  });

  test("one that has another is not let in", async () => {
    const answers = [];
    const between = createServer(async (request, response) => {
      const { method, headers } = request;
      const answer = await fetch(place.url + request.url, { method, headers: { authorization: headers.authorization } });
      answers.push(answer.status);
      response.writeHead(answer.status).end(await answer.text());
    }).listen(0, "127.0.0.1");
    await once(between, "listening");
    const url = `http://127.0.0.1:${between.address().port}`;
    const other = await place.startWorker("other", { url, signingKey: "signkey-test-ff" });
    await place.until("the worker to ask", () => answers.length);
    assert.equal(answers[0], 401);
    await other.end("SIGKILL");
    between.close();
    await place.ready(1);
  });
});
