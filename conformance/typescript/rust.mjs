// The apps on the Rust SDK, in a process of their own: `rs-across` and `rs-sealed` of ../rust.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

/** Starts the program and registers its apps with the server. It ends with the test's process at the latest. */
export async function startRustApps(server) {
  const binary = process.env.STEPWELL_RUST_APPS ?? besidesTheServer();
  const child = spawn(binary, [server.url], { stdio: ["pipe", "pipe", "inherit"] });
  const failed = once(child, "error").then(([error]) => {
    throw new Error(`${binary} could not be started (${error.message}): cargo build -p stepwell-conformance`);
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${binary} ended with code ${code} before it said where it is`);
  });
  for (const outcome of [failed, ended]) outcome.catch(() => {});
  const [origin] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), failed, ended]);
  for (const path of ["/across", "/sealed"]) {
    const response = await fetch(origin + path, { method: "PUT" });
    if (!response.ok) throw new Error(`${path} could not register: ${response.status} ${await response.text()}`);
  }
  return {
    async stop() {
      const exited = once(child, "exit");
      child.stdin.end();
      await exited;
    },
  };
}

/** Both are built into one folder. */
function besidesTheServer() {
  if (!process.env.STEPWELL_BIN) {
    throw new Error("no apps on the Rust SDK: set STEPWELL_RUST_APPS to the stepwell-conformance binary (cargo build -p stepwell-conformance)");
  }
  return join(dirname(process.env.STEPWELL_BIN), "stepwell-conformance");
}
