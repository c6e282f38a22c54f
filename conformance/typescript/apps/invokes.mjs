// Functions that invoke others, and those that they invoke.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";
import { NonRetriableError, StepError, referenceFunction } from "../sdk.mjs";

/** Holds the runs of `slow`. */
export const slow = new Gate();
/** What the function that was invoked saw, by the key in its data. */
export const invoked = new Map();

export const invokes = (client) => {
  const define = definer(client, "invokes", { retries: 1 });
  const callee = (id, handler, options = {}) => define(id, handler, { triggers: [], ...options });
  /** A function that invokes another and returns what came of it, as its code sees it. */
  const caller = (id, target, options = {}) =>
    define(id, async ({ event, step }) => {
      try {
        return { result: await step.invoke("call", { function: target, data: event.data, ...options }) };
      } catch (error) {
        return { name: error.name, message: error.message, isStepError: error instanceof StepError };
      }
    });

  const double = callee("double", ({ event }) => {
    invoked.set(event.data.key, { name: event.name, data: event.data });
    return event.data.number * 2;
  });
  const nothing = callee("nothing", () => {});
  const stepwise = callee("stepwise", async ({ event, step }) => {
    const one = await step.run("one", () => event.data.number + 1);
    await step.sleep("nap", "1s");
    return step.run("two", () => one * 10);
  });
  const broken = callee("broken", () => {
    throw new NonRetriableError("no use");
  });
  const flaky = callee("flaky", ({ attempt }) => {
    if (attempt === 0) throw new Error("not yet");
    return `attempt ${attempt}`;
  });
  const alsoTriggered = define("also-triggered", ({ event }) => event.name);
  const rarely = callee("rarely", () => "once", { rateLimit: { limit: 1, period: "1h", key: "event.data.key" } });
  const lonely = callee("lonely", () => slow.enter(), { singleton: { mode: "skip", key: "event.data.key" } });
  const settled = callee("settled", ({ event }) => event.data.number, { debounce: { period: "2s", key: "event.data.key" } });
  const batched = callee("batched", ({ events }) => events.reduce((sum, { data }) => sum + data.number, 0), {
    batchEvents: { maxSize: 2, timeout: "30s", key: "event.data.key" },
  });
  const held = callee("held", async ({ step }) => {
    await step.sleep("long", "1h");
  });

  return [
    double, nothing, stepwise, broken, flaky, alsoTriggered, rarely, lonely, settled, batched, held,
    caller("call-double", double),
    caller("call-nothing", nothing),
    caller("call-stepwise", stepwise),
    caller("call-broken", broken),
    caller("call-flaky", flaky),
    caller("call-also-triggered", alsoTriggered),
    caller("call-rarely", rarely),
    caller("call-lonely", lonely),
    caller("call-settled", settled),
    caller("call-batched", batched),
    caller("call-held", held, { timeout: "1h" }),
    caller("call-held-shortly", held, { timeout: "1s" }),
    caller("call-reference", referenceFunction({ functionId: "double" })),
    caller("call-abroad", referenceFunction({ appId: "ts-invoked-abroad", functionId: "greet" })),
    caller("call-missing", referenceFunction({ functionId: "missing" })),
    define("uncaught", ({ step }) => step.invoke("call", { function: broken, data: {} })),
    define("many", async ({ step }) => Promise.all([1, 2, 3].map((number) => step.invoke(`call ${number}`, { function: double, data: { number } })))),
    define("sum", async ({ step }) => {
      const outer = await step.invoke("outer", { function: stepwise, data: { number: 1 } });
      return step.run("after", () => outer + 1);
    }),
    callee("factorial", async ({ event, step }) => {
      const { number } = event.data;
      if (number <= 1) return 1;
      return number * (await step.invoke("smaller", { function: referenceFunction({ functionId: "factorial" }), data: { number: number - 1 } }));
    }),
    caller("call-factorial", referenceFunction({ functionId: "factorial" })),
  ];
};

/** Another app, for calls from one to the other. */
export const abroad = (client) => [definer(client, "abroad")("greet", ({ event }) => `hello ${event.data.who}`, { triggers: [] })];
