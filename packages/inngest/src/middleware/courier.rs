//! Takes reports to a service, behind the back of the runs that they are of.
//!
//! A report is put in a queue, and a task of the courier's own delivers one after another. So a service that is slow or
//! away never holds up a run: when the queue is full, further reports are dropped, counted and logged.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use stepwell::Moment;
use stepwell::middleware::ErrorReport;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Reports that wait; at some 10 kB each, this bounds the memory.
pub(super) const QUEUE_MAX: usize = 1000;

/// Bytes of a text that are reported: messages and stacks may be of any length.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The same for each text of a cause, of which there are several.
const CAUSE_TEXT_BYTES_MAX: usize = 4 * 1024;

/// Causes of causes that are reported; chains are hardly ever longer, and may go round in circles.
const CAUSES_MAX: usize = 10;

/// What ids of reports are made in. It must never change: services know reports by them.
const REPORTS: uuid::Uuid = uuid::Uuid::from_u128(0x6d3c_8f1e_52a7_4b09_9e64_0c7d_b1f8_2a35);

/// One request, from connecting to the answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How a report is delivered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Reports that wait.
    pub(super) queue_max: usize,
    /// Requests for one report.
    pub(super) attempts_max: u32,
    /// Before the second request; each next wait is twice as long.
    pub(super) wait_first: Duration,
    /// No wait is longer, whatever a service asks for.
    pub(super) wait_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            queue_max: QUEUE_MAX,
            attempts_max: 5,
            wait_first: Duration::from_secs(1),
            wait_max: Duration::from_secs(60),
        }
    }
}

/// What became of one request.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The service has it.
    Done,
    /// Another request may succeed, after this long if the service said so.
    Again {
        why: String,
        after: Option<Duration>,
    },
    /// No other will.
    Refused { why: String },
}

/// A service that reports are taken to.
pub(super) trait Service: Send + Sync + 'static {
    /// What it is called in logs; no secrets.
    fn name(&self) -> &str;
    /// Makes one request.
    fn deliver(&mut self, letter: &Letter) -> impl Future<Output = Delivery> + Send;
}

/// A report on its way.
#[derive(Debug)]
pub(super) struct Letter {
    /// Tells it from all others, however often it is sent, and by whichever process.
    pub(super) id: uuid::Uuid,
    pub(super) at: Moment,
    pub(super) report: ErrorReport,
}

/// How many reports went which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliveries {
    /// The service has them.
    pub delivered: u64,
    /// It will not get them: the queue was full, it refused them, it stayed away, or the program ended.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    dropped: AtomicU64,
    /// Into the queue.
    taken: AtomicU64,
    /// Out of it, whatever became of them.
    done: AtomicU64,
}

/// The sending end, which reporters share by cloning.
#[derive(Debug, Clone)]
pub(super) struct Courier(Arc<Office>);

#[derive(Debug)]
struct Office {
    name: String,
    counts: Arc<Counts>,
    /// Nothing waits for a service any more.
    hurries: Arc<AtomicBool>,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<Letter>,
    task: JoinHandle<()>,
}

impl Courier {
    /// Starts the task, on the current tokio runtime.
    pub(super) fn start(service: impl Service, patience: Patience) -> Self {
        let (queue, letters) = mpsc::channel(patience.queue_max);
        let counts = Arc::<Counts>::default();
        let hurries = Arc::<AtomicBool>::default();
        let name = service.name().to_owned();
        let round = Round {
            service,
            patience,
            counts: Arc::clone(&counts),
            hurries: Arc::clone(&hurries),
        };
        let task = tokio::spawn(round.deliver_all(letters));
        Self(Arc::new(Office {
            name,
            counts,
            hurries,
            open: Mutex::new(Some(Open { queue, task })),
        }))
    }

