// The events of the app shop. Made by stepwell from its Rust types: change those, not this.

import { eventType, staticSchema } from "inngest";

export type Line = {
  article: string;
  count: number;
};

/** An order was called off. */
export type OrderCancelled = {
  orderId: string;
  reason: Reason;
};

/** Someone has placed an order. */
export type OrderPlaced = {
  orderId: string;
  lines: Line[];
  payment: Payment;
  /** What the customer asks for besides. */
  note?: string | null;
};

export type Payment = {
  kind: "card";
  last4: string;
} | {
  kind: "invoice";
};

export type Reason = "changed_mind" | "out_of_stock";

/** The data of each event, by its name. */
export type Events = {
  "shop/order.cancelled": OrderCancelled;
  "shop/order.placed": OrderPlaced;
};

export const orderCancelled = eventType("shop/order.cancelled", { schema: staticSchema<OrderCancelled>() });

export const orderPlaced = eventType("shop/order.placed", { schema: staticSchema<OrderPlaced>(), version: "2026-01-01" });
