// Functions that note something of their runs.

import { SpanStatusCode, trace } from "@opentelemetry/api";
import { extendedTracesMiddleware, metadataMiddleware, scoreMiddleware } from "inngest/experimental";

import { definer } from "../app.mjs";

export const options = {
  middleware: [extendedTracesMiddleware({ behaviour: "createProvider", instrumentations: [] }), metadataMiddleware(), scoreMiddleware()],
};

export const define = (client) => {
  const fn = definer(client, "notes", { retries: 0 });
  const tracer = trace.getTracer("notes");
  return [
    fn("metadata", async ({ step }) => {
      await step.run("charge", async () => {
        await client.metadata.update({ card: "visa" });
        await client.metadata.update({ tries: 1 });
        await client.metadata.run().update({ cents: 5 }, "order");
        return "charged";
      });
    }),
    fn("plain", async ({ step }) => step.run("work", () => "done")),
    fn("score", async ({ step }) => {
      await step.score("rate", { name: "inside", value: true });
    }),
    fn("spans", async ({ step }) => {
      await step.run("query", () =>
        tracer.startActiveSpan("select", (outer) => {
          outer.setAttribute("db.rows", 5);
          tracer.startActiveSpan("parse", (inner) => {
            inner.setStatus({ code: SpanStatusCode.ERROR });
            inner.end();
          });
          outer.end();
        }),
      );
    }),
  ];
};
