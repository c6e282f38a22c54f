// A server that a test can kill and start again, and workers that connect to it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const DEADLINE_MS = 30_000;
const POLL_MS = 25;
const LOG_LINES_MAX = 200;
const ENDED = new Set(["Completed", "Failed", "Cancelled", "Skipped"]);
const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));

/** Ports that were free a moment ago, for servers that come back at the same place. */
async function freePorts(count) {
  const listeners = await Promise.all(
    Array.from({ length: count }, async () => {
      const listener = createServer().listen(0, "127.0.0.1");
      await once(listener, "listening");
      return listener;
    }),
  );
  const ports = listeners.map((listener) => listener.address().port);
  await Promise.all(listeners.map((listener) => new Promise((closed) => listener.close(closed))));
  return ports;
}

/** A server that keeps its state, at one address for all its lives. */
export class Place {
  #processes = new Set();
  #lines = [];
  #server = null;

  static async start({ signingKey, options = [] } = {}) {
    const place = new Place();
    [place.port, place.gatewayPort] = await freePorts(2);
    place.folder = await mkdtemp(join(tmpdir(), "stepwell-connect-"));
    place.url = `http://127.0.0.1:${place.port}`;
    place.signingKey = signingKey;
    place.options = options;
    await place.up();
    return place;
  }

  /** Starts the server. */
  async up() {
    const binary = process.env.STEPWELL_BIN;
    if (!binary) throw new Error("no server to test: set STEPWELL_BIN to the stepwell binary (cargo build -p stepwell-cli)");
    const ready = join(this.folder, "ready");
    await rm(ready, { force: true });
    const options = ["--host", "127.0.0.1", "--port", this.port, "--connect-gateway-port", this.gatewayPort];
    options.push("--connect-lease", 6, "--retry-interval", 1, "--grace", 1);
    options.push("--db", join(this.folder, "db"), "--ready-file", ready, ...this.options);
    if (this.signingKey) options.push("--signing-key", this.signingKey);
    this.#server = this.#spawn("server", binary, ["dev", ...options.map(String)]);
    await this.until("the server to be ready", () => readFile(ready, "utf8").catch(() => ""));
  }

  /** Ends the server with a signal. */
  async down(signal) {
    await end(this.#server, signal);
  }

  /** Starts a worker and waits until it is connected. */
  async worker(instanceId, options = {}) {
    const worker = await this.startWorker(instanceId, options);
    await worker.heard("connected");
    return worker;
  }

  /** Starts a worker. */
  async startWorker(instanceId, { apps = ["ts-connect"], signingKey = this.signingKey, ...rest } = {}) {
    const about = { url: this.url, apps, instanceId, signingKey, ...rest };
    const process = this.#spawn(instanceId, globalThis.process.execPath, [WORKER, JSON.stringify(about)]);
    return new Worker(this, process);
  }

  /** Waits until so many workers are connected and take calls. */
  async ready(count) {
    await this.until(
      `${count} ready worker(s)`,
      async () => (await this.ask("GET", "/v0/connect/envs/dev/conns").catch(() => ({}))).data,
      (rows) => rows?.filter((row) => row.status === 1).length === count,
    );
  }

  /** Sends one event and returns its internal id. */
  async send(name, data = {}) {
    const { ids } = await this.ask("POST", "/e/test", { name, data });
    return ids[0];
  }

  /** The only run of an event, once it has ended. */
  async ended(eventId) {
    const [run] = await this.until(
      `the run of event ${eventId} to end`,
      async () => (await this.ask("GET", `/v1/events/${eventId}/runs`).catch(() => ({}))).data,
      (rows) => rows?.length === 1 && ENDED.has(rows[0].status),
    );
    return run;
  }

  async run(name, data) {
    return this.ended(await this.send(name, data));
  }

  async ask(method, path, body) {
    const headers = this.signingKey ? { authorization: `Bearer ${this.signingKey}` } : {};
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    return response.json();
  }

  async until(what, probe, holds = Boolean) {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const seen = await probe();
      if (holds(seen)) return seen;
      if (Date.now() > deadline) throw new Error(`waited ${DEADLINE_MS / 1000} s for ${what}; last seen: ${JSON.stringify(seen)}\n${this.#lines.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Ends everything. */
  async stop() {
    await Promise.all([...this.#processes].map((process) => end(process, "SIGKILL")));
    await rm(this.folder, { recursive: true, force: true });
  }

  #spawn(name, command, options) {
    // Older versions of Node have WebSockets only when asked.
    const env = { ...process.env, ...(parseInt(process.versions.node, 10) < 22 && { NODE_OPTIONS: "--experimental-websocket" }) };
    const child = spawn(command, options, { cwd: this.folder, env, stdio: ["pipe", "pipe", "pipe"] });
    this.#processes.add(child);
    child.stdin.on("error", () => {});
    const note = (line) => {
      this.#lines.push(`${name}: ${line}`);
      this.#lines.splice(0, this.#lines.length - LOG_LINES_MAX);
    };
    child.lines = createInterface({ input: child.stdout }).on("line", note);
    createInterface({ input: child.stderr }).on("line", note);
    return child;
  }
}

/** A worker's process. */
class Worker {
  #place;
  #process;
  #said = [];

  constructor(place, process) {
    this.#place = place;
    this.#process = process;
    process.lines.on("line", (line) => line.startsWith("{") && this.#said.push(JSON.parse(line)));
  }

  /** Everything of this kind that the worker has said, once it has said `count` of it. */
  async heard(kind, count = 1) {
    const of = () => this.#said.filter((line) => kind in line);
    return this.#place.until(`the worker to say "${kind}" ${count} times`, of, (lines) => lines.length >= count);
  }

  /** The keys of executions that it has entered, so far. */
  get entered() {
    return this.#said.filter((line) => "entered" in line).map((line) => line.entered);
  }

  /** Lets an execution go on that the worker holds. */
  release(key) {
    this.#process.stdin.write(`${key}\n`);
  }

  signal(signal) {
    this.#process.kill(signal);
  }

  async end(signal) {
    await end(this.#process, signal);
  }
}

async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}
