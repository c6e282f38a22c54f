// Durable endpoints on the official SDK together with a Stepwell server that can be stopped and started again.
//
// The server is started from the binary STEPWELL_BIN on a file of its own, so that a restart finds what was before. The
// endpoints live in the test's own process, so that a test sees each execution of their handlers.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Inngest } from "inngest";
import { endpointAdapter, serveEndpoint } from "inngest/node";

const DEADLINE_MS = 30_000;
const POLL_MS = 25;
const LOG_LINES_MAX = 200;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** A server on a file that survives it. */
export class DurableServer {
  url = "";
  #folder = "";
  #child = null;
  #lines = [];
  #options;
  #command;

  constructor(options = [], command = ["dev", "--no-discovery"]) {
    this.#options = options;
    this.#command = command;
  }

  /** Starts it, at the address of before if there was one. */
  async start() {
    const binary = process.env.STEPWELL_BIN;
    if (!binary) throw new Error("no server to test: set STEPWELL_BIN to the stepwell binary (cargo build -p stepwell-cli)");
    this.#folder ||= await mkdtemp(join(tmpdir(), "stepwell-endpoints-"));
    const ready = join(this.#folder, "ready");
    await rm(ready, { force: true });
    const port = this.url ? new URL(this.url).port : "0";
    const options = ["--host", "127.0.0.1", "--port", port, "--db", join(this.#folder, "state.db"), "--retry-interval", "1", "--ready-file", ready];
    this.#child = spawn(binary, [...this.#command, ...options, ...this.#options], { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.#lines.push(...text.split("\n").filter(Boolean));
        this.#lines.splice(0, this.#lines.length - LOG_LINES_MAX);
      });
    }
    this.url = (await this.until("the server to be ready", () => readFile(ready, "utf8").catch(() => ""))).trim();
    return this;
  }

  /** Kills it, as a crash would. */
  async kill() {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async stop() {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** The `data` of a REST answer. */
  async get(path) {
    const response = await fetch(this.url + path);
    return response.ok ? (await response.json()).data : { status: response.status, body: await response.text() };
  }

  /** Asks `probe` again and again until `holds` of its answer; returns that answer. */
  async until(what, probe, holds = Boolean) {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const seen = await probe();
      if (holds(seen)) return seen;
      if (Date.now() > deadline) {
        throw new Error(`waited ${DEADLINE_MS / 1000} s for ${what}; last seen: ${JSON.stringify(seen)}\n${this.#lines.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/**
 * Serves endpoints by their paths.
 *
 * @param {DurableServer} server
 * @param {(client: Inngest) => Record<string, (request: Request) => Promise<Response>>} define makes the handlers
 * @param {object} [options] options of the client
 */
export async function serveEndpoints(server, define, options = {}) {
  const client = new Inngest({ id: "ts-endpoints", baseUrl: server.url, isDev: true, logger: SILENT, endpointAdapter, ...options });
  const endpoints = define(client);
  const requests = [];
  const listener = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    requests.push({ method: request.method, path: pathname, reEntry: "x-run-id" in request.headers });
    const endpoint = endpoints[pathname];
    if (!endpoint) return response.writeHead(404).end();
    return serveEndpoint(endpoint)(request, response);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    client,
    url: `http://127.0.0.1:${listener.address().port}`,
    /** The requests that the server made to move runs on. */
    reEntries: (path) => requests.filter((request) => request.path === path && request.reEntry).length,
    stop() {
      listener.closeAllConnections();
      listener.close();
    },
  };
}
