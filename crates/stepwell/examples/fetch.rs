//! A request that the engine makes for a function: nothing waits for the answer, however long it takes, and it is recorded. A
//! small server on this machine stands in for someone's API.
//!
//! ```sh
//! cargo run -p stepwell --example fetch
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};
use tokio::net::TcpListener;

#[function(on = "weather/asked")]
async fn weather(ctx: Context) -> Result<String, Error> {
    let url = ctx.data()["url"].as_str().unwrap_or_default();
    let answer = ctx.step().fetch("forecast").get(format!("{url}/forecast"));
    let answer = answer.query([("city", "Köln")]).await?.error_for_status()?;
    let forecast: Value = answer.json()?;
    Ok(format!("{}: {}", forecast["city"], forecast["sky"]))
}

/// Someone's API.
async fn api() -> anyhow::Result<String> {
    async fn forecast(query: axum::extract::Query<Value>) -> Json<Value> {
        Json(json!({"city": query["city"], "sky": "clear"}))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/forecast", get(forecast));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let app = App::new(Client::dev("weather")).function(weather());
    let engine = Embedded::builder().app(app).memory();
    // Requests to this machine and its network are refused unless this is said.
    let engine = engine.allow_private_addresses().start().await?;
    let event = OutgoingEvent::untyped("weather/asked", json!({"url": api().await?}));
    let runs = engine.finished_runs(engine.send(event).await?).await?;
    let told = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(told)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{}", run().await?);
    Ok(())
}
