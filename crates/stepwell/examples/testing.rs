//! How functions are tested: in memory, with a clock of their own, steps that are mocked or fail, and crashes at every commit.
//!
//! ```sh
//! cargo run -p stepwell --example testing
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::json;
use std::time::Duration;
use stepwell::testing::{Builder, TestApp, TestError, assert_survives_crashes};
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};

const HOUR: Duration = Duration::from_secs(3_600);

#[function(on = "order/placed", retries = 3)]
async fn fulfil(ctx: Context) -> Result<String, Error> {
    let step = ctx.step();
    let receipt: String = step
        .run("charge", || async { Err("no bank here".into()) })
        .await?;
    step.sleep("cool-off", 72 * HOUR).await;
    let told = OutgoingEvent::untyped("order/shipped", json!({"receipt": receipt}));
    step.send_event("tell", told).await?;
    Ok(receipt)
}

fn placed() -> OutgoingEvent {
    OutgoingEvent::untyped("order/placed", json!({"order": "o-1"}))
}

/// The app, with a bank that says yes.
fn app() -> Builder {
    let app = App::new(Client::dev("shop")).function(fulfil());
    TestApp::builder()
        .app(app)
        .mock_step("charge", |_| Ok("r-1"))
}

/// The history of a run, and at how many commits the app was crashed.
pub(crate) async fn run() -> anyhow::Result<(String, usize)> {
    // The bank is out of order twice.
    let test = app().fail_step("charge", 2, "no answer").start().await?;
    let run = test.run(placed()).await?;
    run.assert_output("r-1".to_owned())
        .assert_attempts("charge", 3)
        .assert_sent_event("order/shipped");
    let history = run.history().to_string();

    let crashes = assert_survives_crashes(app, async |test| {
        test.run(placed()).await?.assert_output("r-1".to_owned());
        Ok::<_, TestError>(())
    });
    Ok((history, crashes.await))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (history, crashes) = run().await?;
    println!("{history}\nThe same, whichever of {crashes} crashes comes in between.");
    Ok(())
}
