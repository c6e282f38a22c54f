//! Metrics: what has happened, counted where it happens, for whoever scrapes the server.
//!
//! Labels are bounded: the first functions that are seen get names of their own, the others share one.

use crate::invoke::CallError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stepwell_engine::{Change, Effect, ReportedOutcome, RunStatus, Timestamp};

/// Functions that have a label of their own: with a handful of outcomes each, about a thousand series.
const FUNCTIONS_MAX: usize = 200;
/// The label of all others. No function has it as its id, which always holds a hyphen.
const OTHERS: &str = "other";

/// Which functions have a label of their own: for as long as the program runs, those that were seen first.
#[derive(Debug, Default)]
pub struct FunctionLabels(Mutex<HashSet<Arc<str>>>);

impl FunctionLabels {
    /// The label of a function with this public id: the id, or `other`.
    #[must_use]
    pub fn of(&self, slug: &Arc<str>) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(slug) {
            return Arc::clone(slug);
        }
        if known.len() >= FUNCTIONS_MAX {
            return Arc::from(OTHERS);
        }
        known.insert(Arc::clone(slug));
        Arc::clone(slug)
    }

    /// The labels that have been given, `other` aside.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<str>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(Arc::clone).collect()
    }
}

/// What a runtime counts.
#[derive(Debug)]
pub struct Metrics {
    functions: FunctionLabels,
    start_latency: Histogram,
    commit_time: Histogram,
    commit_rows: Histogram,
    commits_failed: Counter,
    calls: Family<CallLabels, Counter>,
    call_time: Histogram,
    events: Counter,
    runs_ended: Family<RunLabels, Counter>,
    audits: Counter,
    violations: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    function: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    status: &'static str,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Steps ran, or are asked for.
    Progressed,
    /// The function returned.
    Returned,
    /// The app answered with an error.
    Failed,
    /// The app could not be reached, or its answer not be taken.
    Unreachable,
    /// Nobody could take the call; it is made again without counting.
    NotMade,
    /// It was given up: its run was cancelled.
    GivenUp,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Progressed => "progressed",
            Self::Returned => "returned",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::NotMade => "not_made",
            Self::GivenUp => "given_up",
        }
    }

    /// Of a call that was carried out or not, and what that meant.
    pub(crate) fn of(error: Option<&CallError>, reported: &ReportedOutcome) -> Self {
        match (error, reported) {
            (_, ReportedOutcome::NotMade) => Self::NotMade,
            (Some(_), _) => Self::Unreachable,
            (None, ReportedOutcome::Ops(_)) => Self::Progressed,
            (None, ReportedOutcome::Returned(_)) => Self::Returned,
            (None, ReportedOutcome::Failed(_)) => Self::Failed,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            functions: FunctionLabels::default(),
            // 1 ms to 17 min: starts may wait for a limit.
            start_latency: Histogram::new(exponential_buckets(0.001, 4.0, 11)),
            // 0.1 ms to 26 s: from a commit that syncs nothing to a disk that hangs.
            commit_time: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
            commit_rows: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            commits_failed: Counter::default(),
            calls: Family::default(),
            // 1 ms to an hour: calls may take up to two.
            call_time: Histogram::new(exponential_buckets(0.001, 4.0, 12)),
            events: Counter::default(),
            runs_ended: Family::default(),
            audits: Counter::default(),
            violations: Counter::default(),
        }
    }
}

impl Metrics {
    /// The labels of functions, so that all that is told of a function has the same.
    #[must_use]
    pub fn functions(&self) -> &FunctionLabels {
        &self.functions
    }

    /// Adds all of it to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "start_latency",
            "From an event, or the moment that its run was to start, to the run's first call",
            Unit::Seconds,
            self.start_latency.clone(),
        );
        registry.register_with_unit(
            "commit_time",
            "How long commits took that succeeded",
            Unit::Seconds,
            self.commit_time.clone(),
        );
        registry.register(
            "commit_rows",
            "Rows that a commit wrote",
            self.commit_rows.clone(),
        );
        registry.register(
            "commits_failed",
            "Commits that the store refused",
            self.commits_failed.clone(),
        );
        registry.register(
            "calls",
            "Calls of functions that ended, by function and outcome",
            self.calls.clone(),
        );
        registry.register_with_unit(
            "call_time",
            "How long calls of functions took",
            Unit::Seconds,
            self.call_time.clone(),
        );
        registry.register(
            "events_recorded",
            "Events that were written, internal ones included",
            self.events.clone(),
        );
        registry.register(
            "runs_ended",
            "Runs that ended, by how",
            self.runs_ended.clone(),
        );
        registry.register(
            "audits",
            "Checks that the engine made of a part of its state",
            self.audits.clone(),
        );
        registry.register(
            "audit_violations",
            "Mistakes that audits found, and mended; there must be none",
            self.violations.clone(),
        );
    }

    /// Mistakes that audits have found.
    pub(crate) fn violations(&self) -> u64 {
        self.violations.get()
    }

    pub(crate) fn audited(&self, violations: usize) {
        self.audits.inc();
        self.violations.inc_by(violations as u64);
    }

    pub(crate) fn commit_failed(&self) {
        self.commits_failed.inc();
    }

    /// A batch was written, and its effects are carried out now.
    pub(crate) fn committed(
        &self,
        changes: &[Change],
        effects: &[Effect],
        took: Duration,
        now: Timestamp,
    ) {
        // Answers alone write nothing.
        if !changes.is_empty() {
            self.commit_time.observe(took.as_secs_f64());
            // A count of rows is far below where floats become coarse.
            self.commit_rows.observe(changes.len() as f64);
        }
        let mut events = 0;
        let mut ended = [0; RunStatus::ALL.len()];
        for change in changes {
            match change {
                Change::EventPut(_) => events += 1,
                Change::RunEnd(end) => ended[end.status as usize] += 1,
                _ => {}
            }
        }
        self.events.inc_by(events);
        for (status, count) in RunStatus::ALL.into_iter().zip(ended) {
            if count > 0 {
                let status = status_label(status);
                let labels = RunLabels { status };
                self.runs_ended.get_or_create(&labels).inc_by(count);
            }
        }
        for effect in effects {
            if let Effect::Call(call) = effect
                && call.starts
            {
                let waited = Duration::from_millis(now.ms_since(call.due));
                self.start_latency.observe(waited.as_secs_f64());
            }
        }
    }

    pub(crate) fn called(&self, slug: &Arc<str>, outcome: Outcome, took: Duration) {
        let labels = CallLabels {
            function: self.functions.of(slug),
            outcome: outcome.as_str(),
        };
        self.calls.get_or_create(&labels).inc();
        self.call_time.observe(took.as_secs_f64());
    }
}

fn status_label(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Scheduled => "scheduled",
        RunStatus::Running => "running",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_beyond_the_bound_share_a_label() {
        let labels = FunctionLabels::default();
        let slug = |n: usize| Arc::from(format!("app-{n}"));
        for n in 0..FUNCTIONS_MAX {
            assert_eq!(labels.of(&slug(n)), slug(n));
        }
        assert_eq!(&*labels.of(&slug(FUNCTIONS_MAX)), "other");
        assert_eq!(labels.of(&slug(7)), slug(7), "a label is kept");
    }
}
