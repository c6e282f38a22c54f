// Records the traffic of an official SDK: `node record.mjs typescript|python`. See README.md.

import { spawn } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { join, resolve } from "node:path";

import { RecordingServer } from "./server.mjs";
import { keepExact, scrub } from "./scrub.mjs";

const CONFORMANCE = resolve(import.meta.dirname, "..");
const ROOT = resolve(CONFORMANCE, "..");
const PYTHON = process.env.PYTHON ?? join(ROOT, "target/venv/bin/python");
const SIGNING_KEY = "signkey-test-00112233445566778899aabbccddeeff";
const EVENT_TS = 1767225600000;

const SDKS = {
  typescript: { command: [process.execPath, "capture-app.mjs"], folder: join(CONFORMANCE, "typescript") },
  python: { command: [PYTHON, "capture_app.py"], folder: join(CONFORMANCE, "python") },
};

/** What each function is sent beyond an empty event. The scenario's name is the function's id. */
const INPUTS = {
  "no-step": { data: { who: "world" } },
  "wait-for-event": { data: { id: 7 }, eventAfterWait: { name: "capture/answer", id: "answer-1", data: { id: 7, text: "yes" } } },
  callee: { data: { number: 21 } },
  "flow-control": { skip: true },
  batch: { skip: true },
};

async function startApp({ command, folder }, environment) {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, LANG: "C.UTF-8", PYTHONDONTWRITEBYTECODE: "1", ...environment },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextJson = async () => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${command.join(" ")} ended before it answered`);
      if (value.startsWith("{")) return JSON.parse(value);
    }
  };
  const { port } = await nextJson();
  return {
    url: `http://127.0.0.1:${port}/api/inngest`,
    async ask(what) {
      child.stdin.write(`${what}\n`);
      return nextJson();
    },
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.stdin.end();
      await ended;
    },
  };
}

async function recordDevMode(sdk, save) {
  const server = new RecordingServer({ skipTime: true });
  const url = await server.listen();
  const app = await startApp(sdk, { INNGEST_DEV: url });
  const finish = (name, about) => save(name, about, scrub(server.exchanges, scrubOptions(url, app.url)));

  server.startScenario();
  await server.sync(app.url);
  await finish("register", "the server asks with PUT, the app registers out of band");

  server.startScenario();
  await server.request("GET", app.url);
  await finish("introspect", "GET without a signature");

  server.startScenario();
  await server.request("POST", `${app.url}?fnId=capture-unknown&stepId=step`, callOf("capture-unknown"));
  await finish("unknown-function", "a call for a function that the app does not have");

  server.startScenario();
  await server.request("POST", `${app.url}?fnId=capture-step-run&stepId=0000000000000000000000000000000000000000`, {
    ...callOf("capture-step-run", { step_id: "0000000000000000000000000000000000000000" }),
  });
  await finish("missing-step", "a call for a step that the function does not reach");

  for (const command of ["send-one", "send-batch"]) {
    server.startScenario();
    await app.ask(command);
    await finish(command, "events sent from outside a function");
  }

  for (const { fn } of [...server.functions()]) {
    const name = fn.id.slice("capture-".length);
    const { data = {}, eventAfterWait, skip } = INPUTS[name] ?? {};
    if (skip || fn.triggers.some((trigger) => trigger.event === "inngest/function.failed")) continue;
    server.startScenario({ eventAfterWait });
    server.runs.clear();
    server.publish({ name: `capture/${name}`, data, ts: EVENT_TS });
    for (const run of server.runs.values()) await run.ended;
    await settled(server);
    const [run] = server.runs.values();
    await finish(name, `one run of ${fn.id}; ended ${run.status}`);
  }
  await app.stop();
  await server.close();
}

async function recordSignedMode(sdk, save) {
  const server = new RecordingServer({ skipTime: true, signingKey: SIGNING_KEY });
  const url = await server.listen();
  const app = await startApp(sdk, { INNGEST_BASE_URL: url, INNGEST_SIGNING_KEY: SIGNING_KEY, INNGEST_EVENT_KEY: "capture-event-key" });
  const finish = (name, about) =>
    save(name, `${about}; signing key ${SIGNING_KEY}; bodies are the exact signed text`, keepExact(server.exchanges, scrubOptions(url, app.url)));
  const steps = [
    ["signed-call", "a signed call and its signed answer", () => server.request("POST", `${app.url}?fnId=capture-no-step&stepId=step`, callOf("capture-no-step", {}, { who: "wörld" }))],
    ["signed-call-missing", "a call without a signature", () => server.request("POST", `${app.url}?fnId=capture-no-step&stepId=step`, { ...callOf("capture-no-step"), sign: false })],
    ["signed-introspect", "GET with a signature", () => server.request("GET", app.url)],
    ["signed-send", "an event sent with an event key", () => app.ask("send-one")],
  ];
  for (const [name, about, act] of steps) {
    server.startScenario();
    await act();
    await finish(name, about);
  }
  server.startScenario();
  await server.sync(app.url);
  await save("signed-register", `registration with the hashed key as bearer; signing key ${SIGNING_KEY}`, scrub(server.exchanges, scrubOptions(url, app.url)));
  await app.stop();
  await server.close();
}

function callOf(functionId, ctx = {}, data = {}) {
  const event = { name: functionId.replace("-", "/"), data, id: "direct-1", ts: EVENT_TS, user: {} };
  return {
    body: {
      ctx: {
        attempt: 0, disable_immediate_execution: false, env: "", fn_id: "00000000-0000-5000-a000-000000000001", max_attempts: 2, qi_id: "am9iLTE=",
        run_id: "01KDW000000000000000000099", stack: { current: 0, stack: [] }, step_id: "step", use_api: false, ...ctx,
      },
      event, events: [event], steps: {}, use_api: false, version: -1,
    },
  };
}

/** Waits until no exchange is open: what the SDK sends beside the run has been answered. */
async function settled(server) {
  for (let round = 0; round < 100; round += 1) {
    const unended = [...server.runs.values()].some((run) => run.status === "Running");
    if (!unended && server.exchanges.every((exchange) => exchange.response)) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("the recording did not come to rest: a run or an exchange is still open");
}

function scrubOptions(serverUrl, appUrl) {
  return { serverUrl, appUrl, paths: [[resolve(PYTHON, "../.."), "/venv"], [CONFORMANCE, "/app"], [ROOT, "/app"]] };
}

const [name] = process.argv.slice(2);
if (!SDKS[name]) throw new Error(`usage: node record.mjs ${Object.keys(SDKS).join("|")}`);
const target = join(ROOT, "crates/stepwell-protocol/tests/fixtures", name);
await mkdir(target, { recursive: true });
for (const file of await readdir(target)) if (file.endsWith(".json")) await rm(join(target, file));
let count = 0;
let sdk;
const save = async (scenario, about, exchanges) => {
  sdk ??= exchanges.map((exchange) => exchange.response.headers["x-inngest-sdk"] ?? exchange.request.headers["x-inngest-sdk"]).find(Boolean);
  await writeFile(join(target, `${scenario}.json`), `${JSON.stringify({ scenario, about, sdk, exchanges }, null, 2)}\n`);
  count += 1;
};
await recordDevMode(SDKS[name], save);
await recordSignedMode(SDKS[name], save);
console.log(`${count} recordings in ${target}`);
