//! `stepwell doctor`: is everything well, and if not, what is not?

mod file;
mod server;

use crate::client::Target;
use crate::printing;
use crate::table::plain;
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Also examine this database file; a server may have it open.
    #[arg(long, env = "STEPWELL_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// Ask no server: look at the file only.
    #[arg(long, requires = "db")]
    offline: bool,
    /// Look at the file's structure only, not at every index: faster for a large file.
    #[arg(long)]
    quick: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Worth a look; nothing is lost.
    Warning,
    Failure,
    /// It could not be looked at.
    Skipped,
}

/// What was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn say(&mut self, name: &'static str, status: Status, detail: impl Into<String>) {
        let detail = detail.into();
        self.0.push(Check {
            name,
            status,
            detail,
        });
    }

    fn failures(&self) -> usize {
        let failed = self
            .0
            .iter()
            .filter(|check| check.status == Status::Failure);
        failed.count()
    }
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let mut findings = Findings::default();
    let client = arguments.target.client()?;
    if !arguments.offline {
        server::examine(&client, &mut findings);
    }
    if let Some(path) = &arguments.db {
        file::examine(path, !arguments.quick, &mut findings);
    }
    let failures = findings.failures();
    if json {
        printing::value(&json!({"ok": failures == 0, "checks": findings.0}))?;
    } else {
        for check in &findings.0 {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warning => "WARNING",
                Status::Failure => "FAILURE",
                Status::Skipped => "skipped",
            };
            printing::line(&format!(
                "{:<10} {status:<8} {}",
                check.name,
                plain(&check.detail)
            ))?;
        }
    }
    match failures {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        failures => bail!("{failures} checks failed"),
    }
}
