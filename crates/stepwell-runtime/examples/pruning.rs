//! How long commits take while a large backlog is pruned, and without: `cargo run --release -p stepwell-runtime
//! --example pruning`. The figures stand in `docs/benchmarks.md`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]

use futures::future::BoxFuture;
use serde_json::json;
use smallvec::smallvec;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stepwell_engine::{
    Change, EventRow, IdSource, RunEnd, RunProgress, RunRow, RunStatus, StepRow, Timestamp,
};
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::{RawReply, ReplyHeaders};
use stepwell_protocol::{AppId, FunctionId, StepId, shared_json};
use stepwell_runtime::{
    CallError, Handle, Invocation, Invoker, Invokers, Options, Retention, Runtime,
};
use stepwell_store::sqlite;

/// Finished runs of ten days ago, each with an event and steps of these many bytes.
const RUNS: usize = 200_000;
const STEPS: usize = 2;
const EVENT_BYTES: usize = 500;
const STEP_BYTES: usize = 200;
const AGO: Duration = Duration::from_secs(10 * 24 * 60 * 60);
/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(10);
const ROUNDS: usize = 5;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Loads: senders, and how often each sends.
const LOADS: [(&str, usize, Duration); 2] = [
    ("16 senders, one event after another", 16, Duration::ZERO),
    ("4 senders, 50 events/s each", 4, Duration::from_millis(20)),
];

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = folder.path().join("full.db");
    fill(&full);
    let bytes = std::fs::metadata(&full).expect("it is there").len();
    println!("{RUNS} finished runs in {} MiB", bytes >> 20);
    for (name, senders, every) in LOADS {
        println!("{name}, {ROUNDS} times {} s:", LOAD.as_secs());
        // In turns, so that both meet the same weather on the machine.
        let mut rounds = [(); 2].map(|()| Vec::new());
        for _ in 0..ROUNDS {
            for (round, age) in rounds.iter_mut().zip([None, Some(WEEK)]) {
                let path = folder.path().join("measured.db");
                std::fs::copy(&full, &path).expect("there is room for a copy");
                // Or the first commit pays for the copy.
                let copy = std::fs::File::open(&path).expect("it is there");
                copy.sync_all().expect("the disk is well");
                round.push(measure(&path, age, senders, every).await);
                for suffix in ["", "-wal", "-shm"] {
                    let file = folder.path().join(format!("measured.db{suffix}"));
                    // Some are gone with the last connection.
                    std::fs::remove_file(file).unwrap_or_default();
                }
            }
        }
        for (what, rounds) in ["without pruning", "while pruning"].iter().zip(&rounds) {
            report(what, rounds);
        }
    }
}

/// One load on one copy.
struct Measured {
    /// How long each event took to be answered, least first.
    took: Vec<Duration>,
    /// Runs of the backlog that went meanwhile.
    pruned: usize,
}

impl Measured {
    /// In milliseconds.
    fn quantile(&self, part: f64) -> f64 {
        let index = (self.took.len() as f64 * part) as usize;
        self.took[index.min(self.took.len() - 1)].as_secs_f64() * 1e3
    }
}

/// The median of the rounds, and the least and greatest p99 among them.
fn report(what: &str, rounds: &[Measured]) {
    let sorted = |figure: &dyn Fn(&Measured) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let median = |figure: &dyn Fn(&Measured) -> f64| sorted(figure)[rounds.len() / 2];
    let seconds = LOAD.as_secs_f64();
    let p99s = sorted(&|round| round.quantile(0.99));
    println!(
        "  {what:16} {:>6.0} events/s, answered p50 {:.2} ms, p99 {:.2} ms ({:.2} to {:.2}), p99.9 {:.1} ms, max {:.1} ms; \
         {:.0} old runs/s pruned",
        median(&|round| round.took.len() as f64 / seconds),
        median(&|round| round.quantile(0.5)),
        p99s[rounds.len() / 2],
        p99s[0],
        p99s[rounds.len() - 1],
        median(&|round| round.quantile(0.999)),
        median(&|round| round.quantile(1.0)),
        median(&|round| round.pruned as f64 / seconds),
    );
}

/// Takes one load to a copy of the file.
async fn measure(path: &Path, age: Option<Duration>, senders: usize, every: Duration) -> Measured {
    let store = sqlite::open(&sqlite::Options::new(path)).expect("the file opens");
    let options = Options {
        retention: Retention {
            age,
            bytes_max: None,
        },
        ..Options::default()
    };
    let invokers = Invokers::none().with("embedded", Arc::new(App));
    let runtime = Runtime::start(store, invokers, options).expect("the runtime starts");
    let handle = runtime.handle();
    register(&handle).await;
    let end = Instant::now() + LOAD;
    let tasks: Vec<_> = (0..senders)
        .map(|_| tokio::spawn(send(handle.clone(), every, end)))
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("a sender goes on"));
    }
    took.sort_unstable();
    drop(handle);
    runtime.shutdown(Duration::from_secs(10)).await;
    Measured {
        took,
        pruned: RUNS - left(path),
    }
}

