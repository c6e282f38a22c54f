// The SDK that the suite runs on: the current major, or the one before it (STEPWELL_SDK=3).
//
// Tests are written for the current one; what the one before says differently is adapted here.

const PACKAGES = { 3: "inngest3", 4: "inngest" };

/** The SDK's major version. */
export const major = Number(process.env.STEPWELL_SDK ?? 4);
if (!PACKAGES[major]) throw new Error(`STEPWELL_SDK=${process.env.STEPWELL_SDK}: expected one of ${Object.keys(PACKAGES).join(", ")}`);

const sdk = await import(PACKAGES[major]);
const experimental = await import(`${PACKAGES[major]}/experimental`);

export const { NonRetriableError, RetryAfterError, StepError, referenceFunction } = sdk;
/** Models for `step.ai.infer`. */
export const { openai, anthropic, gemini } = sdk;
/** Missing from the SDK before the current one. */
export const { createDefer } = experimental;
export const { serve } = await import(`${PACKAGES[major]}/node`);

/** What a function has to say for the checkpointing and the parallelism that the current SDK has by itself. */
export const CURRENT_DEFAULTS = major >= 4 ? {} : { checkpointing: true, optimizeParallelism: true };

/** A client whose `createFunction` takes what that of the current SDK does. */
export function newClient(options) {
  const client = new sdk.Inngest(options);
  if (major >= 4) return client;
  const create = client.createFunction;
  client.createFunction = ({ triggers = [], ...rest }, handler) => create(rest, triggers, handler);
  return client;
}
