import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startApp } from "../app.mjs";
import { NonRetriableError, RetryAfterError, StepError } from "../sdk.mjs";

/** The attempts that each function saw, with their times, by event `data.key`. */
const attempts = new Map();
const note = (event, attempt) => {
  const seen = attempts.get(event.data.key) ?? [];
  attempts.set(event.data.key, [...seen, { attempt, at: Date.now() }]);
};
const attemptsOf = (key) => (attempts.get(key) ?? []).map(({ attempt }) => attempt);
const pauseOf = (key) => attempts.get(key)[1].at - attempts.get(key)[0].at;

const failuresSeen = new Map();
const off = { checkpointing: false };

const flakyStep = async ({ event, step, attempt }) =>
  step.run("flaky", () => {
    note(event, attempt);
    if (attempt < 2) throw new Error(`attempt ${attempt} fails`);
    return `attempt ${attempt} works`;
  });

const rescued = async ({ event, step, attempt }) => {
  try {
    await step.run("broken", () => {
      note(event, attempt);
      throw new TypeError("always broken");
    });
    return "not reached";
  } catch (error) {
    const rescue = await step.run("rescue", () => "rescued");
    return { rescue, isStepError: error instanceof StepError, name: error.name, message: error.message };
  }
};

let app;
before(async () => {
  app = await startApp("ts-failures", (client) => {
    const define = (id, handler, options = {}) => client.createFunction({ id, triggers: [{ event: `failures/${id}` }], retries: 3, ...options }, handler);
    return [
      define("flaky", async ({ event, attempt }) => {
        note(event, attempt);
        if (attempt < 2) throw new Error(`attempt ${attempt} fails`);
        return `attempt ${attempt} works`;
      }),
      define("flaky-step", flakyStep),
      define("flaky-step-off", flakyStep, off),
      define(
        "always",
        async ({ event, attempt }) => {
          note(event, attempt);
          throw new RangeError("never works");
        },
        { retries: 1 },
      ),
      define(
        "no-retries",
        async ({ event, attempt }) => {
          note(event, attempt);
          throw new Error("once only");
        },
        { retries: 0 },
      ),
      define("final", async ({ event, attempt }) => {
        note(event, attempt);
        throw new NonRetriableError("do not try again");
      }),
      define("final-step", async ({ event, step, attempt }) =>
        step.run("final", () => {
          note(event, attempt);
          throw new NonRetriableError("do not try again");
        }),
      ),
      define("later", async ({ event, attempt }) => {
        note(event, attempt);
        if (attempt === 0) throw new RetryAfterError("come back", "3s");
        return "came back";
      }),
      define("later-step", async ({ event, step, attempt }) =>
        step.run("later", () => {
          note(event, attempt);
          if (attempt === 0) throw new RetryAfterError("come back", "3s");
          return "came back";
        }),
      ),
      define("rescued", rescued, { retries: 1 }),
      define("rescued-off", rescued, { retries: 1, ...off }),
      define("rethrown", async ({ step }) => {
        try {
          await step.run("broken", () => {
            throw new NonRetriableError("inner");
          });
        } catch (error) {
          throw new NonRetriableError("outer", { cause: error });
        }
      }),
      define(
        "attempts-anew",
        async ({ event, step, attempt }) => {
          await step.run("flaky one", () => {
            note(event, attempt);
            if (attempt === 0) throw new Error("first step, first attempt");
          });
          return step.run("flaky two", () => {
            note(event, attempt);
            if (attempt === 0) throw new Error("second step, first attempt");
            return "both worked";
          });
        },
        { retries: 1, ...off },
      ),
      define(
        "one-of-three",
        async ({ step }) => {
          const outcomes = await Promise.allSettled([
            step.run("fine", () => "fine"),
            step.run("broken", () => {
              throw new NonRetriableError("broken branch");
            }),
            step.run("also fine", () => "also fine"),
          ]);
          return outcomes.map((outcome) => outcome.value ?? outcome.reason.message);
        },
        { retries: 0 },
      ),
      define(
        "handled",
        async () => {
          throw new NonRetriableError("for the handler");
        },
        {
          onFailure: async ({ error, event, step }) => {
            const cleanUp = await step.run("clean up", () => "cleaned");
            failuresSeen.set(event.data.event.data.key, { message: error.message, runId: event.data.run_id, functionId: event.data.function_id, cleanUp });
          },
        },
      ),
    ];
  });
});
after(() => app?.stop());

for (const id of ["flaky", "flaky-step", "flaky-step-off"]) {
  test(`${id}: fails twice, is tried again, works`, async () => {
    const run = await app.run(`failures/${id}`, { key: id });
    assert.equal(run.status, "Completed");
    assert.equal(run.output, "attempt 2 works");
    assert.deepEqual(attemptsOf(id), [0, 1, 2]);
  });
}

test("a function that always fails ends with its error, after its attempts", async () => {
  const run = await app.run("failures/always", { key: "always" });
  assert.equal(run.status, "Failed");
  assert.deepEqual(attemptsOf("always"), [0, 1]);
  assert.equal(run.output.name, "RangeError");
  assert.equal(run.output.message, "never works");
  assert.match(run.output.stack, /never works/);
});

test("retries: 0 is one attempt", async () => {
  const run = await app.run("failures/no-retries", { key: "no-retries" });
  assert.equal(run.status, "Failed");
  assert.deepEqual(attemptsOf("no-retries"), [0]);
});

for (const id of ["final", "final-step"]) {
  test(`${id}: a NonRetriableError ends the run at once`, async () => {
    const run = await app.run(`failures/${id}`, { key: id });
    assert.equal(run.status, "Failed");
    assert.equal(run.output.message, "do not try again");
    assert.deepEqual(attemptsOf(id), [0]);
  });
}

for (const id of ["later", "later-step"]) {
  test(`${id}: a RetryAfterError decides when to try again`, async () => {
    const run = await app.run(`failures/${id}`, { key: id });
    assert.equal(run.output, "came back");
    assert.deepEqual(attemptsOf(id), [0, 1]);
    assert.ok(pauseOf(id) >= 2000, `tried again after ${pauseOf(id)} ms, asked for 3000; the server's own interval is 1000`);
  });
}

for (const id of ["rescued", "rescued-off"]) {
  test(`${id}: a step's error reaches the function, which may go on`, async () => {
    const run = await app.run(`failures/${id}`, { key: id });
    assert.equal(run.status, "Completed");
    assert.deepEqual(run.output, { rescue: "rescued", isStepError: true, name: "TypeError", message: "always broken" });
    assert.deepEqual(attemptsOf(id), [0, 1]);
  });
}

test("an error thrown because of a step's error is the run's error", async () => {
  const run = await app.run("failures/rethrown");
  assert.equal(run.status, "Failed");
  assert.equal(run.output.message, "outer");
});

test("each step has attempts of its own", async () => {
  const run = await app.run("failures/attempts-anew", { key: "anew" });
  assert.equal(run.output, "both worked");
  assert.deepEqual(attemptsOf("anew"), [0, 1, 0, 1]);
});

test("one failing branch of three leaves the others their results", async () => {
  const run = await app.run("failures/one-of-three");
  assert.deepEqual(run.output, ["fine", "broken branch", "also fine"]);
});

test("onFailure runs once with the error, the event and the run of the failure", async () => {
  const run = await app.run("failures/handled", { key: "handled" });
  assert.equal(run.status, "Failed");
  const seen = await app.until("the failure handler", () => failuresSeen.get("handled"));
  assert.deepEqual(seen, { message: "for the handler", runId: run.run_id, functionId: "ts-failures-handled", cleanUp: "cleaned" });
});
