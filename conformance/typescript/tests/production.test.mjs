// An app in production mode, and a server with keys: `stepwell start`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { DurableServer } from "../endpoint-app.mjs";
import { newClient, serve } from "../sdk.mjs";

const OLD_KEY = "signkey-prod-00112233445566778899aabbccddeeff";
const NEW_KEY = "signkey-prod-ffeeddccbbaa99887766554433221100";
const EVENT_KEY = "6a6f6e";
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const skip = Boolean(process.env.STEPWELL_URL) && "needs its own server";

/** An app in production mode whose server is still to come. */
async function startCloudApp(id, signingKey, extra = {}) {
  const calls = [];
  let handler = null;
  const listener = createServer((request, response) => {
    calls.push({ method: request.method, headers: request.headers });
    handler ? handler(request, response) : response.writeHead(503).end();
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const url = `http://127.0.0.1:${listener.address().port}/api/inngest`;
  return {
    url,
    calls,
    client: null,
    /** Serves its function to this server. */
    meet(serverUrl) {
      this.client = newClient({ id, baseUrl: serverUrl, isDev: false, signingKey, eventKey: EVENT_KEY, logger: SILENT, ...extra });
      const double = this.client.createFunction({ id: "double", triggers: [{ event: `${id}/double` }], retries: 0 }, ({ event, step }) =>
        step.run("double", () => event.data.n * 2),
      );
      handler = serve({ client: this.client, functions: [double] });
    },
    stop() {
      listener.closeAllConnections();
      listener.close();
    },
  };
}

const start = (key, more = []) => new DurableServer(["--signing-key", key, "--event-key", EVENT_KEY, "--poll-interval", "1", ...more], ["start"]);

async function api(server, path, key) {
  const response = await fetch(server.url + path, { headers: key ? { authorization: `Bearer ${key}` } : {} });
  return response.ok ? (await response.json()).data : response.status;
}

/** Sends an event to the app's function and waits for the run's end. */
async function double(server, app, id, key, n) {
  const { ids } = await app.client.send({ name: `${id}/double`, data: { n } });
  const [run] = await server.until("the run to end", () => api(server, `/v1/events/${ids[0]}/runs`, key), (runs) => runs?.length === 1 && runs[0].ended_at);
  return run;
}

/** Waits until the server knows the app's function. */
async function registered(server, name, key) {
  const ask = async () => (await fetch(`${server.url}/v1/apps/${name}/functions`, { headers: { authorization: `Bearer ${key}` } })).json();
  await server.until(`${name} to register`, ask, (functions) => functions?.length === 1);
}

test("a server with keys registers an app by its answer, and both verify each other", { skip }, async (t) => {
  const app = await startCloudApp("ts-cloud", OLD_KEY);
  t.after(() => app.stop());
  const server = start(OLD_KEY, ["-u", app.url]);
  t.after(() => server.stop());
  await server.start();
  app.meet(server.url);

  await registered(server, "ts-cloud", OLD_KEY);
  const ping = app.calls.find(({ method }) => method === "PUT");
  assert.equal(ping.headers["x-inngest-server-kind"], "cloud");
  assert.equal(ping.headers["x-inngest-sync-kind"], "in_band");
  const run = await double(server, app, "ts-cloud", OLD_KEY, 21);
  assert.deepEqual([run.status, run.output], ["Completed", 42]);
  assert.equal(await api(server, "/v1/events"), 401);

  // Whoever has not the key cannot call the app.
  const forged = await fetch(`${app.url}?fnId=ts-cloud-double&stepId=step`, { method: "POST", body: "{}" });
  assert.equal(forged.status, 401);
});

test("an app may register by a request of its own, with its key", { skip }, async (t) => {
  const app = await startCloudApp("ts-own", OLD_KEY);
  t.after(() => app.stop());
  const server = start(OLD_KEY);
  t.after(() => server.stop());
  await server.start();
  app.meet(server.url);

  const answer = await fetch(app.url, { method: "PUT" });
  assert.equal(answer.status, 200, await answer.clone().text());
  const run = await double(server, app, "ts-own", OLD_KEY, 4);
  assert.equal(run.output, 8);

  const other = await startCloudApp("ts-other", NEW_KEY);
  t.after(() => other.stop());
  other.meet(server.url);
  const refused = await fetch(other.url, { method: "PUT" });
  assert.notEqual(refused.status, 200, "it has another key");
});

test("keys are changed while apps have the one or the other", { skip }, async (t) => {
  const late = await startCloudApp("ts-late", OLD_KEY);
  t.after(() => late.stop());
  const early = await startCloudApp("ts-early", NEW_KEY, { signingKeyFallback: OLD_KEY });
  t.after(() => early.stop());
  const server = start(NEW_KEY, ["--signing-key-fallback", OLD_KEY, "-u", late.url, "-u", early.url]);
  t.after(() => server.stop());
  await server.start();
  late.meet(server.url);
  early.meet(server.url);

  for (const [app, id] of [[late, "ts-late"], [early, "ts-early"]]) {
    await registered(server, id, OLD_KEY);
    assert.equal((await double(server, app, id, NEW_KEY, 5)).output, 10);
  }
});
