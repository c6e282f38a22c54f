//! Steps in parallel. A call of the function finds all of them, each runs in a call of its own, and the function goes on when all
//! have ended.
//!
//! ```sh
//! cargo run -p stepwell --example fan_out
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use futures::future::try_join_all;
use serde_json::json;
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};

#[function(on = "catalogue/uploaded")]
async fn resize(ctx: Context) -> Result<Vec<String>, Error> {
    let step = ctx.step();
    let pictures: [String; 3] = step
        .run("list", || async {
            Ok(["cat", "dog", "owl"].map(str::to_owned))
        })
        .await?;
    let resized = pictures.iter().map(|picture| {
        // The id names the step in the run's record.
        step.run(format!("resize {picture}"), move || async move {
            Ok(format!("{picture}-small.png"))
        })
    });
    Ok(try_join_all(resized).await?)
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let app = App::new(Client::dev("gallery")).function(resize());
    let engine = Embedded::builder().app(app).memory().start().await?;
    let event = OutgoingEvent::untyped("catalogue/uploaded", json!({}));
    let runs = engine.finished_runs(engine.send(event).await?).await?;
    let files = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(files)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