    /// Takes a report if there is room.
    pub(super) fn post(&self, report: ErrorReport) {
        let letter = Letter {
            id: id_of(&report),
            at: std::time::SystemTime::now().into(),
            report: shortened(report),
        };
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let posted = match &*open {
            Some(open) => open.queue.try_send(letter).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => "too many wait already",
                mpsc::error::TrySendError::Closed(_) => "its task has ended",
            }),
            None => Err("it is closed"),
        };
        // Before the queue can be closed, which looks at what it has taken.
        let taken = u64::from(posted.is_ok());
        self.0.counts.taken.fetch_add(taken, Ordering::Relaxed);
        drop(open);
        match posted {
            Ok(()) => {}
            Err(why) => dropped(&self.0.name, &self.0.counts, 1, why),
        }
    }

    /// Takes no more reports and delivers those that wait, each with one request more; what is left after `limit` is
    /// dropped.
    pub(super) async fn close(&self, limit: Duration) -> Deliveries {
        let open = self
            .0
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Open { queue, mut task }) = open {
            self.0.hurries.store(true, Ordering::Relaxed);
            drop(queue);
            if tokio::time::timeout(limit, &mut task).await.is_err() {
                task.abort();
                // It may have counted one more before it stopped.
                let _ = task.await;
            }
            let counts = &self.0.counts;
            let taken = counts.taken.load(Ordering::Relaxed);
            let left = taken.saturating_sub(counts.done.load(Ordering::Relaxed));
            if left > 0 {
                dropped(&self.0.name, counts, left, "the program ends");
            }
        }
        self.deliveries()
    }

    pub(super) fn deliveries(&self) -> Deliveries {
        let counts = &self.0.counts;
        Deliveries {
            delivered: counts.delivered.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        }
    }
}

/// Counts reports that nobody gets. They are logged more and more rarely, for they come in floods.
fn dropped(service: &str, counts: &Counts, reports: u64, why: &str) {
    let before = counts.dropped.fetch_add(reports, Ordering::Relaxed);
    let total = before + reports;
    if before == 0 || before.ilog2() != total.ilog2() {
        tracing::warn!(service, total, "error reports are dropped: {why}");
    }
}

/// The task.
struct Round<S> {
    service: S,
    patience: Patience,
    counts: Arc<Counts>,
    hurries: Arc<AtomicBool>,
}

