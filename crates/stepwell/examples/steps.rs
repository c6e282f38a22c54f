//! Steps in a row. Each is recorded when it ends: a later failure, or a crash, repeats none of them. Here the second step fails
//! twice, and only that step runs again.
//!
//! ```sh
//! cargo run -p stepwell --example steps
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{Context, Error, Function, OutgoingEvent, RetryAfter, State};

/// How often each step's code ran.
#[derive(Debug, Default)]
struct Executions {
    reserve: AtomicU32,
    charge: AtomicU32,
}

type Counters = std::sync::Arc<Executions>;

async fn checkout(ctx: Context, State(count): State<Counters>) -> Result<String, Error> {
    let step = ctx.step();
    let reserve = || async {
        count.reserve.fetch_add(1, Ordering::Relaxed);
        Ok("seat 4".to_owned())
    };
    let seat = step.run("reserve", reserve).await?;
    let charge = || async {
        match count.charge.fetch_add(1, Ordering::Relaxed) {
            0 => Err("the bank did not answer".into()),
            1 => Err(RetryAfter::new("the bank is busy", Duration::from_secs(90)).into()),
            _ => Ok(1_999),
        }
    };
    let cents: u32 = step.run("charge", charge).await?;
    step.sleep("cool-off", Duration::from_secs(3 * 86_400))
        .await;
    Ok(format!("{seat} for {cents} cents"))
}

/// What the function returned, and how often `reserve` and `charge` ran.
pub(crate) async fn run() -> anyhow::Result<(String, u32, u32)> {
    let count = Counters::default();
    let function = Function::new("checkout")
        .on_event("shop/order.placed")
        .state(count.clone());
    // The engine of tests has a clock of its own: three days pass at once.
    let app = TestApp::builder()
        .function(function.handler(checkout))
        .start()
        .await?;
    let run = app
        .run(OutgoingEvent::untyped("shop/order.placed", json!({})))
        .await?;
    println!("{}", run.history());
    let times = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    Ok((run.output(), times(&count.reserve), times(&count.charge)))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
