//! The loads.

use crate::app::{App, STEPS};
use crate::client::Target;
use anyhow::bail;
use bytes::Bytes;
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a scenario may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Events one by one over 16 connections; no function listens.
    EventsSingle,
    /// Events in batches of 100 over 4 connections; no function listens.
    EventsBatch,
    /// A burst of runs of a function without steps.
    RunsNone,
    /// Runs of 10 steps, one after another.
    StepsSequential,
    /// Runs of 10 steps, side by side.
    StepsParallel,
    /// One run at a time.
    Latency,
}

impl Name {
    pub(crate) const ALL: [Self; 6] = [
        Self::EventsSingle,
        Self::EventsBatch,
        Self::RunsNone,
        Self::StepsSequential,
        Self::StepsParallel,
        Self::Latency,
    ];
}

/// What a scenario measured: figures with their names and units.
pub(crate) type Measured = Vec<(&'static str, f64, &'static str)>;

pub(crate) async fn run(
    name: Name,
    target: &Target,
    app: &App,
    scale: usize,
) -> anyhow::Result<Measured> {
    let load = async {
        match name {
            Name::EventsSingle => events(target, 20_000 * scale, 16, 1).await,
            Name::EventsBatch => events(target, 100_000 * scale, 4, 100).await,
            Name::RunsNone => runs(target, app, "bench/none", 2_000 * scale, 0).await,
            Name::StepsSequential => {
                runs(target, app, "bench/sequential", 500 * scale, STEPS).await
            }
            Name::StepsParallel => runs(target, app, "bench/parallel", 200 * scale, STEPS).await,
            Name::Latency => latency(target, app, 200 * scale).await,
        }
    };
    match tokio::time::timeout(PATIENCE, load).await {
        Ok(measured) => measured,
        Err(_) => bail!("did not end within {} s", PATIENCE.as_secs()),
    }
}

/// Sends events over some connections and waits for every answer.
async fn events(
    target: &Target,
    total: usize,
    connections: usize,
    batch: usize,
) -> anyhow::Result<Measured> {
    let event = json!({"name": "bench/unheard", "data": {"user": "u-1", "amount": 12.5, "note": "an ordinary event"}});
    let body = if batch == 1 {
        event.to_string()
    } else {
        json!(vec![event; batch]).to_string()
    };
    let body = Bytes::from(body);
    let each = total / connections / batch;
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(target.connect().await?);
    }
    let start = Instant::now();
    let tasks: Vec<_> = senders
        .into_iter()
        .map(|mut connection| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(each);
                for _ in 0..each {
                    let sent = Instant::now();
                    connection.send(body.clone()).await?;
                    took.push(sent.elapsed());
                }
                anyhow::Ok(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let accepted = (each * connections * batch) as f64;
    Ok(vec![
        ("events", accepted / seconds, "events/s"),
        ("answer p50", percentile(&mut took, 50), "ms"),
        ("answer p99", percentile(&mut took, 99), "ms"),
    ])
}

/// Sends a burst of events, each of which starts a run, and waits until the last run has ended.
async fn runs(
    target: &Target,
    app: &App,
    event: &str,
    total: usize,
    steps: usize,
) -> anyhow::Result<Measured> {
    let mut connection = target.connect().await?;
    let (returned, stepped) = (app.seen.returned(), app.seen.steps());
    let start = Instant::now();
    let mut last = None;
    let mut left = total;
    while left > 0 {
        let batch = left.min(100);
        let body = json!(vec![json!({"name": event, "data": {"n": left}}); batch]).to_string();
        last = connection.send(body.into()).await?.pop();
        left -= batch;
    }
    let sent = start.elapsed();
    app.seen.until_returned(returned + total as u64).await;
    until_completed(target, last.as_deref().unwrap_or_default()).await?;
    let seconds = start.elapsed().as_secs_f64();
    let executed = app.seen.steps() - stepped;
    if executed != (total * steps) as u64 {
        bail!("{executed} steps ran instead of {}", total * steps);
    }
    let mut measured = vec![("runs", total as f64 / seconds, "runs/s")];
    if steps > 0 {
        measured.push(("steps", executed as f64 / seconds, "steps/s"));
    }
    measured.push(("burst accepted in", sent.as_secs_f64() * 1e3, "ms"));
    Ok(measured)
}

/// Waits until the server says of an event's run that it is completed.
async fn until_completed(target: &Target, event: &str) -> anyhow::Result<()> {
    let mut connection = target.connect().await?;
    let path = format!("/v1/events/{event}/runs");
    loop {
        let answer: Value =
            serde_json::from_slice(&connection.request(Method::GET, &path, Bytes::new()).await?)?;
        let status = answer["data"][0]["status"].as_str().unwrap_or_default();
        if status.eq_ignore_ascii_case("completed") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs one run after another and times what a user feels.
async fn latency(target: &Target, app: &App, total: usize) -> anyhow::Result<Measured> {
    let mut connection = target.connect().await?;
    let body = Bytes::from(json!({"name": "bench/sequential", "data": {}}).to_string());
    let (mut accepted, mut first_call, mut next_step, mut finished) =
        (vec![], vec![], vec![], vec![]);
    for _ in 0..total {
        let returned = app.seen.returned();
        app.seen.record_times();
        let sent = Instant::now();
        connection.send(body.clone()).await?;
        accepted.push(sent.elapsed());
        app.seen.until_returned(returned + 1).await;
        finished.push(sent.elapsed());
        let times = app.seen.take_times();
        first_call.push(times[0].0.duration_since(sent));
        next_step.extend(
            times
                .windows(2)
                .map(|pair| pair[1].0.duration_since(pair[0].1)),
        );
    }
    Ok(vec![
        ("event accepted p50", percentile(&mut accepted, 50), "ms"),
        (
            "event to first call p50",
            percentile(&mut first_call, 50),
            "ms",
        ),
        (
            "event to first call p99",
            percentile(&mut first_call, 99),
            "ms",
        ),
        (
            "step to next step p50",
            percentile(&mut next_step, 50),
            "ms",
        ),
        (
            "step to next step p99",
            percentile(&mut next_step, 99),
            "ms",
        ),
        (
            "event to end of 10 steps p50",
            percentile(&mut finished, 50),
            "ms",
        ),
    ])
}

/// A percentile in milliseconds; 0 of nothing.
fn percentile(took: &mut [Duration], percent: usize) -> f64 {
    took.sort_unstable();
    let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
    took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
