import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";
import { CURRENT_DEFAULTS } from "../sdk.mjs";

/** How often each step's body ran, by run and step. */
const executions = new Map();
const counted = (runId, stepId, result) => () => {
  const key = `${runId} ${stepId}`;
  executions.set(key, (executions.get(key) ?? 0) + 1);
  return result;
};
const executionsOf = (run, ...stepIds) => stepIds.map((stepId) => executions.get(`${run.run_id} ${stepId}`) ?? 0);

const sequence = async ({ step, runId }) => {
  const first = await step.run("first", counted(runId, "first", 1));
  const second = await step.run("second", counted(runId, "second", first + 1));
  const third = await step.run("third", counted(runId, "third", { value: second + 1 }));
  return { first, second, third };
};

const fork = async ({ step, runId }) => {
  const branches = await Promise.all(["a", "b", "c"].map((id) => step.run(id, counted(runId, id, id.toUpperCase()))));
  return step.run("join", counted(runId, "join", branches.join("")));
};

const nap = async ({ step }) => {
  const before = await step.run("before", () => Date.now());
  await step.sleep("nap", "1s");
  const after = await step.run("after", () => Date.now());
  return { slept: after - before };
};

const FANS = 20;
const off = { checkpointing: false };

let app;
before(async () => {
  app = await startApp("ts-steps", (client) => {
    const define = (id, handler, options = {}) => client.createFunction({ id, triggers: [{ event: `steps/${id}` }], ...options }, handler);
    return [
      define("sequence", sequence, CURRENT_DEFAULTS),
      define("sequence-off", sequence, off),
      define("sequence-buffered", sequence, { checkpointing: { bufferedSteps: 2 } }),
      define("repeated", async ({ step }) => {
        const seen = [];
        for (let index = 0; index < 4; index += 1) seen.push(await step.run("again", () => index));
        return seen;
      }),
      define("nothing", async ({ step }) => [await step.run("nothing", () => {}), await step.run("null", () => null)].map((value) => value ?? "none")),
      define("nap", nap),
      define("nap-off", nap, off),
      define("nap-until", async ({ step }) => {
        const target = await step.run("target", () => (Math.ceil(Date.now() / 1000) + 2) * 1000);
        await step.sleepUntil("nap", new Date(target));
        return { late: (await step.run("after", () => Date.now())) - target };
      }),
      define("nap-until-past", async ({ step }) => {
        await step.sleepUntil("nap", new Date("2020-01-01T00:00:00Z"));
        return "awake";
      }),
      define("send", async ({ step }) => {
        const one = await step.sendEvent("one", { name: "steps/heard", data: { number: 1 } });
        const two = await step.sendEvent("two", [
          { name: "steps/heard", data: { number: 2 } },
          { name: "steps/heard", data: { number: 3 } },
        ]);
        return [...one.ids, ...two.ids];
      }),
      define("heard", ({ event }) => event.data.number * 10),
      define("fork", fork),
      define("fork-off", fork, { ...CURRENT_DEFAULTS, ...off }),
      define("fork-v1", fork, { optimizeParallelism: false }),
      define("fork-v1-off", fork, { optimizeParallelism: false, ...off }),
      define("fan", async ({ step, runId }) => {
        const results = await Promise.all(Array.from({ length: FANS }, (_, index) => step.run(`fan ${index}`, counted(runId, `fan ${index}`, index))));
        return results.reduce((sum, value) => sum + value, 0);
      }),
      define("branches", async ({ step, runId }) => {
        const branch = async (id) => {
          const one = await step.run(`${id} one`, counted(runId, `${id} one`, `${id}1`));
          await step.sleep(`${id} nap`, "1s");
          return step.run(`${id} two`, counted(runId, `${id} two`, `${one}${id}2`));
        };
        return Promise.all([branch("x"), branch("y")]);
      }),
      define("mixed", async ({ step, runId }) => {
        const [ran, , sent] = await Promise.all([
          step.run("work", counted(runId, "work", "done")),
          step.sleep("nap", "1s"),
          step.sendEvent("tell", { name: "steps/heard", data: { number: 4 } }),
        ]);
        return { ran, sent: sent.ids.length };
      }),
    ];
  });
});
after(() => app?.stop());

