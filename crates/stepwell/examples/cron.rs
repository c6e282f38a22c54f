//! A function that starts by a schedule, in a time zone. A run's tick is that of the schedule, however late it starts.
//!
//! ```sh
//! cargo run -p stepwell --example cron
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{App, Client, Context, Cron, CronTick, Error, function};

/// On workdays at eight in Paris: at seven in UTC while it is winter there.
#[function(cron = Cron::new("0 8 * * 1-5").zone("Europe/Paris"))]
async fn report(ctx: Context<CronTick>) -> Result<String, Error> {
    let tick = ctx.data().scheduled_at.ok_or("it was invoked by hand")?;
    let report = ctx
        .step()
        .run("write", || async { Ok(format!("the report of {tick}")) });
    Ok(report.await?)
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let app = App::new(Client::dev("office")).function(report());
    // The clock of tests starts on a Thursday, the first of January 2026; a week passes at once.
    let app = TestApp::start(app).await?;
    app.run_for(Duration::from_secs(7 * 86_400)).await?;
    let runs = app.runs_of("report")?;
    Ok(runs.iter().map(|run| run.output()).collect())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}
