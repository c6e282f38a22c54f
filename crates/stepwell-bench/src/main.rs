//! Load and latency of a server of the protocol, over HTTP, with a minimal app of its own.
//!
//! The app answers calls as fast as it can and keeps no state, so what is measured is the server. Point it at any
//! server with `--url`; without it, the `stepwell` binary beside this one is started on a fresh SQLite file.

mod app;
mod client;
mod memory;
mod report;
mod scenarios;
mod server;

use anyhow::Context;
use clap::Parser;
use std::path::PathBuf;

/// Measures a server of the protocol.
#[derive(Debug, Parser)]
#[command(name = "stepwell-bench", version)]
pub(crate) struct Arguments {
    /// The server's URL, e.g. http://127.0.0.1:8288. Without it, `stepwell dev` is started.
    #[arg(long, env = "STEPWELL_URL")]
    url: Option<String>,
    /// The `stepwell` binary to start; by default the one beside this program.
    #[arg(long, env = "STEPWELL_BIN", conflicts_with = "url")]
    bin: Option<PathBuf>,
    /// Process id of the server at --url, to measure its memory too.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Event key.
    #[arg(
        long,
        env = "INNGEST_EVENT_KEY",
        default_value = "bench",
        hide_env_values = true
    )]
    event_key: String,
    /// Where the started server keeps its SQLite file; by default a temporary folder here.
    #[arg(long, conflicts_with = "url")]
    folder: Option<PathBuf>,
    /// Keep the started server's state in memory instead.
    #[arg(long, conflicts_with = "url")]
    in_memory: bool,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<scenarios::Name>,
    /// Multiplies the size of every load.
    #[arg(long, default_value_t = 1)]
    scale: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut server = server::Server::find(&arguments).await?;
    let app = app::App::start()
        .await
        .context("cannot start the bench's app")?;
    let target = client::Target::new(&server.url, &arguments.event_key)?;
    target
        .register(&app)
        .await
        .context("the server did not register the bench's app")?;
    let idle = server.pid.map(memory::of).transpose()?;
    let mut report = report::Report::new(&server.url, idle);
    let names = match &arguments.only[..] {
        [] => &scenarios::Name::USUAL,
        only => only,
    };
    for name in names {
        let measured = scenarios::run(*name, &target, &app, &mut server, arguments.scale)
            .await
            .with_context(|| format!("scenario {name:?}"))?;
        report.add(*name, measured, arguments.json);
    }
    report.finish(server.pid.map(memory::of).transpose()?, arguments.json);
    server.stop().await
}
