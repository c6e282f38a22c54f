//! A function, the event that starts it, and its result. The engine runs in this process and forgets everything when it ends.
//!
//! ```sh
//! cargo run -p stepwell --example hello
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::{App, Client, Context, Error, Event, function, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "demo/hello")]
struct Hello {
    name: String,
}

#[function(on = Hello)]
async fn greet(ctx: Context<Hello>) -> Result<String, Error> {
    let name = &ctx.data().name;
    let greeting = ctx
        .step()
        .run("greet", || async { Ok(format!("Hello, {name}!")) });
    Ok(greeting.await?)
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let app = App::new(Client::dev("demo")).function(greet());
    let engine = Embedded::builder().app(app).memory().start().await?;
    let event = engine
        .send(Hello {
            name: "Ada".to_owned(),
        })
        .await?;
    let runs = engine.finished_runs(event).await?;
    let greeting = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(greeting)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{}", run().await?);
    Ok(())
}