impl<S: Service> Round<S> {
    async fn deliver_all(mut self, mut letters: mpsc::Receiver<Letter>) {
        while let Some(letter) = letters.recv().await {
            match self.deliver(&letter).await {
                Ok(()) => {
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                }
                Err(why) => dropped(self.service.name(), &self.counts, 1, &why),
            }
            self.counts.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn deliver(&mut self, letter: &Letter) -> Result<(), String> {
        let mut wait = self.patience.wait_first;
        let mut attempt = 1;
        loop {
            let is_last = self.hurries.load(Ordering::Relaxed);
            let (why, after) = match self.service.deliver(letter).await {
                Delivery::Done => return Ok(()),
                Delivery::Refused { why } => return Err(why),
                Delivery::Again { why, after } => (why, after),
            };
            if is_last || attempt >= self.patience.attempts_max {
                return Err(why);
            }
            tracing::debug!(
                service = self.service.name(),
                attempt,
                "an error report is sent again: {why}"
            );
            self.rest(after.unwrap_or(wait).min(self.patience.wait_max))
                .await;
            wait = wait.saturating_mul(2);
            attempt += 1;
        }
    }

    /// Waits, in pieces: closing does not wait for a wait.
    async fn rest(&self, wait: Duration) {
        const PIECE: Duration = Duration::from_millis(50);
        let until = tokio::time::Instant::now() + wait;
        while !self.hurries.load(Ordering::Relaxed) && tokio::time::Instant::now() < until {
            tokio::time::sleep_until(until.min(tokio::time::Instant::now() + PIECE)).await;
        }
    }
}

fn shortened(mut report: ErrorReport) -> ErrorReport {
    shorten(&mut report.error.message);
    if let Some(stack) = &mut report.error.stack {
        shorten(stack);
    }
    report.error.cause = report.error.cause.and_then(|cause| bounded(cause, 1));
    // Attached values are the function's own business, and may be anything.
    report.error.data = None;
    report.error.more.clear();
    report
}

/// What is known of a cause as of an error, shortened. What is neither an error nor a text is anybody's guess, like attached
/// values, and left out.
fn bounded(cause: Value, depth: usize) -> Option<Value> {
    if depth > CAUSES_MAX {
        return None;
    }
    match cause {
        Value::String(mut text) => {
            shorten_to(&mut text, CAUSE_TEXT_BYTES_MAX);
            Some(Value::String(text))
        }
        Value::Object(mut error) if error.get("message").is_some_and(Value::is_string) => {
            let mut kept = serde_json::Map::new();
            for key in ["name", "message", "stack"] {
                if let Some(Value::String(mut text)) = error.remove(key) {
                    shorten_to(&mut text, CAUSE_TEXT_BYTES_MAX);
                    kept.insert(key.to_owned(), Value::String(text));
                }
            }
            let next = error.remove("cause");
            if let Some(next) = next.and_then(|next| bounded(next, depth + 1)) {
                kept.insert("cause".to_owned(), next);
            }
            Some(Value::Object(kept))
        }
        _ => None,
    }
}

/// The same for the same failure, so that a report that is made again is known again.
fn id_of(report: &ErrorReport) -> uuid::Uuid {
    // Lengths keep texts apart, whatever is in them.
    let step = report.step.as_deref().unwrap_or_default();
    let name = format!(
        "{}/{}:{}/{}:{step}/{}",
        report.run_id,
        report.function_id.len(),
        report.function_id,
        step.len(),
        report.attempt
    );
    uuid::Uuid::new_v5(&REPORTS, name.as_bytes())
}

fn shorten(text: &mut String) {
    shorten_to(text, TEXT_BYTES_MAX);
}

fn shorten_to(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
}

/// A client for requests to the operator's own choice of service, wherever it is.
pub(super) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        // A secret goes to the service that it is for, and nowhere that it points to.
        .redirect(Policy::none())
        .user_agent(USER_AGENT)
        .build()
}

pub(super) const USER_AGENT: &str = concat!("studio233/", env!("CARGO_PKG_VERSION"));

/// What an answer without success, or no answer, means for the report.
pub(super) fn judged(answer: Result<reqwest::Response, reqwest::Error>) -> Delivery {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // The URL may hold a secret.
            let error = error.without_url();
            let why = match error.is_timeout() {
                true => format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
                false => format!("it cannot be reached: {}", chain(&error)),
            };
            return Delivery::Again { why, after: None };
        }
    };
    let status = answer.status();
    if status.is_success() {
        return Delivery::Done;
    }
    let why = format!("it answered {}", status.as_u16());
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        let after = retry_after(answer.headers());
        return Delivery::Again { why, after };
    }
    Delivery::Refused { why }
}

/// The header `Retry-After`: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let then = text.parse::<Moment>().ok()?.unix_ms();
    let now = Moment::from(std::time::SystemTime::now()).unix_ms();
    u64::try_from(then - now).ok().map(Duration::from_millis)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::collector::report;
    use serde_json::json;

    #[test]
    fn a_failure_has_one_id_and_others_have_others() {
        let first = report("no network");
        assert_eq!(id_of(&first), id_of(&report("told again in other words")));
        let mut others = [first.clone(), first.clone(), first.clone()];
        others[0].attempt += 1;
        others[1].step = None;
        others[2].function_id = "studio-233-other".to_owned();
        for other in &others {
            assert_ne!(id_of(other), id_of(&first));
        }
    }

    #[test]
    fn causes_are_reported_within_bounds() {
        let long = "é".repeat(CAUSE_TEXT_BYTES_MAX);
        let mut cause = json!({"message": long, "name": "E", "token": "secret"});
        for _ in 0..100 {
            cause =
                json!({"message": long, "cause": cause, "request": {"authorization": "secret"}});
        }
        let mut failure = report("no network");
        failure.error.cause = Some(cause);
        let cause = shortened(failure).error.cause.unwrap();
        let text = cause.to_string();
        assert!(text.len() <= CAUSES_MAX * (CAUSE_TEXT_BYTES_MAX + 100));
        assert_eq!(text.matches("message").count(), CAUSES_MAX);
        assert!(!text.contains("secret"), "{text}");
        let mut failure = report("no network");
        failure.error.cause = Some(json!({"headers": {"authorization": "secret"}}));
        assert_eq!(shortened(failure).error.cause, None);
    }
}
