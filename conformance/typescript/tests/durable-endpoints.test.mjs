import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { NonRetriableError, step } from "inngest";

import { DurableServer, serveEndpoints } from "../endpoint-app.mjs";

/** How often each step's body ran. */
const executions = new Map();
const counted = (name, result) => async () => {
  executions.set(name, (executions.get(name) ?? 0) + 1);
  return typeof result === "function" ? result(executions.get(name)) : result;
};
const ran = (...names) => names.map((name) => executions.get(name) ?? 0);

/** Lets a step wait until the test says so. */
const gate = () => {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
};
const [reached, goOn] = [gate(), gate()];

const server = new DurableServer();
let app;

/** Requests an endpoint without following it anywhere. */
const request = (path, options = {}) => fetch(app.url + path, { redirect: "manual", ...options });
/** Follows an answer to where the run's end will be. */
const follow = async (response) => {
  assert.equal(response.status, 302, await response.clone().text());
  return fetch(response.headers.get("location"));
};
const runOf = (response) => new URL(response.headers.get("location")).pathname.split("/").at(-2);
/** The run that a request to this path started, as soon as it has ended. */
const runFrom = (path) =>
  server.until(`a run of ${path}`, async () => {
    const events = await server.get("/v1/events?name=inngest/http.request");
    const event = events.find((event) => event.data.path === path);
    return event && (await server.get(`/v1/events/${event.internal_id}/runs`))[0];
  }, (run) => run?.ended_at);

/** These tests stop their server and start it again, which one that is already running is not for. */
const skip = Boolean(process.env.STEPWELL_URL && !process.env.STEPWELL_BIN) && "needs its own server";

