//! `studio233 serve`: everything in one process.

use super::interrupted;
use crate::studio::Studio;
use crate::terminal;
use std::process::ExitCode;
use studio233_setup::Failure;
use studio233_setup::Settings;

pub(super) async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let studio = Studio::start(settings).await?;
    greet(&studio);
    interrupted().await;
    let again = interrupted();
    tracing::info!(
        "stopping; what is at work gets a moment to finish, press Ctrl-C again to give it up"
    );
    let clean = tokio::select! {
        clean = studio.stop() => clean,
        () = again => false,
    };
    if clean {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with work unfinished; it goes on at the next start");
    }
    Ok(ExitCode::SUCCESS)
}

fn greet(studio: &Studio) {
    let (url, data) = (studio.url(), studio.data().display());
    terminal::line(format!("studio233 listens on {url}"));
    terminal::line(format!("  data       {data}"));
    terminal::line(format!("  health     {url}/health, {url}/ready"));
    terminal::line(format!("  web API    {url}/api/…"));
    terminal::line(format!("  functions  {url}/api/inngest"));
    if studio.is_local() {
        terminal::line("  ai         local: no key needed, nothing leaves this machine");
    } else {
        for (part, provider) in studio.providers() {
            terminal::line(format!("  {part:<11}{provider}"));
        }
    }
    terminal::line("try, in another terminal:");
    let program = terminal::program();
    terminal::line(format!("  {program} ingest samples/brand-guidelines.pdf"));
    terminal::line(format!("  {program} search \"primary colour\""));
}
