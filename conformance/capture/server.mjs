// A small in-memory server of the SDK protocol that writes down every exchange.
//
// It exists to record what the official SDKs really send, and to check the conformance suites
// themselves. It plays fair weather only: nothing is durable, limits are minimal and most bad input
// is not handled. Expressions are limited to `event.a.b` and `event.a.b == literal`.

import { createHash, createHmac } from "node:crypto";
import { createServer } from "node:http";

const ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000";
const ACCOUNT_ID = "00000000-0000-4000-a000-000000000000";
const TERMINAL = new Set(["Completed", "Failed", "Cancelled"]);
const CALLS_PER_RUN_MAX = 200;

export class RecordingServer {
  /**
   * @param {object} options
   * @param {boolean} [options.skipTime] sleeps, wait timeouts and back-off end at once
   * @param {string} [options.signingKey] sign calls, as a hosted server does
   * @param {number} [options.retryIntervalMs] pause before a retry
   */
  constructor({ skipTime = false, signingKey, retryIntervalMs = 1000 } = {}) {
    this.skipTime = skipTime;
    this.signingKey = signingKey;
    this.retryIntervalMs = retryIntervalMs;
    this.apps = new Map();
    this.events = new Map();
    this.runs = new Map();
    this.seeds = new Map();
    this.waits = new Set();
    this.exchanges = [];
    this.idCounter = 0;
    this.eventAfterWait = null;
  }

