//! Steps that are undone when a later one fails. Errors keep their values: what a step failed with is matched on, in whichever call
//! of the function that happens.
//!
//! ```sh
//! cargo run -p stepwell --example saga
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use serde_json::json;
use stepwell::testing::TestApp;
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum HotelError {
    #[error("no room is free before {next}")]
    Full { next: String },
}

#[function(on = "trip/planned", retries = 2)]
async fn book(ctx: Context) -> Result<String, Error> {
    let step = ctx.step();
    let flight: String = step
        .run("flight", || async { Ok("XY 1".to_owned()) })
        .await?;
    let hotel = step.run("hotel", || async {
        let full = HotelError::Full {
            next: "May".to_owned(),
        };
        Err::<String, _>(Error::typed(full).non_retriable())
    });
    let error = match hotel.await {
        Ok(hotel) => return Ok(format!("{flight}, {hotel}")),
        Err(error) => error,
    };
    step.run("cancel flight", || async { Ok(()) }).await?;
    match error.downcast::<HotelError>() {
        Some(HotelError::Full { next }) => Ok(format!("no trip before {next}")),
        None => Err(error.into()),
    }
}

/// What came of the trip, and the steps that were taken.
pub(crate) async fn run() -> anyhow::Result<(String, Vec<String>)> {
    let app = TestApp::start(App::new(Client::dev("travel")).function(book())).await?;
    let run = app
        .run(OutgoingEvent::untyped("trip/planned", json!({})))
        .await?;
    let steps = run.steps().iter().map(|step| step.id().to_owned());
    Ok((run.output(), steps.collect()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
