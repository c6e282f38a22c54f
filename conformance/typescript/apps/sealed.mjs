// Functions whose data is encrypted, with the key of the app on the Rust SDK.

import { encryptionMiddleware } from "@inngest/middleware-encryption";

import { definer } from "../app.mjs";
import { referenceFunction } from "../sdk.mjs";

/** `../../rust/src/sealed.rs` has it, too. */
const KEY = "a key that both programs were given";
export const middleware = [encryptionMiddleware({ key: KEY })];

/** What functions could read, by the key in their data. */
export const read = new Map();

export const sealed = (client) => {
  const define = definer(client, "sealed", { retries: 0 });
  const note = ({ event }) => {
    read.set(event.data.key, event.data.encrypted);
    return { "typescript read": event.data.encrypted };
  };
  return [
    define("read", note, { triggers: [] }),
    define("rust-sent", note),
    define("typescript-calls", async ({ event, step }) => {
      const { key, secret } = event.data;
      const data = { key, encrypted: secret };
      read.set(key, await step.invoke("call", { function: referenceFunction({ appId: "rs-sealed", functionId: "read" }), data }));
    }),
  ];
};