  async listen(port = 0) {
    this.http = createServer((request, response) => this.#answer(request, response));
    await new Promise((resolve) => this.http.listen(port, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.http.address().port}`;
    return this.url;
  }

  async close() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  /** Forgets what was recorded and starts ids again, so that recordings do not depend on each other. */
  startScenario({ eventAfterWait = null } = {}) {
    this.exchanges = [];
    this.seeds.clear();
    this.idCounter = 0;
    this.eventAfterWait = eventAfterWait;
  }

  ulid() {
    this.idCounter += 1;
    return `01KDW${String(this.idCounter).padStart(21, "0")}`;
  }

  // ---- towards the app ----

  sync(appUrl) {
    return this.request("PUT", appUrl, {
      headers: { "x-inngest-server-kind": this.signingKey ? "cloud" : "dev" },
      body: { url: appUrl },
    });
  }

  async request(method, url, { headers = {}, body, sign = true } = {}) {
    const bodyText = body === undefined ? "" : canonicalJson(body);
    const sent = { "content-type": "application/json", "user-agent": "Inngest", ...headers };
    if (this.signingKey && sign) {
      sent["x-inngest-signature"] = signature(this.signingKey, bodyText, Math.floor(Date.now() / 1000));
    }
    const exchange = { from: "server", request: { method, url, headers: sent, bodyText }, response: null };
    this.exchanges.push(exchange);
    const response = await fetch(url, { method, headers: sent, body: bodyText || undefined });
    exchange.response = {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      bodyText: await response.text(),
    };
    return exchange.response;
  }

  // ---- from the app and from test runners ----

  async #answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const bodyText = Buffer.concat(chunks).toString("utf8");
    const exchange = {
      from: "sdk",
      request: { method: request.method, url: this.url + request.url, headers: { ...request.headers }, bodyText },
      response: null,
    };
    this.exchanges.push(exchange);
    const [status, body] = this.#route(request, bodyText);
    const headers = { "content-type": "application/json", "x-inngest-server-kind": this.signingKey ? "cloud" : "dev" };
    const answerText = body === undefined ? "" : JSON.stringify(body);
    exchange.response = { status, headers, bodyText: answerText };
    response.writeHead(status, headers).end(answerText);
  }

  #route(request, bodyText) {
    const { pathname } = new URL(request.url, this.url);
    const route = `${request.method} ${pathname}`;
    let match;
    if (pathname === "/health") return [200, { status: 200, message: "OK" }];
    if (pathname === "/dev") return [200, { version: "recorder", functions: [], handlers: [] }];
    if (route === "POST /fn/register") return this.#register(JSON.parse(bodyText));
    if (/^POST \/e\/.+$/.test(route)) return this.#receive(bodyText, request.headers["x-inngest-event-id-seed"]);
    if ((match = /^POST \/v1\/checkpoint\/([^/]+)\/async$/.exec(route))) return this.#checkpoint(match[1], JSON.parse(bodyText));
    if ((match = /^GET \/v1\/events\/([^/]+)\/runs$/.exec(route))) {
      const runs = [...this.runs.values()].filter((run) => run.eventIds.includes(match[1]));
      return [200, envelope(runs.map(runRow))];
    }
    if ((match = /^GET \/v1\/runs\/([^/]+)$/.exec(route))) {
      const run = this.runs.get(match[1]);
      return run ? [200, envelope(runRow(run))] : [404, { error: "run not found", status: 404 }];
    }
    if ((match = /^GET \/v0\/runs\/([^/]+)\/(batch|actions)$/.exec(route))) {
      const run = this.runs.get(match[1]);
      return [200, match[2] === "batch" ? run.events : run.steps];
    }
    return [404, { error: `no route for ${route}`, status: 404 }];
  }

  #register(body) {
    const previous = this.apps.get(body.appName);
    this.apps.set(body.appName, { url: body.url, functions: body.functions });
    return [
      200,
      { ok: true, modified: !previous, sync_id: "5e6e4b1c-9a0f-4a62-9d0c-5f7b5a1c0001", app_id: "5e6e4b1c-9a0f-4a62-9d0c-5f7b5a1c0002" },
    ];
  }

  #receive(bodyText, seed) {
    const parsed = parseJson(bodyText);
    const ids = [];
    if (typeof parsed !== "object") return [400, { ids, status: 400, error: "Request body must contain an event object or an array of event objects" }];
    if (this.seeds.has(seed)) return [200, { ids: this.seeds.get(seed), status: 200 }];
    for (const event of Array.isArray(parsed) ? parsed : [parsed]) {
      if (!event.name) return [400, { ids, status: 400, error: "event name is empty" }];
      if (event.name.startsWith("inngest/")) return [400, { ids, status: 400, error: `event name is reserved for internal use: ${event.name}` }];
      ids.push(this.publish(event));
    }
    if (seed) this.seeds.set(seed, ids);
    return [200, { ids, status: 200 }];
  }

  #checkpoint(runId, body) {
    const run = this.runs.get(runId);
    if (!run || TERMINAL.has(run.status)) return [400, { error: "run not found in state store", status: 400 }];
    for (const op of body.steps) if (op.op === "StepRun") this.#save(run, op.id, { data: op.data ?? null });
    return [200, undefined];
  }

  // ---- events to runs ----

  /** Accepts an event; returns its internal id. */
  publish(event) {
    const internalId = this.ulid();
    const stored = { name: event.name, data: event.data ?? {}, user: event.user ?? {}, id: event.id ?? internalId, ts: event.ts || Date.now() };
    if (event.v) stored.v = event.v;
    this.events.set(internalId, stored);
    for (const wait of [...this.waits]) if (wait.event === stored.name) wait.resume(stored);
    for (const { fn } of this.functions()) {
      const trigger = fn.triggers?.find((candidate) => candidate.event === stored.name && holds(candidate.expression, stored));
      if (trigger) this.startRun(fn, stored, internalId);
    }
    return internalId;
  }

  *functions() {
    for (const app of this.apps.values()) for (const fn of app.functions) yield { app, fn };
  }

  startRun(fn, event, internalId) {
    const key = `${fn.id}\n${event.id}`;
    if ([...this.runs.values()].some((run) => run.key === key)) return null;
    const run = {
      id: this.ulid(), fn, key, events: [event], eventIds: [internalId], startedAt: new Date().toISOString(),
      status: "Running", output: undefined, steps: {}, stack: [], version: -1, forcePlan: false, pending: new Set(), planned: new Set(), calls: 0,
    };
    run.ended = new Promise((resolve) => (run.end = resolve));
    this.runs.set(run.id, run);
    this.#throttled(fn, event).then(() => this.#drive(run, "step", 0));
    return run;
  }

  async #throttled(fn, event) {
    if (!fn.throttle || this.skipTime) return;
    const state = (fn.throttleState ??= new Map());
    const key = fn.throttle.key ? String(evaluate(fn.throttle.key, event)) : "";
    const emissionMs = durationMs(fn.throttle.period) / fn.throttle.limit;
    const arrival = Math.max(Date.now(), state.get(key) ?? 0);
    state.set(key, arrival + emissionMs);
    await pause(arrival - (fn.throttle.burst ?? 0) * emissionMs - Date.now());
  }

  // ---- one run ----

  /** Calls the app for one queue item and follows what the answer asks for. */
  async #drive(run, stepId, attempt) {
    if (TERMINAL.has(run.status)) return;
    if ((run.calls += 1) > CALLS_PER_RUN_MAX) return this.#finish(run, "Failed", { name: "TooManyCalls", message: `${CALLS_PER_RUN_MAX} calls` });
    const release = await this.#slot(run);
    let response;
    try {
      response = await this.request("POST", callUrl(run.fn, stepId), this.#callRequest(run, stepId, attempt));
    } catch (error) {
      response = { status: 0, headers: {}, bodyText: JSON.stringify({ name: "Error", message: `Unable to reach SDK URL: ${error.message}` }) };
    } finally {
      release();
    }
    if (run.version === -1) run.version = Number(response.headers["x-inngest-req-version"] ?? 1);
    const attemptsMax = attemptsOf(run.fn);
    const canRetry = response.headers["x-inngest-no-retry"] !== "true" && attempt + 1 < attemptsMax;
    const retry = async () => {
      await this.#backOff(response.headers["retry-after"]);
      await this.#drive(run, stepId, attempt + 1);
    };
    if (response.status === 206) return this.#apply(run, response, { canRetry, retry });
    const output = parseJson(response.bodyText);
    if (response.status >= 200 && response.status < 300) return this.#finish(run, "Completed", output);
    return canRetry ? retry() : this.#finish(run, "Failed", output);
  }

  #callRequest(run, stepId, attempt) {
    const jobId = `job-${run.calls}`;
    const requestId = this.ulid();
    const body = {
      ctx: {
        attempt, disable_immediate_execution: run.forcePlan, env: "", fn_id: functionUuid(run.fn.id), generation_id: 1, job_id: jobId,
        max_attempts: attemptsOf(run.fn), qi_id: Buffer.from(`${jobId}::default`).toString("base64"), request_id: requestId, run_id: run.id,
        stack: { current: run.stack.length, stack: run.stack }, step_id: stepId, use_api: false,
      },
      defers: {}, event: run.events[0], events: run.events, steps: run.steps, use_api: false, version: run.version,
    };
    const headers = {
      "account-id": ACCOUNT_ID, "x-run-id": run.id, "x-request-id": requestId, "x-inngest-generation-id": "1", "x-inngest-job-id": jobId,
      "x-inngest-req-version": String(run.version), "x-inngest-step-id": stepId,
    };
    return { headers, body };
  }

  async #apply(run, response, { canRetry, retry }) {
    const parsed = parseJson(response.bodyText);
    const ops = (Array.isArray(parsed) ? parsed : [parsed]).sort((a, b) => Number(b.op === "WaitForEvent") - Number(a.op === "WaitForEvent"));
    if (ops.length > 1) run.forcePlan = true;
    const served = new Set(["StepPlanned", "Sleep", "WaitForEvent", "InvokeFunction"]);
    if (ops.length > 1 && run.version >= 2 && ops.some((op) => served.has(op.op))) {
      // A call that began before a step ended reports that step again: it is not pending.
      run.pending = new Set(ops.map((op) => op.id).filter((id) => !(id in run.steps)));
    }
    if (ops.length === 0) return;
    for (const op of ops.filter((candidate) => candidate.op === "StepRun")) this.#save(run, op.id, { data: op.data ?? null });
    const complete = ops.find((op) => op.op === "RunComplete");
    if (complete) return this.#finish(run, "Completed", complete.data ?? null);
    const following = [];
    for (const op of ops) {
      const race = op.opts?.parallelMode?.toLowerCase() === "race";
      switch (op.op) {
        case "StepRun":
          following.push(this.#discover(run, race));
          break;
        case "StepError":
          if (canRetry) following.push(retry());
          else this.#resolve(run, op, { error: op.error }, race);
          break;
        case "StepFailed":
          this.#resolve(run, op, { error: op.error }, race);
          break;
        case "StepPlanned":
          if (!run.planned.has(op.id)) following.push(this.#drive(run, op.id, 0));
          run.planned.add(op.id);
          break;
        case "Sleep":
          this.#after(sleepMs(op)).then(() => this.#resolve(run, op, null, race));
          break;
        case "WaitForEvent":
          this.#wait(run, op, race);
          break;
        case "InvokeFunction":
          this.#invoke(run, op, race);
          break;
        case "DiscoveryRequest":
        case "None":
          following.push(this.#drive(run, "step", 0));
          break;
        default:
          throw new Error(`the recorder does not know the op ${op.op}`);
      }
    }
    await Promise.all(following);
  }

  #save(run, id, value) {
    if (id in run.steps) return;
    run.steps[id] = value;
    run.stack = [...run.stack, id];
    run.pending.delete(id);
  }

  #resolve(run, op, value, race) {
    if (TERMINAL.has(run.status) || op.id in run.steps) return;
    this.#save(run, op.id, value);
    this.#discover(run, race);
  }

  async #discover(run, race) {
    if (run.pending.size > 0 && !race) return;
    if (run.version >= 2) run.forcePlan = false;
    await this.#drive(run, "step", 0);
  }

  #wait(run, op, race) {
    const wait = { event: op.opts?.event ?? op.name };
    wait.resume = (event) => {
      if (this.waits.delete(wait)) this.#resolve(run, op, event, race);
    };
    this.waits.add(wait);
    if (this.eventAfterWait?.name === wait.event) {
      setImmediate(() => this.publish({ ts: run.events[0].ts, ...this.eventAfterWait }));
    } else {
      this.#after(durationMs(op.opts?.timeout ?? "")).then(() => wait.resume(null));
    }
  }

  #invoke(run, op, race) {
    const found = [...this.functions()].find(({ fn }) => fn.id === op.opts.function_id);
    if (!found) return this.#resolve(run, op, { error: { name: "Error", message: `function not found: ${op.opts.function_id}` } }, race);
    const payload = op.opts.payload ?? {};
    const event = { name: "inngest/function.invoked", data: payload.data ?? {}, user: payload.user ?? {}, id: this.ulid(), ts: run.events[0].ts };
    const called = this.startRun(found.fn, event, event.id);
    called.ended.then(() => {
      const value = called.status === "Completed" ? { data: called.output } : { error: errorOf(called.output) };
      this.#resolve(run, op, value, race);
    });
  }

  #finish(run, status, output) {
    if (TERMINAL.has(run.status)) return;
    Object.assign(run, { status, output, endedAt: new Date().toISOString() });
    const data = { function_id: run.fn.id, run_id: run.id, event: run.events[0], events: run.events };
    if (status === "Failed") this.publish({ name: "inngest/function.failed", id: run.id, ts: run.events[0].ts, data: { ...data, error: errorOf(output) } });
    run.end(run);
  }

  /** Takes a place under the function's concurrency limits; returns what gives it back. */
  async #slot(run) {
    const limits = [run.fn.concurrency ?? []].flat().map((limit) => (typeof limit === "number" ? { limit } : limit));
    const held = [];
    for (const { limit, key } of limits) {
      const places = (run.fn.places ??= new Map());
      const name = `${key ?? ""}\n${key ? evaluate(key, run.events[0]) : ""}`;
      const place = places.get(name) ?? { used: 0, queue: [] };
      places.set(name, place);
      if (place.used >= limit) await new Promise((resolve) => place.queue.push(resolve));
      else place.used += 1;
      held.push(place);
    }
    return () => {
      for (const place of held) {
        const next = place.queue.shift();
        if (next) next();
        else place.used -= 1;
      }
    };
  }

  #backOff(retryAfter) {
    if (!retryAfter) return this.#after(this.retryIntervalMs);
    const seconds = /^\d+$/.test(retryAfter) ? Number(retryAfter) : (new Date(retryAfter) - Date.now()) / 1000;
    return this.#after(Math.max(1, seconds) * 1000);
  }

  #after(delayMs) {
    return pause(this.skipTime ? 0 : delayMs);
  }
}

const pause = (delayMs) => new Promise((resolve) => setTimeout(resolve, Math.max(0, delayMs)));
const attemptsOf = (fn) => (fn.steps?.step?.retries?.attempts ?? fn.retries ?? 4) + 1;
const envelope = (data) => ({ data, metadata: { fetched_at: new Date().toISOString(), cached_until: null } });

function callUrl(fn, stepId) {
  const url = new URL(fn.steps.step.runtime.url);
  url.searchParams.set("fnId", fn.id);
  url.searchParams.set("stepId", stepId);
  return url.toString();
}

function runRow(run) {
  const row = {
    run_id: run.id, run_started_at: run.startedAt, function_id: functionUuid(run.fn.id), function_version: 1, environment_id: ENVIRONMENT_ID,
    event_id: run.eventIds[0], status: run.status,
  };
  return TERMINAL.has(run.status) ? { ...row, ended_at: run.endedAt, output: run.output } : row;
}

function functionUuid(slug) {
  const hex = createHash("sha1").update(slug).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function evaluate(expression, event) {
  return expression.trim().split(".").slice(1).reduce((value, key) => value?.[key], event);
}

function holds(expression, event) {
  if (!expression) return true;
  const [path, literal] = expression.split("==").map((part) => part.trim());
  return evaluate(path, event) === JSON.parse(literal.replaceAll("'", '"'));
}

function errorOf(output) {
  const { name = "Error", message = String(output), stack } = output?.error ?? output ?? {};
  return { error: "invalid status code: 500", name, message, stack };
}

function durationMs(text) {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|[smhdw])/g)) total += Number(amount) * units[unit];
  return total;
}

function sleepMs(op) {
  const text = op.opts?.duration || op.name;
  return text.length >= 10 ? new Date(text) - Date.now() : durationMs(text);
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** RFC 8785: sorted keys, no white space; numbers and strings as JSON.stringify writes them. */
export function canonicalJson(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.keys(value).filter((key) => value[key] !== undefined).sort();
    return `{${members.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

export function signature(signingKey, bodyText, seconds) {
  const key = signingKey.replace(/^signkey-\w+-/, "");
  return `t=${seconds}&s=${createHmac("sha256", key).update(bodyText).update(String(seconds)).digest("hex")}`;
}
