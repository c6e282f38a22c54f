//! A worker that connects to a development server.
//!
//! ```sh
//! stepwell dev
//! INNGEST_DEV=1 cargo run -p stepwell --example connect --features connect
//! curl http://127.0.0.1:8288/e/key -d '{"name": "shop/order.placed", "data": {"order": "o-1", "cents": 1200}}'
//! ```

use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::connect::Worker;
use stepwell::{App, Client, Context, Error, Event, Function, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    order: String,
    cents: u64,
}

async fn invoice(ctx: Context<OrderPlaced>) -> Result<String, Error> {
    let placed = ctx.data();
    let step = ctx.step();
    let number = step.run("number", || async { Ok(format!("i-{}", placed.order)) });
    let number: String = number.await?;
    step.sleep("let it settle", Duration::from_secs(5)).await;
    let sent = step.run("send", || async {
        tracing::info!(number, cents = placed.cents, "the invoice is sent");
        Ok(())
    });
    sent.await?;
    Ok(number)
}

pub(crate) fn app(client: Client) -> App {
    let function = Function::new("invoice").on::<OrderPlaced>();
    App::new(client).function(function.handler(invoice))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let app = app(Client::from_env("shop")?);
    let worker = Worker::builder(app).max_concurrency(50).build()?;
    worker.run().await?;
    Ok(())
}
