//! What the engine never sees: results of steps and functions, and one field of events' data, are encrypted in this program.
//!
//! ```sh
//! cargo run -p stepwell --example encryption
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::middleware::Encryption;
use stepwell::{App, Client, Config, Context, Error, OutgoingEvent, function};

#[function(on = "patient/seen")]
async fn file(ctx: Context) -> Result<Value, Error> {
    // Here it is plain; so is every other field of the event, for conditions and keys.
    let notes = ctx.data()["encrypted"]["notes"].clone();
    let filed = ctx
        .step()
        .run("file", || async { Ok(json!({"filed": notes})) });
    Ok(filed.await?)
}

/// What is recorded of a run: its output, and that of its step.
pub(crate) async fn run() -> anyhow::Result<Vec<Value>> {
    let encryption = Encryption::new("a long random text that is kept with other secrets")?;
    // Of the client, so that it encrypts what this program sends, too.
    let client = Client::builder("clinic", Config::dev()).middleware(encryption);
    let app = App::new(client.build()).function(file());
    let engine = Embedded::builder().app(app).memory().start().await?;
    let data = json!({"patient": "p-1", "encrypted": {"notes": "slept badly"}});
    let event = engine
        .send(OutgoingEvent::untyped("patient/seen", data))
        .await?;
    let runs = engine.finished_runs(event).await?;
    let step = engine.steps(runs[0].id).await?;
    let step = step.first().context("a step is recorded")?;
    let output = runs[0].output_json().context("the run has ended")?;
    let recorded = [output, step.value_json()].map(serde_json::from_str);
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(recorded.into_iter().collect::<Result<_, _>>()?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}
