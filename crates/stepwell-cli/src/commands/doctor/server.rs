//! The running server.

use super::{Findings, Status};
use crate::client::Client;
use crate::commands::events::waits;
use crate::table::text;
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_protocol::{signing, span};

/// Clocks further apart make times in logs hard to compare.
const APART: Duration = Duration::from_secs(5);
/// Work that waits for longer is worth a look.
const WAITS_MS: i64 = 10 * 60 * 1_000;
/// How many runs that wait are told.
const TOLD_MAX: usize = 5;

/// Looks at a server. That none answers is a failure unless something else is looked at as well.
pub(super) fn examine(client: &Client, findings: &mut Findings) {
    let health = match client.ask(Method::GET, &["health"], &[], None, false) {
        Ok(health) => health,
        Err(error) => return findings.say("server", Status::Failure, error.to_string()),
    };
    let asked = now_ms();
    let diagnosis = client.get(&["v1", "diagnosis"], &[]);
    let answered = now_ms();
    let base = client.base().as_str().trim_end_matches('/');
    if !health.status.is_success() {
        let reason = client.refused(&health);
        findings.say(
            "server",
            Status::Failure,
            format!("{base} takes no events: {reason}"),
        );
    }
    let diagnosis = match diagnosis {
        Ok(mut diagnosis) => diagnosis["data"].take(),
        Err(error) => {
            if health.status.is_success() {
                findings.say("server", Status::Ok, format!("{base} takes events"));
            }
            return findings.say("state", Status::Skipped, error.to_string());
        }
    };
    if health.status.is_success() {
        let version = text(&diagnosis, "/version");
        findings.say(
            "server",
            Status::Ok,
            format!("{base}, version {version}, takes events"),
        );
    }
    clock(&diagnosis, asked, answered, findings);
    audit(&diagnosis, findings);
    apps(&diagnosis, findings);
    work(client, &diagnosis, findings);
}

fn clock(diagnosis: &Value, asked: i64, answered: i64, findings: &mut Findings) {
    let Some(server) = span::parse_moment_ms(&text(diagnosis, "/now")) else {
        return findings.say(
            "clock",
            Status::Skipped,
            "the server does not tell the time",
        );
    };
    // Somewhere between question and answer.
    let apart_ms = (asked - server).max(server - answered).max(0);
    let apart = Duration::from_millis(u64::try_from(apart_ms).unwrap_or(0));
    let detail = format!("{:.1} s from this machine's", apart.as_secs_f64());
    let status = if apart.as_secs() >= signing::TOLERANCE_S {
        Status::Failure
    } else if apart > APART {
        Status::Warning
    } else {
        Status::Ok
    };
    let hint = match status {
        Status::Failure => "; signatures are refused when clocks are five minutes apart",
        _ => "",
    };
    findings.say("clock", status, format!("{detail}{hint}"));
}

fn audit(diagnosis: &Value, findings: &mut Findings) {
    match diagnosis["violations"].as_u64() {
        Some(0) => findings.say("audit", Status::Ok, "no mistakes since the start"),
        Some(found) => {
            let detail = format!(
                "{found} mistakes found and mended since the start; the log names them, please report them"
            );
            findings.say("audit", Status::Failure, detail);
        }
        None => findings.say("audit", Status::Skipped, "the server does not tell"),
    }
}

fn apps(diagnosis: &Value, findings: &mut Findings) {
    let failing = diagnosis["apps_failing"].as_array();
    for app in failing.into_iter().flatten() {
        let detail = format!("{}: {}", text(app, "/url"), text(app, "/error"));
        findings.say("app", Status::Warning, detail);
    }
}

/// Work that should have been done by now.
fn work(client: &Client, diagnosis: &Value, findings: &mut Findings) {
    let unfinished = text(diagnosis, "/runs_unfinished");
    let calls = text(diagnosis, "/calls_in_flight");
    let query = [
        ("status", "QUEUED".to_owned()),
        ("order", "ASC".to_owned()),
        ("until", span::format_moment_ms(now_ms() - WAITS_MS)),
        ("limit", TOLD_MAX.to_string()),
    ];
    let late = match client.get(&["v2", "runs"], &query) {
        Ok(answer) => answer,
        Err(error) => return findings.say("work", Status::Skipped, error.to_string()),
    };
    let runs = late["data"].as_array().cloned().unwrap_or_default();
    let all = format!("{unfinished} unfinished runs, {calls} calls in flight");
    if runs.is_empty() {
        let detail = format!("{all}, none has waited for 10 minutes to begin");
        return findings.say("work", Status::Ok, detail);
    }
    let detail =
        format!("{all}; some have waited for more than 10 minutes to begin, the oldest are");
    findings.say("work", Status::Warning, detail);
    for run in runs {
        let id = text(&run, "/id");
        let standing = client.get(&["v1", "runs", &id, "standing"], &[]);
        let why = standing.map_or_else(|_| String::new(), |standing| waits(&standing["data"]));
        let (app, function) = (text(&run, "/app/id"), text(&run, "/function/id"));
        let since = text(&run, "/queuedAt");
        let detail = format!("{id} of {app}/{function}, since {since}{why}");
        findings.say("work", Status::Warning, detail);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
