//! A function that calls another by a typed reference, and gets what it returns, or why it failed. The other may be in another
//! app, or in another language.
//!
//! ```sh
//! cargo run -p stepwell --example invoke
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::{
    App, Client, Context, Error, FunctionFailed, Json, NonRetriable, OutgoingEvent, function,
};

#[derive(Serialize, Deserialize)]
struct Charge {
    cents: u64,
}

/// Nothing starts it but others.
#[function(on_failure = tell_the_bank)]
async fn charge(ctx: Context<Json<Charge>>) -> Result<String, Error> {
    match ctx.data().cents {
        0 => Err(NonRetriable::new("there is nothing to pay").into()),
        cents => Ok(format!("a receipt for {cents} cents")),
    }
}

/// Runs when `charge` has failed for good.
async fn tell_the_bank(ctx: Context<FunctionFailed>) -> Result<String, Error> {
    Ok(ctx.data().error.message.clone())
}

#[function(on = "shop/order.placed")]
async fn checkout(ctx: Context) -> Result<[String; 2], Error> {
    let step = ctx.step();
    let paid = step
        .invoke("charge", charge::REF, Json(Charge { cents: 1_999 }))
        .await?;
    let failed = step
        .invoke("charge nothing", charge::REF, Json(Charge { cents: 0 }))
        .await;
    let failed = failed.unwrap_or_else(|error| error.message().to_owned());
    Ok([paid, failed])
}

pub(crate) async fn run() -> anyhow::Result<[String; 2]> {
    let app = App::new(Client::dev("shop")).functions([charge(), checkout()]);
    let engine = Embedded::builder().app(app).memory().start().await?;
    let event = OutgoingEvent::untyped("shop/order.placed", json!({}));
    let runs = engine.finished_runs(engine.send(event).await?).await?;
    let told = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(told)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}
