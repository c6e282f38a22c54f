// A front end that sends what functions in Rust take. `events.ts` is made from the Rust types.

import { Inngest } from "inngest";
import { type Events, type OrderPlaced, orderCancelled, orderPlaced } from "./events.js";

const client = new Inngest({ id: "web" });

export async function place(order: OrderPlaced): Promise<string[]> {
  const { ids } = await client.send(orderPlaced.create(order));
  return ids;
}

export async function placeAndCancel(): Promise<void> {
  await place({
    orderId: "o-1",
    lines: [{ article: "chair", count: 2 }],
    payment: { kind: "card", last4: "4242" },
  });
  await client.send([
    orderPlaced.create({ orderId: "o-2", lines: [], payment: { kind: "invoice" }, note: null }),
    orderCancelled.create({ orderId: "o-1", reason: "changed_mind" }, { id: "cancel-o-1" }),
  ]);
}

/** Data by an event's name, for code that is about any event. */
export function describe<Name extends keyof Events>(name: Name, data: Events[Name]): string {
  return `${name} ${data.orderId}`;
}

// A function on the TypeScript SDK gets the same types.
export const audit = client.createFunction(
  { id: "audit", triggers: [orderPlaced] },
  async ({ event }) => event.data.lines.map((line) => line.count + 1),
);

// What is not so does not compile.
export const mistakes = [
  // @ts-expect-error a field is missing
  orderCancelled.create({ orderId: "o-1" }),
  // @ts-expect-error no such reason
  orderCancelled.create({ orderId: "o-1", reason: "bored" }),
  // @ts-expect-error a number is expected
  orderPlaced.create({ orderId: "o-1", lines: [{ article: "chair", count: "2" }], payment: { kind: "invoice" } }),
  // @ts-expect-error a card has digits
  orderPlaced.create({ orderId: "o-1", lines: [], payment: { kind: "card" } }),
  // @ts-expect-error no such event
  describe("shop/order.lost", { orderId: "o-1" }),
];
