//! Writes the shapes of an app's events, for its producers in other languages:
//!
//! ```sh
//! cargo run -p stepwell --example schemas -- conformance/typescript/producer
//! ```
//!
//! With `--check` it writes nothing, and fails when the files are not current: for continuous integration.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use stepwell::{App, Client, Context, Error, Event, function, schemars::JsonSchema};

/// Someone has placed an order.
#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed", version = "2026-01-01")]
#[serde(rename_all = "camelCase")]
struct OrderPlaced {
    order_id: String,
    lines: Vec<Line>,
    payment: Payment,
    /// What the customer asks for besides.
    note: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Line {
    article: String,
    count: u32,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Payment {
    Card { last4: String },
    Invoice,
}

/// An order was called off.
#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.cancelled")]
#[serde(rename_all = "camelCase")]
struct OrderCancelled {
    order_id: String,
    reason: Reason,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    ChangedMind,
    OutOfStock,
}

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Cancelled(OrderCancelled),
}

#[function(on = OrderEvent)]
async fn keep_books(ctx: Context<OrderEvent>) -> Result<String, Error> {
    Ok(match ctx.data() {
        OrderEvent::Placed(order) => format!("{}: {} lines", order.order_id, order.lines.len()),
        OrderEvent::Cancelled(order) => format!("{} is off", order.order_id),
    })
}

/// The app; a program that serves it has it, too.
pub(crate) fn app() -> App {
    App::new(Client::dev("shop")).function(keep_books())
}

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.first().is_some_and(|first| first == "--check");
    if check {
        arguments.remove(0);
    }
    let [folder] = &arguments[..] else {
        anyhow::bail!("usage: schemas [--check] FOLDER");
    };
    let schemas = app().schemas()?;
    if check {
        let changed = schemas.differs_from(folder);
        anyhow::ensure!(
            changed.is_empty(),
            "not current in {folder}: {}",
            changed.join(", ")
        );
        return Ok(());
    }
    schemas
        .write_to(folder)
        .with_context(|| format!("cannot write into {folder}"))
}
