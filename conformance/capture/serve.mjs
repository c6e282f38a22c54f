#!/usr/bin/env node
// Runs the recording server by itself, to try the conformance suites against:
// `node serve.mjs --port 0 --ready-file PATH --sdk-url URL`. It takes the options that `stepwell dev` takes.

import { writeFileSync } from "node:fs";

import { RecordingServer } from "./server.mjs";

const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const server = new RecordingServer({ retryIntervalMs: Number(option("--retry-interval") ?? 1) * 1000 });
const url = await server.listen(Number(option("--port") ?? 0));
if (option("--sdk-url")) setInterval(() => server.sync(option("--sdk-url")).catch(() => {}), 2000);
if (option("--ready-file")) writeFileSync(option("--ready-file"), url);
console.log(`listening on ${url}`);
