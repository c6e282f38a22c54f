// A server that functions fetch from, and that speaks as an AI provider; it keeps the requests that came.
//
// What it answers stands in the path: `/<key>/<what>`, so that tests tell their requests apart by their keys.

import { once } from "node:events";
import { createServer } from "node:http";

const CHAT = { choices: [{ message: { role: "assistant", content: "hello" } }], usage: { total_tokens: 7 } };
const MESSAGES = { content: [{ type: "text", text: "hello" }], usage: { input_tokens: 3, output_tokens: 4 } };
const GENERATED = { candidates: [{ content: { parts: [{ text: "hello" }] } }] };

export class Provider {
  requests = [];
  #server = createServer((request, response) => this.#answer(request, response));

  async start() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** The requests whose path begins with this key. */
  of(key) {
    return this.requests.filter(({ url }) => url.startsWith(`/${key}/`));
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request, response) {
    let body = "";
    for await (const part of request) body += part;
    const { method, url, headers } = request;
    this.requests.push({ method, url, headers, body });
    const [, key, what] = new URL(url, this.url).pathname.split("/");
    const tries = this.of(key).length;
    const json = (status, value, more = {}) => response.writeHead(status, { "content-type": "application/json", ...more }).end(JSON.stringify(value));
    switch (what) {
      case "echo":
        return json(200, { method, body, mine: headers["x-mine"] ?? null });
      case "text":
        return response.writeHead(200, { "content-type": "text/plain", "x-kind": "plain" }).end("größe");
      case "empty":
        return response.writeHead(204).end();
      case "teapot":
        return json(418, { short: "stout" }, { "x-kind": "tea" });
      case "broken":
        return json(500, { error: { message: "out of order" } });
      case "moved":
        return response.writeHead(302, { location: `/${key}/echo` }).end();
      case "cut":
        return response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy());
      case "large":
        return response.writeHead(200).end("x".repeat(5 * 1024 * 1024));
      case "cut-once":
        return tries === 1 ? request.socket.destroy() : json(200, { tries });
      case "refuses":
        return json(401, { error: { message: "no such key" } });
      case "busy":
        return tries === 1 ? json(429, { error: { message: "slow down" } }, { "retry-after": "1" }) : json(200, CHAT);
      case "always-busy":
        return json(429, { error: { message: "slow down" } });
      case "broken-once":
        return tries === 1 ? json(500, { error: { message: "out of order" } }) : json(200, CHAT);
      case "prose":
        return response.writeHead(200, { "content-type": "text/html" }).end("<p>hello</p>");
      case "chat":
        return json(200, CHAT);
      case "messages":
        return json(200, MESSAGES);
      default:
        return json(200, url.includes(":generateContent") ? GENERATED : url.endsWith("/messages") ? MESSAGES : CHAT);
    }
  }
}
