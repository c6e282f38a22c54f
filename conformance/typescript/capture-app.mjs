// The functions whose traffic is recorded, in the official TypeScript SDK. One function a wire shape.

import { Inngest, NonRetriableError, RetryAfterError } from "inngest";
import { createServer } from "inngest/node";

const inngest = new Inngest({ id: "capture" });
const withoutCheckpointing = { checkpointing: false };
const define = (id, handler, options = {}) =>
  inngest.createFunction({ id, triggers: [{ event: `capture/${id}` }], retries: 1, ...options }, handler);

/** Fails on the first attempt of a call, works on the second. */
const failFirst = (attempt, error) => {
  if (attempt === 0) throw error;
};

const callee = define("callee", async ({ event }) => ({ doubled: event.data.number * 2 }));

const parallel = async ({ step }) => {
  const [left, right] = await Promise.all([step.run("left", () => "l"), step.run("right", () => "r")]);
  return step.run("join", () => left + right);
};

const mixedParallel = async ({ step }) => {
  const [ran] = await Promise.all([step.run("work", () => 1), step.sleep("nap", "1h"), step.sendEvent("tell", { name: "capture/told", data: {} })]);
  return ran;
};

const sequence = async ({ step }) => {
  const first = await step.run("first", () => 1);
  const second = await step.run("second", () => first + 1);
  return { first, second, third: await step.run("third", () => second + 1) };
};

