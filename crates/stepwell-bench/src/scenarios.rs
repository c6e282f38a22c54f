//! The loads.

mod subscribers;
mod workers;

use crate::app::{AWAITED, App, STEPS};
use crate::client::Target;
use crate::memory;
use crate::server::Server;
use anyhow::bail;
use bytes::Bytes;
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a scenario may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(900);

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
    /// A long burst of runs of a function without steps: whether it slows down.
    Burst,
    /// One event that many runs wait for, while another function is started now and then.
    Waits,
    /// Many sleeping runs: their memory, and how soon a restarted server is ready again. Only when asked for.
    Sleepers,
    /// 1,000 workers of connect: a burst of runs, and one run at a time. Only when asked for.
    Workers,
    /// 5,000 subscribers of one realtime topic. Only when asked for.
    Subscribers,
}

impl Name {
    /// What runs when nothing else is asked for.
    pub(crate) const USUAL: [Self; 8] = [
        Self::EventsSingle,
        Self::EventsBatch,
        Self::RunsNone,
        Self::StepsSequential,
        Self::StepsParallel,
        Self::Latency,
        Self::Burst,
        Self::Waits,
    ];
}

/// What a scenario measured: figures with their names and units.
pub(crate) type Measured = Vec<(&'static str, f64, &'static str)>;

pub(crate) async fn run(
    name: Name,
    target: &Target,
    app: &App,
    server: &mut Server,
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
            Name::Burst => burst(target, app, 20_000 * scale).await,
            Name::Waits => waits(target, app, 10_000 * scale).await,
            Name::Sleepers => sleepers(target, app, server, 100_000 * scale).await,
            Name::Workers => {
                workers::workers(target, server.pid, 1_000 * scale, 20_000 * scale).await
            }
            Name::Subscribers => subscribers::subscribers(target, server.pid, 5_000 * scale).await,
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

/// Sends a long burst and compares how fast its first and its last tenth are worked off.
async fn burst(target: &Target, app: &App, total: usize) -> anyhow::Result<Measured> {
    app.seen.record_times();
    let (returned, start) = (app.seen.returned(), Instant::now());
    start_runs(target, "bench/none", total).await?;
    let sent = start.elapsed();
    app.seen.until_returned(returned + total as u64).await;
    let mut ends: Vec<Instant> = app.seen.take_times().iter().map(|(_, end)| *end).collect();
    ends.sort_unstable();
    let tenth = ends.len() / 10;
    let rate = |from: Instant, to: Instant| tenth as f64 / to.duration_since(from).as_secs_f64();
    let first = rate(start, ends[tenth - 1]);
    let last = rate(ends[ends.len() - tenth - 1], ends[ends.len() - 1]);
    let whole = total as f64 / ends[ends.len() - 1].duration_since(start).as_secs_f64();
    Ok(vec![
        ("runs", whole, "runs/s"),
        ("first tenth", first, "runs/s"),
        ("last tenth", last, "runs/s"),
        ("last tenth of first", last / first * 100.0, "%"),
        ("burst accepted in", sent.as_secs_f64() * 1e3, "ms"),
    ])
}

/// Lets runs wait for one event, sends it, and starts another function every few milliseconds meanwhile.
async fn waits(target: &Target, app: &App, total: usize) -> anyhow::Result<Measured> {
    const PROBE_EVERY: Duration = Duration::from_millis(5);
    let parked = app.seen.parked();
    let start = Instant::now();
    start_runs(target, "bench/waiting", total).await?;
    app.seen.until_parked(parked + total as u64).await;
    let registered = start.elapsed();
    // The last answers are still on their way into the store.
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.seen.take_probed();
    let stop = Arc::new(AtomicBool::new(false));
    let probing = {
        let (mut connection, stop) = (target.connect().await?, Arc::clone(&stop));
        tokio::spawn(async move {
            let body = Bytes::from(json!({"name": "bench/probe", "data": {}}).to_string());
            let mut sent = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                sent.push(Instant::now());
                connection.send(body.clone()).await?;
                tokio::time::sleep(PROBE_EVERY).await;
            }
            anyhow::Ok(sent)
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let returned = app.seen.returned();
    let begun = Instant::now();
    let event = Bytes::from(json!({"name": AWAITED, "data": {"n": 1}}).to_string());
    target.connect().await?.send(event).await?;
    let accepted = begun.elapsed();
    app.seen.until_returned(returned + total as u64).await;
    let seconds = begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::SeqCst);
    let sent = probing.await??;
    // Probes are called in the order in which they were sent: one at a time is under way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let probed = app.seen.take_probed();
    let pairs = sent.iter().zip(&probed);
    let mut took: Vec<Duration> = pairs
        .filter(|(sent, _)| **sent >= begun)
        .map(|(sent, called)| called.duration_since(*sent))
        .collect();
    Ok(vec![
        (
            "waits registered",
            total as f64 / registered.as_secs_f64(),
            "waits/s",
        ),
        ("resumed calls", total as f64 / seconds, "calls/s"),
        (
            "awaited event accepted in",
            accepted.as_secs_f64() * 1e3,
            "ms",
        ),
        ("other function p50", percentile(&mut took, 50), "ms"),
        ("other function p99", percentile(&mut took, 99), "ms"),
    ])
}

/// Lets many runs sleep, weighs them, and restarts the server.
async fn sleepers(
    target: &Target,
    app: &App,
    server: &mut Server,
    total: usize,
) -> anyhow::Result<Measured> {
    let Some(pid) = server.pid else {
        bail!("give the server's --pid, so that its memory can be measured");
    };
    let before = memory::of(pid)?.now;
    let parked = app.seen.parked();
    let start = Instant::now();
    // A burst at a time, so that what waits to be called does not count.
    let mut asked = 0;
    while asked < total {
        let portion = (total - asked).min(10_000);
        start_runs(target, "bench/sleeping", portion).await?;
        asked += portion;
        app.seen.until_parked(parked + asked as u64).await;
    }
    let registered = start.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = memory::of(pid)?;
    let mut measured = vec![
        (
            "sleeps registered",
            total as f64 / registered.as_secs_f64(),
            "runs/s",
        ),
        (
            "memory of a sleeping run",
            memory.now.saturating_sub(before) as f64 / total as f64,
            "B",
        ),
    ];
    if let Some(ready) = server.restart().await? {
        measured.push(("ready again after", ready.as_secs_f64(), "s"));
        let pid = server.pid.unwrap_or(pid);
        let after = memory::of(pid)?.now;
        measured.push((
            "memory of one after restart",
            after.saturating_sub(before) as f64 / total as f64,
            "B",
        ));
    }
    Ok(measured)
}

/// Starts runs, a hundred in a request.
async fn start_runs(target: &Target, event: &str, total: usize) -> anyhow::Result<()> {
    let mut connection = target.connect().await?;
    let mut left = total;
    while left > 0 {
        let batch = left.min(100);
        let body = json!(vec![json!({"name": event, "data": {"n": left}}); batch]).to_string();
        connection.send(body.into()).await?;
        left -= batch;
    }
    Ok(())
}

/// A percentile in milliseconds; 0 of nothing.
fn percentile(took: &mut [Duration], percent: usize) -> f64 {
    took.sort_unstable();
    let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
    took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
