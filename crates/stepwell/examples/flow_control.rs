//! What a function does when much happens at once: `debounce` waits until it is quiet, `throttle` starts some now and the others
//! later, `rate_limit` drops, `concurrency` lets a few run at a time, `cancel_on` gives up.
//!
//! ```sh
//! cargo run -p stepwell --example flow_control
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::{Value, json};
use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{
    App, CancelOn, Client, Concurrency, Context, Debounce, Error, OutgoingEvent, RateLimit,
    Throttle, function,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Once for each document, a minute after its last change.
#[function(on = "doc/changed", debounce = Debounce::new(MINUTE).key("event.data.doc"))]
async fn index(ctx: Context) -> Result<Value, Error> {
    Ok(ctx.data()["version"].clone())
}

/// Two a minute for each customer, half a minute apart; the others wait for their turn.
#[function(
    on = "mail/wanted",
    throttle = Throttle::new(2, MINUTE).key("event.data.customer"),
    concurrency = Concurrency::limit(5),
)]
async fn mail(_: Context) -> Result<(), Error> {
    Ok(())
}

/// At most once an hour; what comes in between starts nothing.
#[function(on = "alarm/raised", rate_limit = RateLimit::new(1, 60 * MINUTE))]
async fn alarm(_: Context) -> Result<(), Error> {
    Ok(())
}

/// Until the same order is cancelled.
#[function(on = "order/placed", cancel_on = CancelOn::event("order/cancelled").matching("data.order"))]
async fn ship(ctx: Context) -> Result<(), Error> {
    ctx.step().sleep("cool-off", 60 * MINUTE).await;
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let app = App::new(Client::dev("demo")).functions([index(), mail(), alarm(), ship()]);
    let app = TestApp::start(app).await?;
    let event = OutgoingEvent::untyped;

    for version in 1..=3 {
        app.send(event(
            "doc/changed",
            json!({"doc": "d", "version": version}),
        ))
        .await?;
    }
    for customer in ["ada", "ada", "ada", "bob"] {
        app.send(event("mail/wanted", json!({"customer": customer})))
            .await?;
    }
    for _ in 0..3 {
        app.send(event("alarm/raised", json!({}))).await?;
    }
    let placed = app
        .send(event("order/placed", json!({"order": "o-1"})))
        .await?;
    app.send_in(MINUTE, event("order/cancelled", json!({"order": "o-1"})));

    app.run_due().await?;
    let mails_now = app
        .runs_of("mail")?
        .iter()
        .filter(|run| run.ended_at().is_some())
        .count();
    app.settle().await?;
    let indexed: Vec<Value> = app
        .runs_of("index")?
        .iter()
        .map(|run| run.output())
        .collect();
    let mails = app.runs_of("mail")?.len();
    let alarms = app.runs_of("alarm")?.len();
    let ship = app.runs_of_event(placed)?[0].status();
    Ok(format!(
        "indexed {indexed:?}; mails: {mails_now} at once, {mails} in the end; alarms: {alarms}; shipping: {ship}"
    ))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{}", run().await?);
    Ok(())
}