async fn send(handle: Handle, every: Duration, end: Instant) -> Vec<Duration> {
    let text = json!({"name": "go", "data": {"text": "x".repeat(EVENT_BYTES)}}).to_string();
    let mut took = Vec::new();
    while Instant::now() < end {
        let event = handle.accept_event(&text, 0, None).expect("it is one");
        let begun = Instant::now();
        handle
            .receive_events(vec![event])
            .await
            .expect("the store is well");
        took.push(begun.elapsed());
        if !every.is_zero() {
            tokio::time::sleep(every.saturating_sub(begun.elapsed())).await;
        }
    }
    took
}

/// Events of the backlog that are still there.
fn left(path: &Path) -> usize {
    let store = sqlite::open(&sqlite::Options::new(path)).expect("the file opens");
    let events = store.reader.events(Some("old"), None, usize::MAX >> 1);
    events.expect("events are read").len()
}

/// A function that returns at once.
#[derive(Debug)]
struct App;

impl Invoker for App {
    fn call(&self, _invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let reply = RawReply {
            status: 200,
            headers: ReplyHeaders {
                sdk: Some("example:v0.1.0".to_owned()),
                request_version: Some(2),
                ..ReplyHeaders::default()
            },
            body: b"null".to_vec(),
        };
        Box::pin(async move { Ok(reply) })
    }
}

async fn register(handle: &Handle) {
    let body = json!({
        "appName": "app", "url": "embedded://app",
        "functions": [{
            "id": "app-f", "triggers": [{"event": "go"}],
            "steps": {"step": {"runtime": {"type": "http", "url": "embedded://app"}}},
        }],
    });
    let registration = Registration::parse(body.to_string().as_bytes()).expect("it is one");
    let sync = stepwell_runtime::check_registration(&registration).expect("it is well");
    handle.sync_app(sync).await.expect("the store is well");
}

fn fill(path: &Path) {
    let mut store = sqlite::open(&sqlite::Options::new(path)).expect("the file opens");
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since.expect("it is after 1970").as_millis() as u64;
    let begin = Timestamp::from_ms(now_ms - AGO.as_millis() as u64);
    let mut ids = IdSource::from_seed(1);
    let json =
        |bytes: usize| shared_json(format!("\"{}\"", "x".repeat(bytes))).expect("a string is JSON");
    let (body, value) = (json(EVENT_BYTES), json(STEP_BYTES));
    for batch in 0..RUNS / 1_000 {
        let mut changes = Vec::new();
        for number in 0..1_000 {
            let at = begin.after_ms((batch * 1_000 + number) as u64);
            let event = ids.event_id(at);
            let run = ids.run_id(at);
            changes.push(Change::EventPut(EventRow {
                id: event,
                name: "old".to_owned(),
                external_id: event.to_string(),
                ts_ms: 0,
                received_at: at,
                body: Arc::clone(&body),
            }));
            changes.push(Change::RunPut(Box::new(RunRow {
                id: run,
                function: FunctionId::of(AppId::of("app"), "app-f"),
                function_version: 1,
                events: smallvec![event],
                dedupe_key: None,
                announces: true,
                queued_at: at,
                keys: None,
                origin: None,
                progress: RunProgress {
                    id: run,
                    status: RunStatus::Running,
                    started_at: Some(at),
                    request_version: 2,
                    force_plan: false,
                    pending: Vec::new(),
                },
            })));
            for position in 0..STEPS {
                changes.push(Change::StepPut(Box::new(StepRow {
                    run,
                    step: StepId::of("step", position),
                    position: position as u32,
                    op: "StepRun",
                    name: "step".to_owned(),
                    value: Arc::clone(&value),
                    failed: false,
                    attempt: 0,
                    queued_at: at,
                    started_at: at,
                    ended_at: at,
                    detail: None,
                    failures_of: None,
                })));
            }
            changes.push(Change::RunEnd(RunEnd {
                id: run,
                status: RunStatus::Completed,
                ended_at: at,
                output: Some(Arc::clone(&value)),
                cause: None,
                last_call: None,
            }));
        }
        store.writer.commit(&changes).expect("there is room");
    }
}
