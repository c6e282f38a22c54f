import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";

const BIG = 1_000_000;
const off = { checkpointing: false };
const VALUES = {
  object: { text: "größe ✓ \u2028", number: 1.5, nested: { list: [1, [2], {}], none: null } },
  array: [1, "two", null, false],
  text: "plain",
  "empty-text": "",
  zero: 0,
  false: false,
  null: null,
  undefined,
};

let app;
before(async () => {
  app = await startApp("ts-results", (client) => {
    const define = (id, handler, options = {}) => client.createFunction({ id, triggers: [{ event: `results/${id}` }], ...options }, handler);
    return [
      ...Object.entries(VALUES).flatMap(([id, value]) => [define(id, () => value), define(`${id}-off`, () => value, off)]),
      define("big", async ({ event, step }) => {
        const text = await step.run("big step", () => event.data.letter.repeat(BIG));
        await step.sleep("so that the step is sent back", "1s");
        return { length: text.length, text };
      }),
      define("big-event", ({ event }) => event.data.text.length),
    ];
  });
});
after(() => app?.stop());

for (const [id, value] of Object.entries(VALUES)) {
  for (const name of [id, `${id}-off`]) {
    test(`a function may return: ${name}`, async () => {
      const run = await app.run(`results/${name}`);
      assert.equal(run.status, "Completed");
      assert.deepEqual(run.output ?? null, value ?? null);
      assert.ok(run.ended_at, "an ended run says when");
    });
  }
}

test("a megabyte as a step's result and as a function's", async () => {
  const run = await app.run("results/big", { letter: "x" });
  assert.equal(run.status, "Completed");
  assert.equal(run.output.length, BIG);
  assert.equal(run.output.text, "x".repeat(BIG));
});

test("a megabyte in an event", async () => {
  const run = await app.run("results/big-event", { text: "y".repeat(BIG) });
  assert.equal(run.output, BIG);
});
