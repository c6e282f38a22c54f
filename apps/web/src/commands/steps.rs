//! Shows a run's steps as they happen: on a terminal in place, else line by line.

use super::report::duration;
use crate::client::RunEvent;
use crate::terminal;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

/// Where the steps are shown.
pub(super) enum Steps {
    /// On a terminal, with what is at work below.
    Watched(ProgressBar),
    /// A line each, as part of the answer.
    Lines,
    /// A line each, beside the answer.
    Remarks,
}

impl Steps {
    pub(super) fn new(json: bool) -> Self {
        if json {
            return Self::Remarks;
        }
        if !terminal::is_watched() {
            return Self::Lines;
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("  {spinner} {msg}  {elapsed}");
        bar.set_style(style.expect("the template is constant"));
        bar.enable_steady_tick(TICK);
        Self::Watched(bar)
    }

    /// A fact, once.
    pub(super) fn say(&self, text: &str) {
        match self {
            Self::Watched(bar) => bar.println(text),
            Self::Lines => terminal::line(text),
            Self::Remarks => terminal::remark(text),
        }
    }

    /// What is at work now.
    pub(super) fn now(&self, text: &str) {
        if let Self::Watched(bar) = self {
            bar.set_message(text.to_owned());
            bar.reset_elapsed();
        }
    }

    pub(super) fn show(&self, event: &RunEvent) {
        let data = &event.data;
        match event.kind.as_str() {
            "step-started" => {
                let step = data["step"].as_str().unwrap_or_default();
                match data["attempt"].as_u64() {
                    Some(attempt) if attempt > 0 => {
                        self.now(&format!("{step} (attempt {})", attempt + 1));
                    }
                    _ => self.now(step),
                }
            }
            // What it holds the run for is told while that waits.
            "step" if data["name"] == "budget" || data["status"] == "held" => {}
            "step" => self.say(&ended(data)),
            // A function that fails with its step says nothing new; the end does.
            "attempt-failed" if data["step"].is_null() && data["retryAt"].is_null() => {}
            "attempt-failed" => {
                self.say(&attempt(data));
                if data["retryAt"].is_string() {
                    self.now("waiting for the next attempt");
                }
            }
            "waiting" if data["until"].is_string() || data["reason"] == "held" => {
                let text = waiting(data);
                self.now(&text);
                if !matches!(self, Self::Watched(_)) {
                    self.say(&format!("  … {text}"));
                }
            }
            _ => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Watched(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn ended(step: &Value) -> String {
    let name = step["name"].as_str().unwrap_or_default();
    let took = duration(step["tookMs"].as_u64().unwrap_or_default());
    let (mark, what) = match step["status"].as_str() {
        Some("completed") => ("✓", result(&step["result"]["data"])),
        _ => ("✗", "failed for good".to_owned()),
    };
    let attempts = match step["attempts"].as_u64() {
        Some(attempts) if attempts > 1 => format!(", attempt {attempts}"),
        _ => String::new(),
    };
    let text = format!("  {mark} {name:<18} {took:>8}{attempts}  {what}");
    text.trim_end().to_owned()
}

/// What a step found, in a few words.
fn result(data: &Value) -> String {
    if let Some(count) = data["chunkCount"].as_u64() {
        return format!("{count} fragments indexed");
    }
    if data["skipped"].is_string() {
        return "skipped: an inspiration does not define the brand".to_owned();
    }
    if let (Some(score), Some(provider)) = (data["score"].as_f64(), data["provider"].as_str()) {
        return format!("profile {:.0}% complete, read by {provider}", score * 100.0);
    }
    String::new()
}

fn attempt(attempt: &Value) -> String {
    let what = attempt["step"].as_str().unwrap_or("the function");
    let number = attempt["attempt"].as_u64().unwrap_or_default() + 1;
    let message = attempt["error"]["message"].as_str().unwrap_or_default();
    let next = match attempt["retryAt"].as_str() {
        Some(at) => format!("; next attempt at {}", clock(at, Timestamp::now())),
        None => String::new(),
    };
    format!("  ! {what}: attempt {number} failed{next}: {message}")
}

fn waiting(waiting: &Value) -> String {
    let why = waiting["message"].as_str().unwrap_or_default();
    match waiting["until"].as_str() {
        Some(until) => format!("waiting until {}: {why}", clock(until, Timestamp::now())),
        None => format!("waiting: {why}"),
    }
}

/// `2026-01-02T03:04:05.678Z` → `04:04:05`, as the clock on the wall shows it; with its date on another day.
fn clock(moment: &str, now: Timestamp) -> String {
    match moment.parse::<Timestamp>() {
        Ok(moment) => {
            let zone = TimeZone::system();
            let is_today =
                now.to_zoned(zone.clone()).date() == moment.to_zoned(zone.clone()).date();
            let format = if is_today {
                "%H:%M:%S"
            } else {
                "%Y-%m-%d %H:%M:%S"
            };
            moment.to_zoned(zone).strftime(format).to_string()
        }
        Err(_) => moment.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_are_told_in_a_line() {
        let step = json!({
            "name": "index-and-store", "status": "completed", "tookMs": 1234, "attempts": 2,
            "result": {"data": {"chunkCount": 7}},
        });
        assert_eq!(
            ended(&step),
            "  ✓ index-and-store       1.2 s, attempt 2  7 fragments indexed"
        );
        let failed = json!({"name": "a", "status": "failed", "tookMs": 5, "attempts": 1});
        assert_eq!(
            ended(&failed),
            "  ✗ a                      5 ms  failed for good"
        );
    }

    #[test]
    fn failed_attempts_say_when_the_next_one_is() {
        let failed = json!({
            "step": "a", "attempt": 0, "error": {"message": "no network"},
            "retryAt": "2026-01-02T03:04:05.678Z",
        });
        let at = clock("2026-01-02T03:04:05.678Z", Timestamp::now());
        assert_eq!(
            attempt(&failed),
            format!("  ! a: attempt 1 failed; next attempt at {at}: no network")
        );
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let now = "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap();
        let at = clock("2026-01-02T03:04:05.678Z", now);
        assert!(at.ends_with(":05") && at.len() == 8, "{at}");
        let at = clock("2026-02-02T03:04:05.678Z", now);
        assert!(at.starts_with("2026-02-0") && at.ends_with(":05"), "{at}");
    }
}
