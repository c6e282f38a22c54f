//! Which runs.

use crate::client::Client;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use stepwell_protocol::span;

/// The most runs of one page of the server's.
const PAGE_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only runs that stand so. May be given several times.
    #[arg(long, value_delimiter = ',')]
    status: Vec<Status>,
    /// Only runs of this app. May be given several times.
    #[arg(long)]
    app: Vec<String>,
    /// Only runs of this function, by its id with or without its app. May be given several times.
    #[arg(long)]
    function: Vec<String>,
    /// Only runs that were queued since: a moment, e.g. 2026-01-31T12:00:00Z or 2026-01-31, or how long ago, e.g. 2h.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    since: Option<String>,
    /// Only runs that were queued before.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    Skipped,
}

/// A moment as the server reads it.
fn parse_when(text: &str) -> Result<String, String> {
    if let Ok(ago_ms) = span::parse_ms(text) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let ago_ms = i64::try_from(ago_ms).unwrap_or(i64::MAX);
        return Ok(span::format_moment_ms(now_ms.saturating_sub(ago_ms).max(0)));
    }
    let of_day = format!("{text}T00:00:00Z");
    if span::parse_moment_ms(text)
        .or_else(|| span::parse_moment_ms(&of_day))
        .is_some()
    {
        return Ok(text.to_owned());
    }
    Err(
        "write a moment, e.g. 2026-01-31T12:00:00Z or 2026-01-31, or how long ago, e.g. 2h"
            .to_owned(),
    )
}

impl Filter {
    /// Asks for one page after another, until there are no more or `take` wants none.
    pub(super) fn pages(
        &self,
        client: &Client,
        more: &[(&str, String)],
        mut take: impl FnMut(Vec<Value>) -> bool,
    ) -> anyhow::Result<()> {
        let mut cursor: Option<String> = None;
        loop {
            let mut query = self.query();
            query.extend_from_slice(more);
            query.push(("limit", PAGE_MAX.to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let mut answer = client.get(&["v2", "runs"], &query)?;
            let page = match answer["data"].take() {
                Value::Array(page) => page,
                _ => Vec::new(),
            };
            let goes_on = take(page);
            cursor = answer["page"]["cursor"].as_str().map(str::to_owned);
            if !goes_on || cursor.is_none() || answer["page"]["hasMore"] != true {
                return Ok(());
            }
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let statuses = self.status.iter().filter_map(|status| {
            let name = status.to_possible_value()?.get_name().to_uppercase();
            Some(("status", name))
        });
        let apps = self.app.iter().map(|app| ("appId", app.clone()));
        let functions = self.function.iter().map(|name| {
            // Lists of runs show app/function, which the server knows as app-function.
            let name = match name.rsplit_once('/') {
                Some((app, function)) => format!("{app}-{function}"),
                None => name.clone(),
            };
            ("functionId", name)
        });
        let mut query: Vec<_> = statuses.chain(apps).chain(functions).collect();
        query.extend(self.since.clone().map(|since| ("from", since)));
        query.extend(self.until.clone().map(|until| ("until", until)));
        query
    }
}
