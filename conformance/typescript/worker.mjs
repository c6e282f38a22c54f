// A worker on the official SDK's `connect`, in a process of its own so that a test can kill it.
//
// Its argument says who it is. It writes what happens as lines of JSON, and lets an execution that it holds go on when a
// line with its key comes in.

import { createInterface } from "node:readline";

import { NonRetriableError, major, newClient } from "./sdk.mjs";

const { connect } = await import(major === 3 ? "inngest3/connect" : "inngest/connect");

const { url, apps, instanceId, signingKey, maxWorkerConcurrency, isolateExecution } = JSON.parse(process.argv[2]);

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const held = new Map();
createInterface({ input: process.stdin }).on("line", (key) => held.get(key)?.());
const hold = (key, attempt) =>
  new Promise((release) => {
    held.set(key, release);
    say({ entered: key, attempt });
  });

const define = (client) => {
  const on = (id, handler, options = {}) =>
    client.createFunction({ id, triggers: [{ event: `${client.id}/${id}` }], retries: 1, ...options }, handler);
  return [
    on("steps", async ({ event, step }) => {
      const first = await step.run("first", () => `${event.data.text}!`);
      await step.sleep("nap", "1s");
      const both = await Promise.all([step.run("left", () => "left"), step.run("right", () => "right")]);
      return { first, both, by: instanceId };
    }),
    on("fails-once", ({ attempt }) => {
      if (attempt === 0) throw new Error("once");
      return attempt;
    }),
    on("never-again", () => {
      throw new NonRetriableError("for good");
    }, { retries: 3 }),
    on("held", async ({ event, attempt }) => {
      await hold(event.data.key, attempt);
      return { by: instanceId, attempt };
    }),
  ];
};

const silent = () => {};
const logger = { debug: silent, info: silent, warn: silent, error: silent };
const mode = signingKey ? { isDev: false, signingKey } : { isDev: true };
const connection = await connect({
  apps: apps.map((id) => {
    const client = newClient({ id, baseUrl: url, eventKey: "test", logger, ...mode });
    return { client, functions: define(client) };
  }),
  instanceId,
  maxWorkerConcurrency,
  isolateExecution,
  // The SDK before the current one takes it here.
  signingKey,
});
say({ connected: connection.connectionId });
await connection.closed;
say({ closed: true });
process.exit(0);