const functions = [
  callee,
  define("no-step", async ({ event }) => ({ greeting: `hello ${event.data.who}` })),
  define("returns-null", async () => null),
  define("returns-undefined", async () => {}),
  define("step-run", async ({ step }) => step.run("only step", () => ({ answer: 42, text: "größe", none: null }))),
  define("step-run-no-checkpoint", async ({ step }) => step.run("only step", () => ({ answer: 42 })), withoutCheckpointing),
  define("step-returns-nothing", async ({ step }) => step.run("nothing", () => {}), withoutCheckpointing),
  define("several-steps", sequence),
  define("several-steps-no-checkpoint", sequence, withoutCheckpointing),
  define("several-steps-buffered", sequence, { checkpointing: { bufferedSteps: 2 } }),
  define(
    "repeated-step-id",
    async ({ step }) => {
      const seen = [];
      for (let index = 0; index < 3; index += 1) seen.push(await step.run("again", () => index));
      return seen;
    },
    withoutCheckpointing,
  ),
  define("parallel", parallel),
  define("parallel-no-checkpoint", parallel, withoutCheckpointing),
  define("parallel-not-optimised", parallel, { optimizeParallelism: false }),
  define("parallel-mixed", mixedParallel),
  define("sleep", async ({ step }) => {
    await step.run("before", () => 1);
    await step.sleep("nap", "90m");
    return step.run("after", () => 2);
  }),
  define("sleep-no-checkpoint", async ({ step }) => step.sleep("nap", 90_000), withoutCheckpointing),
  define("sleep-until", async ({ step }) => step.sleepUntil("until then", new Date("2030-01-02T03:04:05Z"))),
  define("send-event", async ({ step }) =>
    step.sendEvent("tell", [
      { name: "capture/told", data: { number: 1 } },
      { name: "capture/told", id: "told-2", data: { number: 2 }, user: { id: "u" }, v: "2", ts: 1767225600000 },
    ]),
  ),
  define("wait-for-event", async ({ step }) =>
    step.waitForEvent("the answer", { event: "capture/answer", timeout: "1h", if: "event.data.id == async.data.id" }),
  ),
  define("wait-for-event-timeout", async ({ step }) => step.waitForEvent("the answer", { event: "capture/never", timeout: "1m" })),
  define("invoke", async ({ step }) => step.invoke("call", { function: callee, data: { number: 21 }, timeout: "5m" })),
  define("invoke-fails", async ({ step }) => {
    try {
      await step.invoke("call", { function: inngest.createFunction({ id: "error-non-retriable", triggers: [] }, () => {}), data: {} });
    } catch (error) {
      return { name: error.name, message: error.message };
    }
  }),
  define("error", async ({ attempt }) => {
    failFirst(attempt, new TypeError("the first attempt fails"));
    return "second attempt";
  }),
  define("error-final", async () => {
    throw new Error("always", { cause: new RangeError("because") });
  }),
  define("error-non-retriable", async () => {
    throw new NonRetriableError("never again", { cause: new Error("because") });
  }),
  define("error-retry-after", async ({ attempt }) => {
    failFirst(attempt, new RetryAfterError("later", "30s"));
    return "later it was";
  }),
  define("error-retry-after-date", async ({ attempt }) => {
    failFirst(attempt, new RetryAfterError("later", new Date("2030-01-02T03:04:05Z")));
    return "later it was";
  }),
  define("step-error", async ({ step, attempt }) =>
    step.run("flaky", () => {
      failFirst(attempt, new TypeError("the first attempt fails"));
      return "second attempt";
    }),
  ),
  define("step-error-no-checkpoint", async ({ step, attempt }) =>
    step.run("flaky", () => {
      failFirst(attempt, new TypeError("the first attempt fails"));
      return "second attempt";
    }),
    withoutCheckpointing,
  ),
  define("step-error-uncaught", async ({ step }) =>
    step.run("broken", () => {
      throw new Error("always");
    }),
  ),
  define("step-error-caught", async ({ step }) => {
    try {
      await step.run("broken", () => {
        throw new Error("always", { cause: new RangeError("because") });
      });
    } catch (error) {
      return step.run("rescue", () => ({ name: error.name, message: error.message, cause: error.cause?.message }));
    }
  }),
  define("step-error-non-retriable", async ({ step }) => {
    try {
      await step.run("broken", () => {
        throw new NonRetriableError("never again");
      });
    } catch (error) {
      return `caught: ${error.message}`;
    }
  }),
  define("step-error-retry-after", async ({ step, attempt }) =>
    step.run("slow", () => {
      failFirst(attempt, new RetryAfterError("later", 30_000));
      return "later it was";
    }),
  ),
  define("parallel-step-error", async ({ step }) =>
    Promise.allSettled([
      step.run("fine", () => 1),
      step.run("broken", () => {
        throw new NonRetriableError("never again");
      }),
    ]),
  ),
  define(
    "on-failure",
    async () => {
      throw new NonRetriableError("seen by the failure handler");
    },
    { onFailure: async ({ error, event }) => ({ handled: error.message, run: event.data.run_id }) },
  ),
  define("flow-control", async () => "done", {
    name: "Every flow control option",
    triggers: [{ event: "capture/flow-control", if: "event.data.size > 1" }, { cron: "TZ=Europe/Paris 0 5 * * 1-5" }],
    retries: 7,
    concurrency: [{ limit: 2, key: "event.data.account" }, { limit: 10, scope: "account", key: "'shared'" }],
    throttle: { limit: 3, period: "10s", burst: 2, key: "event.data.account" },
    rateLimit: { limit: 5, period: "1h", key: "event.data.account" },
    debounce: { period: "5s", key: "event.data.account", timeout: "1m" },
    priority: { run: "event.data.plan == 'pro' ? 120 : 0" },
    singleton: { key: "event.data.account", mode: "skip" },
    cancelOn: [{ event: "capture/cancel", if: "event.data.id == async.data.id", timeout: "1h" }],
    timeouts: { start: "10s", finish: "5m" },
    idempotency: "event.data.order",
  }),
  define("batch", async ({ events }) => events.length, { batchEvents: { maxSize: 10, timeout: "5s", key: "event.data.account" } }),
];

const server = createServer({ client: inngest, functions });
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});

// What an app does outside its functions, asked for by the recorder on standard input.
const outside = {
  "send-one": () => inngest.send({ name: "capture/unheard", data: { number: 1 } }),
  "send-batch": () => inngest.send([{ name: "capture/unheard", data: { number: 1 } }, { name: "capture/unheard", id: "second", data: {} }]),
};
process.stdin.setEncoding("utf8").on("data", async (text) => {
  for (const command of text.split("\n").filter(Boolean)) console.log(JSON.stringify({ command, result: await outside[command]() }));
});
process.stdin.on("end", () => process.exit(0));
