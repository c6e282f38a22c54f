//! What is counted at the moment of a scrape, beside what was counted as it happened: depths, ages, and how many there are.

use crate::connections::Crowding;
use crate::state::Shared;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use stepwell_engine::{Backlog, Census, Timestamp};
use stepwell_runtime::FunctionLabels;

/// What all names begin with.
pub(crate) const PREFIX: &str = "stepwell";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFunction {
    function: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// All metrics of a server, in the text format of OpenMetrics 1.0. `crowding` is that of the listener that was asked.
pub(crate) async fn render(shared: &Shared, crowding: Option<Crowding>) -> String {
    let mut now = Registry::with_prefix(PREFIX);
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    now.register("build", "What runs", build);
    let ready = i64::from(shared.handle.readiness().is_ok());
    let help = "Whether new work should be sent here: 1, or 0";
    now.register("ready", help, ConstGauge::new(ready));
    // An engine that is gone has nothing to count; what was counted before still stands.
    if let Ok(census) = shared.handle.census().await {
        let labels = shared.handle.metrics().functions();
        tell_queues(&mut now, &census.backlogs, labels, shared.handle.now());
        tell_census(&mut now, &census);
    }
    if let Some(crowding) = crowding {
        tell_connections(&mut now, crowding);
    }
    tell_followers(&mut now, shared);
    let mut text = String::new();
    let written = encode_registry(&mut text, &shared.metrics)
        .and_then(|()| encode_registry(&mut text, &now))
        .and_then(|()| encode_eof(&mut text));
    written.expect("a string takes whatever is written");
    text
}

/// Functions without a backlog have one of nothing, so that a series does not stop at its last height.
fn tell_queues(
    registry: &mut Registry,
    backlogs: &[Backlog],
    labels: &FunctionLabels,
    now: Timestamp,
) {
    let mut queues: BTreeMap<Arc<str>, (usize, Option<Timestamp>)> = BTreeMap::new();
    for backlog in backlogs {
        let (items, oldest) = queues.entry(labels.of(&backlog.slug)).or_default();
        *items += backlog.items;
        *oldest = Some(oldest.map_or(backlog.oldest, |oldest| oldest.min(backlog.oldest)));
    }
    for label in labels.known() {
        queues.entry(label).or_default();
    }
    let (depths, ages) = (Family::default(), Family::default());
    for (function, (items, oldest)) in queues {
        let labels = OfFunction { function };
        let age = oldest.map_or(0, |oldest| now.ms_since(oldest) / 1_000);
        set(&depths, &labels, items);
        set(&ages, &labels, usize::try_from(age).unwrap_or(usize::MAX));
    }
    let help = "Due queue items that wait for their turn: for a limit, a throttle, or room for another call";
    registry.register("queue_items", help, depths);
    let help = "How long ago the first of them was due; 0 when there is none";
    registry.register_with_unit("queue_oldest_age", help, Unit::Seconds, ages);
}

fn tell_census(registry: &mut Registry, census: &Census) {
    let runs = Family::default();
    for (status, count) in [
        ("scheduled", census.runs_scheduled),
        ("running", census.runs_running),
    ] {
        set(&runs, &OfStatus { status }, count);
    }
    let help = "Unfinished runs: not called yet, or called and perhaps asleep";
    registry.register("runs", help, runs);
    let waits = Family::default();
    for (kind, count) in [
        ("event", census.waits_for_events),
        ("signal", census.waits_for_signals),
        ("cancellation", census.cancellations),
    ] {
        set(&waits, &OfKind { kind }, count);
    }
    let help = "What waits for an event or a signal: steps, and cancellations of runs";
    registry.register("waits", help, waits);
    let help = "Whatever is to happen at a time: sleeps, retries, timeouts, windows, ticks";
    registry.register("timers", help, gauge(census.timers));
    let help = "Calls of functions in flight";
    registry.register("calls_in_flight", help, gauge(census.calls));
}

fn tell_connections(registry: &mut Registry, crowding: Crowding) {
    let help = "Open connections";
    registry.register("connections", help, gauge(crowding.open));
    let help = "Slow connections that were closed to make room";
    registry.register("connections_closed", help, ConstCounter::new(crowding.cut));
    let help = "Connections that were refused because there was no room";
    let refused = ConstCounter::new(crowding.refused);
    registry.register("connections_refused", help, refused);
}

fn tell_followers(registry: &mut Registry, shared: &Shared) {
    if let Some(gateway) = &shared.options.connect {
        let attendance = gateway.workers();
        let workers = Family::default();
        for (status, count) in [
            ("connected", attendance.connected),
            ("ready", attendance.ready),
            ("draining", attendance.draining),
        ] {
            set(&workers, &OfStatus { status }, count);
        }
        let help = "Workers that are connected: not yet ready, ready for calls, or finishing what they have";
        registry.register("connect_workers", help, workers);
    }
    let help = "Subscribers of topics";
    let subscribers = gauge(shared.hub.subscribers());
    registry.register("realtime_subscribers", help, subscribers);
    let help = "Messages that did not reach a subscriber, which was cut off for it";
    let dropped = ConstCounter::new(shared.hub.dropped());
    registry.register("realtime_messages_dropped", help, dropped);
    let apps = shared.options.apps.list();
    let failing = apps.iter().filter(|(_, app)| app.error.is_some()).count();
    let help = "Apps that fail to register";
    registry.register("apps_failing", help, gauge(failing));
}

fn set<S: Clone + Eq + std::hash::Hash>(family: &Family<S, Gauge>, labels: &S, value: usize) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    family.get_or_create(labels).set(value);
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