for (const id of ["sequence", "sequence-off", "sequence-buffered"]) {
  test(`${id}: steps run once each, in order, and see the results before them`, async () => {
    const run = await app.run(`steps/${id}`);

    assert.equal(run.status, "Completed");
    assert.deepEqual(run.output, { first: 1, second: 2, third: { value: 3 } });
    assert.deepEqual(executionsOf(run, "first", "second", "third"), [1, 1, 1]);
  });
}

test("with checkpointing a function of quick steps is one call", async () => {
  const known = app.callsOf("sequence").length;
  await app.run("steps/sequence");
  assert.deepEqual(app.callsOf("sequence").slice(known), ["step"]);
});

test("without checkpointing each step is a call, and the result another", async () => {
  const known = app.callsOf("sequence-off").length;
  await app.run("steps/sequence-off");
  assert.deepEqual(app.callsOf("sequence-off").slice(known), ["step", "step", "step", "step"]);
});

test("one step id used four times is four steps", async () => {
  assert.deepEqual((await app.run("steps/repeated")).output, [0, 1, 2, 3]);
});

test("a step that returns nothing has run", async () => {
  assert.deepEqual((await app.run("steps/nothing")).output, ["none", "none"]);
});

for (const id of ["nap", "nap-off"]) {
  test(`${id}: a sleep is not shorter than asked`, async () => {
    const { status, output } = await app.run(`steps/${id}`);
    assert.equal(status, "Completed");
    assert.ok(output.slept >= 950, `slept ${output.slept} ms of 1000`);
  });
}

test("sleepUntil wakes at its time, not before", async () => {
  const { output } = await app.run("steps/nap-until");
  assert.ok(output.late >= 0, `woke ${-output.late} ms early`);
});

test("sleepUntil a time that has passed goes on", async () => {
  assert.equal((await app.run("steps/nap-until-past")).output, "awake");
});

test("step.sendEvent sends once, answers with the ids and starts what listens", async () => {
  const { output: ids } = await app.run("steps/send");

  assert.equal(new Set(ids).size, 3);
  const runs = await Promise.all(ids.map((eventId) => app.ended(eventId)));
  assert.deepEqual(runs.map(([run]) => run.output), [10, 20, 30]);
});

for (const id of ["fork", "fork-off", "fork-v1", "fork-v1-off"]) {
  test(`${id}: parallel steps run once each, and the step after them once`, async () => {
    const run = await app.run(`steps/${id}`);

    assert.equal(run.status, "Completed");
    assert.equal(run.output, "ABC");
    assert.deepEqual(executionsOf(run, "a", "b", "c", "join"), [1, 1, 1, 1]);
  });
}

test("optimised parallelism calls once when all parallel steps have ended", async () => {
  const known = app.callsOf("fork-off").length;
  await app.run("steps/fork-off");
  const calls = app.callsOf("fork-off").slice(known);
  assert.equal(calls.filter((stepId) => stepId !== "step").length, 3, "one call a parallel step");
  assert.equal(calls.filter((stepId) => stepId === "step").length, 3, "to find the steps, to join them, to return");
});

test(`${FANS} parallel steps run once each`, async () => {
  const run = await app.run("steps/fan");
  assert.equal(run.output, (FANS * (FANS - 1)) / 2);
  const steps = Array.from({ length: FANS }, (_, index) => `fan ${index}`);
  assert.deepEqual(executionsOf(run, ...steps), steps.map(() => 1));
});

test("parallel branches of several steps each", async () => {
  const run = await app.run("steps/branches");
  assert.deepEqual(run.output, ["x1x2", "y1y2"]);
  assert.deepEqual(executionsOf(run, "x one", "x two", "y one", "y two"), [1, 1, 1, 1]);
});

test("a step, a sleep and a sent event in parallel", async () => {
  const run = await app.run("steps/mixed");
  assert.deepEqual(run.output, { ran: "done", sent: 1 });
  assert.deepEqual(executionsOf(run, "work"), [1]);
});
