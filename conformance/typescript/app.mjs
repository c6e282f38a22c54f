// An app on the official SDK together with the Stepwell server that runs it.
//
// The server is the one at STEPWELL_URL, or one that is started here from the binary STEPWELL_BIN. The app
// lives in the test's own process, so that a test sees each execution of its functions.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { newClient, serve } from "./sdk.mjs";

const DEADLINE_MS = 30_000;
/** The deadline once some have passed: a broken server need not cost the full time for each test. */
const LATER_DEADLINE_MS = 3_000;
const PATIENT_WAITS_MAX = 3;
const POLL_MS = 25;
const LOG_LINES_MAX = 200;
const ENDED = new Set(["Completed", "Failed", "Cancelled", "Skipped"]);
/** Kinds of the jobs that end a wait which nothing answered. */
const WAITS = new Set(["pause", "wait-for-event", "wait-for-signal", "invoke"]);
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Makes functions of one theme: each is started by the event `<theme>/<id>`, unless its options say otherwise. */
export const definer = (client, theme, common = {}) => (id, handler, options = {}) =>
  client.createFunction({ id, triggers: [{ event: `${theme}/${id}` }], ...common, ...options }, handler);

/** A text of this execution, so that a server which keeps its state meets it for the first time. */
export const fresh = (text = "key") => `${text}-${process.pid}-${Date.now()}-${(freshTexts += 1)}`;
let freshTexts = 0;

/**
 * Starts an app and, if needed, its server, and syncs the one with the other.
 *
 * @param {string} id the app's id
 * @param {(client: Inngest) => import("inngest").InngestFunction.Any[]} define makes the app's functions
 * @param {object} [options]
 * @param {"app" | "server"} [options.sync] who makes the first move: the app registers itself (default), or the server
 *   finds it at its `--sdk-url`
 * @param {object} [options.client] what else the client gets, e.g. middleware
 * @param {object} [options.server] the server of another app, to share it; that app stops it
 */
export async function startApp(id, define, { sync = "app", server: shared, client: more = {} } = {}) {
  const calls = [];
  let handler = null;
  const listener = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pathname !== "/api/inngest" || !handler) return response.writeHead(503).end();
    const call = { method: request.method, fnId: searchParams.get("fnId"), stepId: searchParams.get("stepId"), headers: request.headers, cut: false };
    // Whether the server gave the call up before it was answered.
    response.once("close", () => (call.cut = !response.writableFinished));
    calls.push(call);
    handler(request, response);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const appUrl = `http://127.0.0.1:${listener.address().port}/api/inngest`;

  const server = await serverFor(appUrl, shared).catch((error) => {
    listener.close();
    throw error;
  });
  const client = newClient({ id, baseUrl: server.url, isDev: true, logger: SILENT, ...more });
  const functions = define(client);
  handler = serve({ client, functions });
  const app = new App({ client, calls, listener, server, appUrl });
  if (sync === "app") await app.register();
  return app;
}

class App {
  #deadlinesPassed = 0;

  constructor(parts) {
    Object.assign(this, parts);
  }

  /** What a deployment does: has the app send its functions to the server. */
  async register() {
    const response = await fetch(this.appUrl, { method: "PUT" });
    const body = await response.json();
    if (!response.ok) this.#fail(`the app could not register: ${response.status} ${JSON.stringify(body)}`);
    return body;
  }

  /** Sends one event and returns its internal id. */
  async send(name, data = {}, rest = {}) {
    const { ids } = await this.client.send({ name, data, ...rest });
    return ids[0];
  }

  /** Sends one event and waits for the end of the one run that it starts. */
  async run(name, data = {}, rest = {}) {
    const [run] = await this.ended(await this.send(name, data, rest));
    return run;
  }

  /** The run that the event has started, as soon as there is one. */
  async started(eventId) {
    const [run] = await this.until(`a run of event ${eventId}`, () => this.get(`/v1/events/${eventId}/runs`), (runs) => runs?.length === 1);
    return run.run_id;
  }

  /** Waits until the run has `count` waits registered: for events, signals or the ends of runs that it invoked. */
  async parked(runId, count = 1) {
    return this.until(
      `${count} wait(s) of run ${runId}`,
      () => this.get(`/v1/runs/${runId}/jobs`),
      (jobs) => Array.isArray(jobs) && jobs.filter((job) => WAITS.has(job.kind)).length >= count,
    );
  }

