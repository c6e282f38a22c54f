//! The engine in this process, on one SQLite file: what was begun goes on after a restart, and no recorded step runs again.
//!
//! ```sh
//! cargo run -p stepwell --example embedded
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stepwell::embedded::{Embedded, Progress};
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};

/// How often the first step ran, in both lives of the program.
static CHARGED: AtomicU32 = AtomicU32::new(0);

#[function(on = "order/placed")]
async fn fulfil(ctx: Context) -> Result<String, Error> {
    let step = ctx.step();
    let charge = || async { Ok(CHARGED.fetch_add(1, Ordering::Relaxed) + 1) };
    let receipt: u32 = step.run("charge", charge).await?;
    step.wait_for_signal::<()>("packed", "packed/o-1").await?;
    Ok(format!("shipped, receipt {receipt}"))
}

async fn start(file: &Path) -> anyhow::Result<Embedded> {
    let app = App::new(Client::dev("shop")).function(fulfil());
    Ok(Embedded::builder().app(app).sqlite(file).start().await?)
}

/// What came of the order, and how often it was charged.
pub(crate) async fn run() -> anyhow::Result<(String, u32)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("jobs.db");

    let engine = start(&file).await?;
    let event = OutgoingEvent::untyped("order/placed", json!({}));
    let mut progress = engine.watch();
    let event = engine.send(event).await?;
    // Until the first step is recorded.
    while !matches!(
        progress.next().await,
        Some(Progress::StepEnded { .. }) | None
    ) {}
    engine.shutdown(Duration::from_secs(10)).await;

    // Another day.
    let engine = start(&file).await?;
    // Until the run, which goes on by itself, waits for the signal.
    let packed = async {
        while engine
            .client()
            .send_signal("packed/o-1", &())
            .await?
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), packed).await??;
    let runs = engine.finished_runs(event).await?;
    let told = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok((told, CHARGED.load(Ordering::Relaxed)))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