describe("durable endpoints", { skip }, () => {
  before(async () => {
    await server.start();
    app = await serveEndpoints(server, (client) => ({
      "/quick": client.endpoint(async () => {
        const one = await step.run("one", counted("quick one", 1));
        const two = await step.run("two", counted("quick two", one + 1));
        return { two };
      }),
      "/plain": client.endpoint(async () => new Response("no steps", { status: 201, headers: { "x-mine": "1" } })),
      "/nap": client.endpoint(async (request) => {
        const before = await step.run("before", counted("nap before", "b"));
        await step.sleep("nap", "1s");
        const after = await step.run("after", counted("nap after", "a"));
        return { said: new URL(request.url).searchParams.get("say"), steps: before + after };
      }),
      "/flaky": client.endpoint(async () => {
        const steady = await step.run("steady", counted("flaky steady", 1));
        const attempts = await step.run("flaky", counted("flaky flaky", (attempt) => {
          if (attempt < 3) throw new Error(`attempt ${attempt}`);
          return attempt;
        }));
        return { steady, attempts };
      }),
      "/caught": client.endpoint(async () => {
        try {
          await step.run("doomed", counted("caught doomed", () => {
            throw new NonRetriableError("no way");
          }));
        } catch (error) {
          return { caught: error.message };
        }
      }),
      "/doomed": client.endpoint(async () => {
        await step.run("steady", counted("doomed steady", 1));
        throw new Error("the handler fails");
      }),
      "/parallel": client.endpoint(async () => {
        const branches = ["a", "b", "c"].map((id) => step.run(id, counted(`parallel ${id}`, id.toUpperCase())));
        return { joined: (await Promise.all(branches)).join("") };
      }),
      "/wait": client.endpoint(async (request) => {
        const event = await step.waitForEvent("paid", { event: "endpoints/paid", timeout: "1h", if: `async.data.id == "${new URL(request.url).searchParams.get("id")}"` });
        return { amount: event.data.amount };
      }),
      "/post": client.endpoint(async () => {
        await step.sleep("nap", "1s");
        return { posted: true };
      }),
      "/restart": client.endpoint(async () => {
        const first = await step.run("first", counted("restart first", 1));
        const second = await step.run("second", async () => {
          reached.open();
          await goOn.opened;
          return counted("restart second", first + 1)();
        });
        await step.sleep("nap", "2s");
        const third = await step.run("third", counted("restart third", second + 1));
        return { third };
      }),
    }));
  });
  after(async () => {
    app?.stop();
    await server.stop();
  });

  test("an endpoint that needs nobody answers by itself, and its run is kept", async () => {
    const response = await request("/quick");
    assert.deepEqual([response.status, await response.json()], [200, { two: 2 }]);
    assert.deepEqual(ran("quick one", "quick two"), [1, 1]);
    const run = await runFrom("/quick");
    assert.equal(run.status, "Completed");
    assert.deepEqual([run.output.status, JSON.parse(run.output.body)], [200, { two: 2 }]);
    assert.equal(app.reEntries("/quick"), 0);
  });

  test("an endpoint without steps is a run, too", async () => {
    const response = await request("/plain");
    assert.deepEqual([response.status, response.headers.get("x-mine"), await response.text()], [201, "1", "no steps"]);
    assert.equal((await runFrom("/plain")).status, "Completed");
  });

  test("a sleep redirects to where the end will be", async () => {
    const output = await follow(await request("/nap?say=h%C3%A9llo%20you"));
    assert.equal(output.headers.get("content-type"), "application/json");
    assert.deepEqual([output.status, await output.json()], [200, { said: "héllo you", steps: "ba" }]);
    assert.deepEqual(ran("nap before", "nap after"), [1, 1]);
  });

  test("a client that follows redirects sees nothing of it", async () => {
    const response = await request("/nap?say=2", { redirect: "follow" });
    assert.equal((await response.json()).said, "2");
  });

  test("a step that fails is tried again by the server", async () => {
    const output = await follow(await request("/flaky"));
    assert.deepEqual([output.status, await output.json()], [200, { steady: 1, attempts: 3 }]);
    assert.deepEqual(ran("flaky steady", "flaky flaky"), [1, 3]);
  });

  test("a step that failed for good is the handler's to catch", async () => {
    const output = await follow(await request("/caught"));
    assert.deepEqual([output.status, await output.json()], [200, { caught: "no way" }]);
    assert.deepEqual(ran("caught doomed"), [1]);
  });

  test("a handler that keeps failing ends the run after its attempts", async () => {
    const response = await request("/doomed");
    const output = await follow(response);
    assert.equal(output.status, 500);
    assert.equal((await output.json()).message, "the handler fails");
    const run = await server.get(`/v1/runs/${runOf(response)}`);
    assert.equal(run.status, "Failed");
    assert.deepEqual(ran("doomed steady"), [1]);
    // The first attempt was the app's own.
    assert.equal(app.reEntries("/doomed"), 3);
  });

  test("steps side by side are run by the server, each once", async () => {
    const output = await follow(await request("/parallel"));
    assert.deepEqual(await output.json(), { joined: "ABC" });
    assert.deepEqual(ran("parallel a", "parallel b", "parallel c"), [1, 1, 1]);
  });

  test("an endpoint waits for an event", async () => {
    const response = await request("/wait?id=7");
    assert.equal(response.status, 302);
    await app.client.send([
      { name: "endpoints/paid", data: { id: "8", amount: 1 } },
      { name: "endpoints/paid", data: { id: "7", amount: 42 } },
    ]);
    assert.deepEqual(await (await follow(response)).json(), { amount: 42 });
  });

  test("a request with a body is made again with its body", async () => {
    const body = JSON.stringify({ order: 7 });
    const output = await follow(await request("/post", { method: "POST", headers: { "content-type": "application/json" }, body }));
    assert.deepEqual(await output.json(), { posted: true });
    assert.ok(app.reEntries("/post") > 0);
  });

  test("the token opens only its own run", async () => {
    const [one, two] = [await request("/nap"), await request("/nap")].map((response) => new URL(response.headers.get("location")));
    two.searchParams.set("token", one.searchParams.get("token"));
    assert.equal((await fetch(two)).status, 401);
    assert.equal((await fetch(one)).status, 200);
  });

  test("a server that is killed goes on where it stopped", async () => {
    const pending = request("/restart");
    await reached.opened;
    await server.kill();
    // The app has recorded one step, executes the next, and finds the server back when it reports it.
    await server.start();
    goOn.open();
    const response = await pending;
    assert.equal(response.status, 302, await response.clone().text());
    await server.kill();
    await server.start();
    const output = await follow(response);
    assert.deepEqual([output.status, await output.json()], [200, { third: 3 }]);
    assert.deepEqual(ran("restart first", "restart second", "restart third"), [1, 1, 1]);
  });

  test("a re-entry is what the SDK verifies with its signing key", async (t) => {
    const signingKey = "signkey-test-00112233445566778899aabbccddeeff";
    const locked = new DurableServer(["--signing-key", signingKey]);
    t.after(() => locked.stop());
    await locked.start();
    const nap = async () => {
      await step.sleep("nap", "1s");
      return { slept: true };
    };
    const cloud = await serveEndpoints(locked, (client) => ({ "/nap": client.endpoint(nap) }), { isDev: false, signingKey });
    t.after(() => cloud.stop());
    const body = JSON.stringify({ z: 1, a: [1, 2.5, "ü"] }, null, 2);
    for (const options of [{}, { method: "POST", headers: { "content-type": "application/json" }, body }]) {
      const response = await fetch(`${cloud.url}/nap`, { redirect: "manual", ...options });
      assert.deepEqual(await (await follow(response)).json(), { slept: true });
    }
    assert.equal((await fetch(`${locked.url}/v1/events`)).status, 401);
  });
});
