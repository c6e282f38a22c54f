use super::*;
use crate::{App, Client, Event, Function, Json};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Someone has placed an order.
///
/// It is not paid yet.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Event)]
#[serde(rename_all = "camelCase")]
#[event(name = "shop/order.placed", version = "2")]
#[event(crate = "crate")]
struct OrderPlaced {
    order_id: String,
    /// In cents.
    total: Option<u64>,
    #[serde(default)]
    lines: Vec<Line>,
    how: Payment,
    status: Status,
    labels: HashMap<String, String>,
    place: (f64, f64),
    #[serde(rename = "ships-to")]
    ships_to: Option<Box<Address>>,
    anything: Value,
    nested: Vec<Option<Status>>,
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Line {
    count: u32,
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Payment {
    /// In */ advance.
    Card {
        last4: String,
    },
    Cash,
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    New,
    Done,
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Address {
    /// Where */ it is.
    street: String,
    behind: Option<Box<Address>>,
}

mod other {
    use super::*;

    #[derive(Serialize, Deserialize, schemars::JsonSchema, Event)]
    #[event(name = "shop/order.changed", crate = "crate")]
    pub(super) struct OrderChanged {
        line: Line,
        to: Status,
    }

    /// Of the same name as another type, and another shape.
    #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    pub(super) struct Line {
        text: String,
    }

    #[derive(Serialize, Deserialize, schemars::JsonSchema, Event)]
    #[event(name = "shop/order.placed", crate = "crate")]
    pub(super) struct Impostor {
        order_id: String,
    }
}

#[allow(
    dead_code,
    clippy::large_enum_variant,
    reason = "only its shape is of interest"
)]
#[derive(Event)]
#[event(crate = "crate")]
enum Orders {
    Placed(OrderPlaced),
    Changed(other::OrderChanged),
    #[event(pattern = "shop/*")]
    Other(Json<u32>),
}

fn app() -> App {
    let orders = Function::new("orders")
        .on::<Orders>()
        .handler(async |_: crate::Context<Orders>| Ok::<_, crate::Error>(()));
    let nightly = Function::new("nightly")
        .cron("0 5 * * *")
        .handler(async |_: crate::Context<crate::CronTick>| Ok::<_, crate::Error>(()));
    App::new(Client::dev("shop")).functions([orders, nightly])
}

#[test]
fn typescript_has_a_type_for_each_event_and_what_it_is_made_of() {
    insta::assert_snapshot!(app().schemas().unwrap().typescript(), @r#"
// The events of the app shop. Made by stepwell from its Rust types: change those, not this.

import { eventType, staticSchema } from "inngest";

export type Address = {
  /** Where * / it is. */
  street: string;
  behind?: Address | null;
};

/** Of the same name as another type, and another shape. */
export type Line = {
  text: string;
};

export type Line2 = {
  count: number;
};

export type OrderChanged = {
  line: Line;
  to: Status;
};

/**
 * Someone has placed an order.
 *
 * It is not paid yet.
 */
export type OrderPlaced = {
  orderId: string;
  /** In cents. */
  total?: number | null;
  lines?: Line2[];
  how: Payment;
  status: Status;
  labels: Record<string, string>;
  place: [number, number];
  "ships-to"?: Address | null;
  anything: unknown;
  nested: (Status | null)[];
};

export type Payment = {
  kind: "card";
  last4: string;
} | {
  kind: "cash";
};

export type Status = "new" | "done";

/** The data of each event, by its name. */
export type Events = {
  "shop/order.changed": OrderChanged;
  "shop/order.placed": OrderPlaced;
};

export const orderChanged = eventType("shop/order.changed", { schema: staticSchema<OrderChanged>() });

export const orderPlaced = eventType("shop/order.placed", { schema: staticSchema<OrderPlaced>(), version: "2" });
"#);
}

#[test]
fn the_schema_is_of_whole_events_and_its_references_lead_somewhere() {
    let schemas = app().schemas().unwrap();
    assert_eq!(
        schemas.events().collect::<Vec<_>>(),
        ["shop/order.changed", "shop/order.placed"]
    );
    let schema = schemas.json_schema();
    let placed = &schema["oneOf"][1]["properties"];
    assert_eq!(placed["v"]["const"], "2");
    assert_eq!(placed["data"]["$ref"], "#/$defs/OrderPlaced");
    assert_eq!(schema["$defs"]["Line"]["required"], json!(["text"]));
    assert_eq!(schema["$defs"]["Line2"]["required"], json!(["count"]));
    let text = schema.to_string();
    for target in text.split("\"$ref\":\"#").skip(1) {
        let target = target.split('"').next().unwrap();
        assert!(schema.pointer(target).is_some(), "{target}");
    }
}

#[test]
fn two_shapes_of_one_event_are_refused() {
    let app = app().event::<OrderPlaced>();
    assert!(app.schemas().is_ok());
    assert_eq!(
        app.event::<other::Impostor>().schemas().unwrap_err(),
        SchemaError::TwoShapes("shop/order.placed".to_owned())
    );
}

#[test]
fn files_are_written_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = app().schemas().unwrap();
    assert_eq!(schemas.differs_from(&folder), [JSON_FILE, TYPESCRIPT_FILE]);
    schemas.write_to(&folder).unwrap();
    assert!(schemas.differs_from(&folder).is_empty());
    std::fs::write(folder.path().join(TYPESCRIPT_FILE), "// changed").unwrap();
    assert_eq!(schemas.differs_from(&folder), [TYPESCRIPT_FILE]);
    assert!(schemas.write_to(folder.path().join("nowhere")).is_err());
}
