// Replaces what differs from one recording to the next (ports, clocks, paths) and nothing else.

import { homedir } from "node:os";

const FIXED_MS = 1767225600000; // 2026-01-01T00:00:00Z
const DROPPED_HEADERS = new Set(["connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "accept-encoding"]);

/**
 * @param {object[]} exchanges as recorded
 * @param {{serverUrl: string, appUrl: string, paths: [string, string][]}} options
 *   `paths`: what to replace in stacks, with what
 */
export function scrub(exchanges, { serverUrl, appUrl, paths }) {
  const serverPort = new URL(serverUrl).port;
  const appPort = new URL(appUrl).port;
  const text = (value) => {
    let result = value.replaceAll(`:${serverPort}/`, ":8288/").replaceAll(`:${appPort}/`, ":3000/");
    result = result.replace(new RegExp(`:${serverPort}$`), ":8288").replace(new RegExp(`:${appPort}$`), ":3000");
    for (const [found, put] of paths) result = result.replaceAll(found, put);
    result = result.replaceAll(homedir(), "/somewhere");
    return result.replace(/20(?!30)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?/g, (_, fraction) =>
      `2026-01-01T00:00:00${fraction ? `.${"0".repeat(fraction.length - 1)}` : ""}`,
    );
  };
  const walk = (value, key) => {
    if (typeof value === "string") return text(value);
    if (typeof value === "number" && (key === "ts" || key === "request_started_at") && value > 0) return FIXED_MS;
    if (Array.isArray(value)) return value.map((item) => walk(item, key));
    if (value === null || typeof value !== "object") return value;
    if (key === "timing") return { ...value, a: FIXED_MS * 1_000_000, b: 1_000_000 };
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, walk(item, name)]));
  };
  const header = (name, value) => {
    if (name === "x-inngest-event-id-seed") return `${FIXED_MS},AAECAwQFBgcICQ==`;
    if (name === "server-timing") return value.replace(/;dur=[\d.]+/g, "");
    if (name === "host") return value.replace(serverPort, "8288").replace(appPort, "3000");
    return text(value);
  };
  const half = (message) => {
    const { headers, bodyText, ...rest } = message;
    const kept = Object.entries(headers).filter(([name]) => !DROPPED_HEADERS.has(name));
    const result = { ...rest, headers: Object.fromEntries(kept.map(([name, value]) => [name, header(name, value)])) };
    if (rest.url) result.url = text(rest.url);
    try {
      result.body = walk(JSON.parse(bodyText));
    } catch {
      result.bodyText = text(bodyText);
    }
    return result;
  };
  return exchanges.map(({ from, request, response }) => ({ from, request: half(request), response: half(response) }));
}

/** For signed traffic: bodies stay as the exact text that was signed. */
export function keepExact(exchanges, options) {
  return exchanges.map((exchange) => {
    const [scrubbed] = scrub([exchange], options);
    for (const side of ["request", "response"]) {
      delete scrubbed[side].body;
      scrubbed[side].bodyText = exchange[side].bodyText;
    }
    return scrubbed;
  });
}
