//! The bench's app: functions that cost nothing, and clocks on every call.

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use stepwell_protocol::StepId;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Steps of the functions that have any.
pub(crate) const STEPS: usize = 10;

/// The app's functions and their events.
pub(crate) const FUNCTIONS: [(&str, &str); 6] = [
    ("none", "bench/none"),
    ("sequential", "bench/sequential"),
    ("parallel", "bench/parallel"),
    ("waiting", "bench/waiting"),
    ("sleeping", "bench/sleeping"),
    ("probe", "bench/probe"),
];
/// The event that waiting functions wait for.
pub(crate) const AWAITED: &str = "bench/awaited";

/// The app, listening.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) url: String,
    pub(crate) seen: Arc<Seen>,
}

/// What the app has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    returned: AtomicU64,
    steps: AtomicU64,
    changed: Notify,
    /// Functions that wait for something and were told so.
    parked: AtomicU64,
    /// When calls came and were answered, while someone wants to know.
    times: Mutex<Option<Vec<(Instant, Instant)>>>,
    /// When calls of the probe came.
    probed: Mutex<Vec<Instant>>,
}

impl Seen {
    pub(crate) fn returned(&self) -> u64 {
        self.returned.load(Ordering::SeqCst)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    pub(crate) fn parked(&self) -> u64 {
        self.parked.load(Ordering::SeqCst)
    }

    /// Waits until this many functions have been told to wait.
    pub(crate) async fn until_parked(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.parked() >= count {
                return;
            }
            changed.await;
        }
    }

    /// When calls of the probe came, since this was last asked.
    pub(crate) fn take_probed(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.probed.lock().expect("no holder panics"))
    }

    /// Waits until this many functions have returned.
    pub(crate) async fn until_returned(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.returned() >= count {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn record_times(&self) {
        *self.times.lock().expect("no holder panics") = Some(Vec::new());
    }

    pub(crate) fn take_times(&self) -> Vec<(Instant, Instant)> {
        self.times
            .lock()
            .expect("no holder panics")
            .take()
            .unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Call {
    ctx: Standing,
}

#[derive(Deserialize)]
struct Standing {
    step_id: String,
    stack: Stack,
}

#[derive(Deserialize)]
struct Stack {
    #[serde(default)]
    stack: Vec<serde::de::IgnoredAny>,
}

impl App {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/api/inngest", listener.local_addr()?);
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Without it the answer is only later.
                stream.set_nodelay(true).unwrap_or_default();
                let seen = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
                    // The server closes connections as it likes.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .unwrap_or_default();
                });
            }
        });
        Ok(Self { url, seen })
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let came = Instant::now();
    let query = request.uri().query().unwrap_or("").to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let Call { ctx } = serde_json::from_slice(&body).context("the call is not one")?;
    let ended = ctx.stack.stack.len();
    let (status, body) = if query.contains("bench-sequential") && ended < STEPS {
        seen.steps.fetch_add(1, Ordering::SeqCst);
        (
            StatusCode::PARTIAL_CONTENT,
            step_run(&StepId::of("step", ended).to_string()),
        )
    } else if query.contains("bench-parallel") && ctx.step_id != "step" {
        seen.steps.fetch_add(1, Ordering::SeqCst);
        (StatusCode::PARTIAL_CONTENT, step_run(&ctx.step_id))
    } else if query.contains("bench-parallel") && ended == 0 {
        let ops: Vec<_> = (0..STEPS)
            .map(|index| json!({"op": "StepPlanned", "id": StepId::of("step", index), "name": "step"}))
            .collect();
        (StatusCode::PARTIAL_CONTENT, serde_json::to_string(&ops)?)
    } else if query.contains("bench-waiting") && ended == 0 {
        let op = json!([{"op": "WaitForEvent", "id": StepId::of("wait", 0), "name": AWAITED,
            "displayName": "wait", "opts": {"event": AWAITED, "timeout": "1h"}}]);
        (StatusCode::PARTIAL_CONTENT, op.to_string())
    } else if query.contains("bench-sleeping") && ended == 0 {
        let op = json!([{"op": "Sleep", "id": StepId::of("nap", 0), "name": "24h",
            "displayName": "nap"}]);
        (StatusCode::PARTIAL_CONTENT, op.to_string())
    } else {
        (StatusCode::OK, "\"done\"".to_owned())
    };
    let parks = (query.contains("bench-waiting") || query.contains("bench-sleeping")) && ended == 0;
    if query.contains("bench-probe") {
        seen.probed.lock().expect("no holder panics").push(came);
    }
    let returned = status == StatusCode::OK;
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-inngest-sdk", "inngest-bench:v0.1.0")
        .header("x-inngest-req-version", "2")
        .body(Full::new(Bytes::from(body)))?;
    if let Some(times) = &mut *seen.times.lock().expect("no holder panics") {
        times.push((came, Instant::now()));
    }
    if parks {
        seen.parked.fetch_add(1, Ordering::SeqCst);
        seen.changed.notify_waiters();
    }
    if returned {
        seen.returned.fetch_add(1, Ordering::SeqCst);
        seen.changed.notify_waiters();
    }
    Ok(response)
}

fn step_run(id: &str) -> String {
    format!(
        r#"[{{"op":"StepRun","id":"{id}","name":"step","displayName":"step","data":{{"ok":true}}}}]"#
    )
}
