import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { fresh, startApp } from "../app.mjs";
import { WAYS, gateOf, parallel, ranOf } from "../apps/parallel.mjs";
import { major } from "../sdk.mjs";

describe("parallel", { concurrency: 6 }, () => {
  let app;
  before(async () => {
    app = await startApp("ts-parallel", parallel);
  });
  after(() => app?.stop());

  for (const way of Object.keys(WAYS)) {
    test(`${way}: everything at once, each once`, async () => {
      const key = fresh();
      const run = await app.run(`parallel/everything-${way}`, { key });
      assert.equal(run.status, "Completed", JSON.stringify(run.output));
      assert.deepEqual(run.output, { one: 1, reply: null, signal: null, sent: 1, nested: [2, "x", "y"], last: "done" });
      assert.deepEqual(ranOf(key).toSorted(), ["first", "inner x", "inner y", "last", "one", "second"]);
    });

    test(`${way}: a race goes on with the first`, async (t) => {
      const key = fresh();
      const eventId = await app.send(`parallel/race-${way}`, { key });
      t.after(() => gateOf(key).releaseOne());
      // The previous SDK has no race mode: with optimised parallelism it waits for all, and takes the first it was given.
      const races = major >= 4 || way.startsWith("plain");
      if (races) await app.until("the step after the race", () => ranOf(key).includes("after"));
      await app.until("the slow step", () => gateOf(key).inside === 1);
      gateOf(key).releaseOne();
      const [run] = await app.ended(eventId);
      assert.equal(run.status, "Completed", JSON.stringify(run.output));
      if (races) assert.equal(run.output, "quick");
      assert.deepEqual(ranOf(key).toSorted(), ["after", "quick", "slow"]);
    });

    test(`${way}: branches fail and are tried again by themselves`, async () => {
      const key = fresh();
      const run = await app.run(`parallel/partly-${way}`, { key });
      assert.deepEqual(run.output, ["fine", "flaky", "broken"]);
      assert.deepEqual(ranOf(key).toSorted(), ["broken", "fine", "flaky 0", "flaky 1"]);
    });
  }

  test("100 steps at once", async () => {
    const key = fresh();
    assert.equal((await app.run("parallel/wide", { key })).output, 4950);
    assert.equal(new Set(ranOf(key)).size, 100);
    assert.equal(ranOf(key).length, 100);
  });

  test("state that no call can carry is fetched by the SDK", async () => {
    const run = await app.run("parallel/large", {});
    assert.equal(run.status, "Completed", JSON.stringify(run.output)?.slice(0, 1000));
    assert.deepEqual(run.output, Array(6).fill(1_000_000));
  });

  test("state of parallel steps that no call can carry", async () => {
    const run = await app.run("parallel/large-off", {});
    assert.equal(run.status, "Completed", JSON.stringify(run.output)?.slice(0, 1000));
    assert.deepEqual(run.output, [..."abcdef"].map((letter) => `${letter}1000000`));
  });

  test("a step's result over 4 MiB fails the run and says so", async () => {
    const run = await app.run("parallel/too-large", {});
    assert.equal(run.status, "Failed");
    assert.match(JSON.stringify(run.output), /step output size is greater than the limit/);
  });

  for (const id of ["too-much", "too-much-off"]) {
    test(`${id}: a run's state over 32 MiB fails it and says so`, async () => {
      const run = await app.run(`parallel/${id}`, {});
      assert.equal(run.status, "Failed");
      assert.equal(run.output.name, "InngestErrStateOverflowed");
      assert.match(run.output.message, /^The function run exceeded the state size limit of \d+ bytes\.$/);
    });
  }

  test("a run of more than 1000 steps fails and says so", async () => {
    const run = await app.run("parallel/too-many", {});
    assert.equal(run.status, "Failed");
    assert.equal(run.output.name, "InngestErrFunctionOverflowed");
    assert.equal(run.output.message, "The function run exceeded the step limit of 1000 steps.");
  });
});
