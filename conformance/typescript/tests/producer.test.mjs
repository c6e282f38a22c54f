// A producer in TypeScript is checked by the compiler against the types that the Rust SDK writes.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

test("a producer of events of Rust types compiles, and its mistakes do not", async () => {
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const project = fileURLToPath(new URL("../producer/tsconfig.json", import.meta.url));
  const run = promisify(execFile)(process.execPath, [compiler, "--project", project]);
  const { stdout } = await run.catch((failed) => failed);
  assert.equal(stdout, "");
});
