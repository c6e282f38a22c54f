//! The herald: tells subscribers what the engine says of the runs that they follow.
//!
//! The engine's threads put reports in a bounded queue and go on; the herald makes messages of them. Were the queue ever
//! full, everyone who follows a run would be cut off: nobody is left to believe that nothing happened.

use super::hub::Hub;
use crate::routes::ENVIRONMENT;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_protocol::gateway;
use stepwell_protocol::realtime::{Kind, MESSAGE_BYTES_MAX, Message, RUN_TOPIC, STEP_TOPIC};
use stepwell_protocol::{RunId, SharedJson, shared_json, span};
use stepwell_runtime::{Audience, Report};
use tokio::sync::{mpsc, oneshot};

/// Reports that wait.
const REPORTS_MAX: usize = 4_096;
/// The values in them, in bytes.
const REPORTS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The engine's end of the queue, and the other end until someone subscribes.
#[derive(Debug)]
pub(super) struct Herald {
    reports: mpsc::Sender<Heard>,
    waiting: Mutex<Option<Listener>>,
    bytes: Arc<AtomicUsize>,
    missed: Arc<AtomicBool>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Heard {
    Report(Report),
    /// Say when everything before this has been told.
    Told(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Listener {
    hub: Weak<Hub>,
    reports: mpsc::Receiver<Heard>,
    bytes: Arc<AtomicUsize>,
    missed: Arc<AtomicBool>,
}

impl Herald {
    pub(super) fn new(hub: Weak<Hub>) -> Self {
        let (reports, heard) = mpsc::channel(REPORTS_MAX);
        let (bytes, missed) = (Arc::default(), Arc::default());
        let listener = Listener {
            hub,
            reports: heard,
            bytes: Arc::clone(&bytes),
            missed: Arc::clone(&missed),
        };
        Self {
            reports,
            waiting: Mutex::new(Some(listener)),
            bytes,
            missed,
            dropped: AtomicU64::new(0),
        }
    }

    /// Reports for which there was no room, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Begins to tell, unless it has begun before. Must be called inside a tokio runtime.
    pub(super) fn start(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = waiting.take() {
            tokio::spawn(listener.run());
        }
    }

    fn hear(&self, report: Report) {
        let bytes = weight(&report);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if held + bytes > REPORTS_BYTES_MAX || self.reports.try_send(Heard::Report(report)).is_err()
        {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.missed.store(true, Ordering::SeqCst);
        }
    }

    /// Is ready when all that has been heard was told.
    async fn told(&self) {
        let (tell, told) = oneshot::channel();
        if self.reports.send(Heard::Told(tell)).await.is_ok() {
            // A listener that is gone has nothing to tell.
            told.await.unwrap_or_default();
        }
    }
}

impl Audience for Hub {
    fn is_present(&self) -> bool {
        self.has_subscribers()
    }

    fn follows(&self, run: RunId) -> bool {
        Self::follows(self, run)
    }

    fn hear(&self, report: Report) {
        self.herald.hear(report);
    }

    fn leave(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if self.has_subscribers() {
                self.herald.told().await;
            }
            self.close().await;
        })
    }
}

impl Listener {
    async fn run(mut self) {
        while let Some(heard) = self.reports.recv().await {
            let Some(hub) = self.hub.upgrade() else {
                return;
            };
            match heard {
                Heard::Report(report) => {
                    self.bytes.fetch_sub(weight(&report), Ordering::Relaxed);
                    tell(&hub, &report);
                }
                // Whoever asked may have stopped waiting.
                Heard::Told(tell) => tell.send(()).unwrap_or_default(),
            }
            if self.missed.swap(false, Ordering::SeqCst) {
                tracing::warn!(
                    "more happened to runs at once than could be told to who follows them"
                );
                hub.cut_followers();
            }
        }
    }
}

/// What a report holds of values, of which those that are too large to be told do not count.
fn weight(report: &Report) -> usize {
    let value = match report {
        Report::Run { output, .. } => output.as_ref(),
        Report::Step { value, .. } | Report::Answer { value, .. } => Some(value),
    };
    value.map_or(0, |value| value.get().len())
}

fn tell(hub: &Hub, report: &Report) {
    match report {
        Report::Run {
            run,
            status,
            output,
            at,
        } => {
            let field = match status {
                RunStatus::Completed => "result",
                _ => "error",
            };
            let told = Told::new(json!({"status": status.as_str()}), field, output.as_ref());
            told.publish(hub, Kind::Run, *run, RUN_TOPIC, *at);
            if status.has_ended() {
                hub.end_stream(*run);
            }
        }
        Report::Step {
            run,
            step,
            name,
            op,
            value,
            failed,
            at,
        } => {
            let status = if *failed {
                RunStatus::Failed
            } else {
                RunStatus::Completed
            };
            let about = json!({"id": step, "name": name, "op": op, "status": status.as_str()});
            let told = Told::new(about, "output", Some(value));
            told.publish(hub, Kind::Step, *run, STEP_TOPIC, *at);
        }
        Report::Answer {
            run,
            kind,
            to,
            value,
            at,
        } => {
            let (data, metadata) = within_limit(&answer_of(*kind, value));
            let run = run.to_string();
            // A request that names no channel means the run's.
            let channel = if to.channel.is_empty() {
                &run
            } else {
                &to.channel
            };
            hub.publish(&Message {
                kind: Kind::Data,
                data: &data,
                metadata: metadata.as_deref(),
                created_at: Some(moment(*at)),
                channel,
                env_id: ENVIRONMENT,
                topic: &to.topic,
                stream_id: None,
                run_id: Some(&run),
            });
        }
    }
}

/// What is said of a run or a step: an object with, perhaps, a value in it.
struct Told {
    data: SharedJson,
    metadata: Option<SharedJson>,
}

impl Told {
    fn new(about: Value, field: &str, value: Option<&SharedJson>) -> Self {
        let mut text = about.to_string();
        let mut metadata = None;
        if let Some(value) = value {
            let shown;
            (shown, metadata) = within_limit(value);
            text.pop();
            text.push_str(&format!(",\"{field}\":{}}}", shown.get()));
        }
        let data = shared_json(text).expect("a value in an object is JSON");
        Self { data, metadata }
    }