  /** What was decided about the event for one function of this app; nothing, if that function does not listen to its name. */
  async verdict(eventId, functionId) {
    const verdicts = await this.get(`/v1/events/${eventId}/verdicts`);
    return verdicts.find((verdict) => verdict.function === `${this.client.id}-${functionId}`);
  }

  /** Waits until the event has started exactly `count` runs and all of them ended; returns them with their outputs. */
  async ended(eventId, count = 1) {
    const rows = await this.until(
      `${count} ended run(s) of event ${eventId}`,
      () => this.get(`/v1/events/${eventId}/runs`),
      (data) => data?.length === count && data.every((run) => ENDED.has(run.status)),
    );
    return Promise.all(rows.map((run) => this.get(`/v1/runs/${run.run_id}`)));
  }

  /** The `data` of a REST answer. */
  async get(path) {
    const response = await fetch(this.server.url + path);
    const text = await response.text();
    if (!response.ok) return { status: response.status, body: text };
    return JSON.parse(text).data;
  }

  /** Any request to the server: its status and, read as JSON where it is, its body. */
  async call(method, path, body) {
    const request = body === undefined ? { method } : { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(this.server.url + path, request);
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.status, body: text };
    }
  }

  /** Asks `probe` again and again until `holds` of its answer; returns that answer. */
  async until(what, probe, holds = Boolean) {
    const patienceMs = this.#deadlinesPassed < PATIENT_WAITS_MAX ? DEADLINE_MS : LATER_DEADLINE_MS;
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const seen = await probe();
      if (holds(seen)) return seen;
      if (Date.now() > deadline) {
        this.#deadlinesPassed += 1;
        this.#fail(`waited ${patienceMs / 1000} s for ${what}; last seen: ${JSON.stringify(seen)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The step ids of the calls that one function received, in order. */
  callsOf(functionId) {
    return this.calls.filter((call) => call.method === "POST" && call.fnId === `${this.client.id}-${functionId}`).map((call) => call.stepId);
  }

  async stop() {
    this.listener.closeAllConnections();
    this.listener.close();
    await this.server.stop();
  }

  #fail(message) {
    throw new Error(`${message}\n${this.server.log()}`);
  }
}

async function serverFor(appUrl, shared) {
  if (shared) return { ...shared, async stop() {} };
  return process.env.STEPWELL_URL ? alreadyRunning(process.env.STEPWELL_URL) : startServer(appUrl);
}

function alreadyRunning(url) {
  return { url: url.replace(/\/$/, ""), log: () => `(the log is with the server at ${url})`, async stop() {} };
}

async function startServer(appUrl) {
  const binary = process.env.STEPWELL_BIN;
  if (!binary) {
    throw new Error("no server to test: set STEPWELL_URL to a running server, or STEPWELL_BIN to the stepwell binary (cargo build -p stepwell-cli)");
  }
  const folder = await mkdtemp(join(tmpdir(), "stepwell-conformance-"));
  const readyFile = join(folder, "ready");
  const options = ["--host", "127.0.0.1", "--port", "0", "--retry-interval", "1", "--sdk-url", appUrl, "--ready-file", readyFile];
  const child = spawn(binary, ["dev", "--no-discovery", ...options], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      lines.push(...text.split("\n").filter(Boolean));
      lines.splice(0, lines.length - LOG_LINES_MAX);
    });
  }
  const log = () => `--- the server's last lines ---\n${lines.join("\n")}`;
  let end = null;
  child.once("error", (error) => (end = `could not be started: ${error.message}`));
  child.once("exit", (code, signal) => (end = `ended (${signal ?? `exit code ${code}`})`));

  const deadline = Date.now() + DEADLINE_MS;
  let url = "";
  while (!url) {
    if (end) throw new Error(`${binary} dev ${end} before it was ready\n${log()}`);
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${binary} dev was not ready within ${DEADLINE_MS / 1000} s: ${readyFile} is missing or empty\n${log()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    url = (await readFile(readyFile, "utf8").catch(() => "")).trim();
  }
  return {
    url: url.replace(/\/$/, ""),
    log,
    async stop() {
      if (!end) {
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        const patience = setTimeout(() => child.kill("SIGKILL"), 10_000);
        await exited;
        clearTimeout(patience);
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
