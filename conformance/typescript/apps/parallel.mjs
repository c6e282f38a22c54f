// Functions that do several things at once, and functions with much state.

import { definer } from "../app.mjs";
import { Gate } from "../gate.mjs";
import { CURRENT_DEFAULTS, NonRetriableError } from "../sdk.mjs";

/** What ran, by the key of the run's event. */
const ran = new Map();
export const ranOf = (key) => ran.get(key) ?? [];
/** Holds the slow branch of each race, by the key of the run's event. */
export const slow = new Map();

const MEGABYTE = 1_000_000;
const off = { checkpointing: false };
/** The ways in which a function may have its parallel steps discovered. */
export const WAYS = {
  optimised: CURRENT_DEFAULTS,
  "optimised-off": { ...CURRENT_DEFAULTS, ...off },
  plain: { optimizeParallelism: false },
  "plain-off": { optimizeParallelism: false, ...off },
};
/** The next execution of the slow branch waits until it is let go. */
export const gateOf = (key) => {
  if (!slow.has(key)) slow.set(key, new Gate());
  return slow.get(key);
};

export const parallel = (client) => {
  const define = definer(client, "parallel", { retries: 1 });
  const noted = ({ event }, name, result) => () => {
    ran.set(event.data.key, [...ranOf(event.data.key), name]);
    return result;
  };
  const racing = (group, race) => (group ? group.parallel({ mode: "race" }, race) : race());

  /** Everything that a function can do, at once. */
  const everything = async (context) => {
    const { event, step } = context;
    const [one, , reply, signal, sent, nested] = await Promise.all([
      step.run("one", noted(context, "one", 1)),
      step.sleep("nap", "1s"),
      step.waitForEvent("reply", { event: "parallel/reply", match: "data.key", timeout: "1s" }),
      step.waitForSignal("signal", { signal: `parallel ${event.data.key}`, timeout: "1s", onConflict: "fail" }),
      step.sendEvent("tell", { name: "parallel/heard", data: {} }),
      (async () => {
        const first = await step.run("first", noted(context, "first", 1));
        const second = await step.run("second", noted(context, "second", first + 1));
        const inner = await Promise.all(["x", "y"].map((id) => step.run(`inner ${id}`, noted(context, `inner ${id}`, id))));
        return [second, ...inner];
      })(),
    ]);
    return { one, reply, signal, sent: sent.ids.length, nested, last: await step.run("last", noted(context, "last", "done")) };
  };

  const race = async (context) => {
    const { event, group, step } = context;
    const winner = await racing(group, () =>
      Promise.race([
        step.run("slow", async () => {
          await gateOf(event.data.key).enter();
          return noted(context, "slow", "slow")();
        }),
        step.run("quick", noted(context, "quick", "quick")),
      ]),
    );
    await step.run("after", noted(context, "after"));
    return winner;
  };

  const partly = async (context) => {
    const { step, attempt } = context;
    const results = await Promise.allSettled([
      step.run("fine", noted(context, "fine", "fine")),
      step.run("flaky", () => {
        noted(context, `flaky ${attempt}`)();
        if (attempt === 0) throw new Error("the first attempt fails");
        return "flaky";
      }),
      step.run("broken", () => {
        noted(context, "broken")();
        throw new NonRetriableError("broken");
      }),
    ]);
    return results.map(({ value, reason }) => value ?? reason.message);
  };

  const fillUp = async ({ step }) => {
    for (let index = 0; index < 10; index += 1) await step.run(`fill ${index}`, () => "x".repeat(3_900_000));
    return "not reached";
  };

  const ways = Object.entries(WAYS).flatMap(([way, options]) => [
    define(`everything-${way}`, everything, options),
    define(`race-${way}`, race, options),
    define(`partly-${way}`, partly, options),
  ]);
  return [
    ...ways,
    define("wide", async (context) => {
      const results = await Promise.all(Array.from({ length: 100 }, (_, index) => context.step.run(`step ${index}`, noted(context, index, index))));
      return results.reduce((sum, value) => sum + value, 0);
    }),
    define("large", async ({ step }) => {
      const lengths = [];
      for (const letter of "abcdef") lengths.push((await step.run(`fill ${letter}`, () => letter.repeat(MEGABYTE))).length);
      await step.sleep("so that everything is sent back", "1s");
      return lengths;
    }),
    define("large-off", async ({ step }) => {
      const texts = await Promise.all([..."abcdef"].map((letter) => step.run(`fill ${letter}`, () => letter.repeat(MEGABYTE))));
      return step.run("look", () => texts.map((text) => `${text[0]}${text.length}`));
    }, off),
    define("too-large", ({ step }) => step.run("fill", () => "x".repeat(5 * 1024 * 1024)), { retries: 0, ...off }),
    define("too-much", fillUp, { retries: 0, ...CURRENT_DEFAULTS }),
    define("too-much-off", fillUp, { retries: 0, ...off }),
    define("too-many", async ({ step }) => {
      for (let index = 0; index < 1100; index += 1) await step.run(`step ${index}`, () => index);
      return "not reached";
    }, { retries: 0, checkpointing: { bufferedSteps: 50 } }),
  ];
};