    fn publish(&self, hub: &Hub, kind: Kind, run: RunId, topic: &str, at: Timestamp) {
        let run = run.to_string();
        hub.publish(&Message {
            kind,
            data: &self.data,
            metadata: self.metadata.as_deref(),
            created_at: Some(moment(at)),
            channel: &run,
            env_id: ENVIRONMENT,
            topic,
            stream_id: None,
            run_id: Some(&run),
        });
    }
}

/// A value that a message may carry. In the place of a larger one stands null, and how large it is.
fn within_limit(value: &SharedJson) -> (SharedJson, Option<SharedJson>) {
    let bytes = value.get().len();
    if bytes <= MESSAGE_BYTES_MAX {
        return (Arc::clone(value), None);
    }
    let json = |value: Value| shared_json(value.to_string()).expect("serialised JSON is JSON");
    (
        json(Value::Null),
        Some(json(json!({"omitted_bytes": bytes}))),
    )
}

/// What the other side of a request answered, of what is recorded for its step: a provider's JSON; or the body of a fetch, as
/// JSON if it is JSON.
fn answer_of(kind: gateway::Kind, value: &SharedJson) -> SharedJson {
    #[derive(Deserialize)]
    struct Recorded<T> {
        data: T,
    }
    #[derive(Deserialize)]
    struct Fetched {
        body: String,
    }
    let json = value.get();
    let answer = match kind {
        gateway::Kind::Ai => serde_json::from_str(json)
            .map(|Recorded::<Box<RawValue>> { data }| SharedJson::from(data)),
        gateway::Kind::Fetch => serde_json::from_str(json)
            .map(|Recorded::<Fetched> { data }| super::publish::data_of(data.body)),
    };
    answer.expect("it was recorded so")
}

/// A moment as messages tell it.
pub(super) fn moment(at: Timestamp) -> String {
    span::format_moment_ms(i64::try_from(at.ms()).unwrap_or(i64::MAX))
}
