//! One run for many events: when ten have come, or a minute after the first.
//!
//! ```sh
//! cargo run -p stepwell --example batch
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{App, Batch, Client, Context, Error, Event, function, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "web/page.viewed")]
struct PageViewed {
    page: String,
}

#[function(on = PageViewed, batch = Batch::new(10, Duration::from_secs(60)))]
async fn store(ctx: Context<PageViewed>) -> Result<String, Error> {
    let pages: Vec<&str> = ctx.events().iter().map(|event| &*event.data.page).collect();
    let insert = ctx
        .step()
        .run("insert", || async { Ok(format!("{} rows", pages.len())) });
    Ok(insert.await?)
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let app = TestApp::start(App::new(Client::dev("web")).function(store())).await?;
    let viewed = |n: u32| PageViewed {
        page: format!("/{n}"),
    };
    app.send_all((0..13).map(viewed)).await?;
    app.settle().await?;
    let runs = app.runs_of("store")?;
    Ok(runs.iter().map(|run| run.output()).collect())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
