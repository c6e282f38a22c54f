//! Writes the shapes of an app's events, for its producers in other languages:
//!
//! ```sh
//! cargo run -p stepwell --example schemas -- conformance/typescript/types
//! ```
//!
//! With `--check` it writes nothing, and fails when the files are not current: for continuous integration.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::ExitCode;
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

fn main() -> ExitCode {
    let mut check = false;
    let mut folder = None;
    for argument in std::env::args().skip(1) {
        match &*argument {
            "--check" => check = true,
            path => folder = Some(PathBuf::from(path)),
        }
    }
    let Some(folder) = folder else {
        eprintln!("usage: schemas [--check] FOLDER");
        return ExitCode::from(2);
    };
    let schemas = match app().schemas() {
        Ok(schemas) => schemas,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if check {
        let changed = schemas.differs_from(&folder);
        for name in &changed {
            eprintln!("{} is not current", folder.join(name).display());
        }
        return ExitCode::from(u8::from(!changed.is_empty()));
    }
    match schemas.write_to(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
