//! The tracer: tells an OpenTelemetry collector of runs that have ended, as a trace each.
//!
//! A run's trace is made of its history once, when it has ended, and carries no payload. Nobody waits for a collector: runs that
//! it has not heard of wait in a bounded queue, and those beyond are dropped and counted.

mod spans;

use crate::tracer::spans::spans_of;
use axum::http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, ResponseBodyTooLarge};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::RunId;
use stepwell_runtime::{Handle, News};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Ended runs that wait to be told: half a minute of a busy server.
const RUNS_MAX: usize = 65_536;
/// Runs whose histories are read at once, and told together.
const BATCH_RUNS: usize = 256;
/// Spans of one request to the collector, but for those of a run that begins below.
const BATCH_SPANS_MAX: usize = 4_096;
/// How long the first of a batch waits for others.
const GATHERING: Duration = Duration::from_millis(500);
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a collector that has failed is left alone, at first and at most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// The most that is read of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where traces go.
#[derive(Debug, Clone)]
pub struct TracerOptions {
    /// The collector's URL for OTLP over HTTP, e.g. `http://localhost:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// What the server is called there, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says otherwise.
    pub service: String,
}

/// There is no tracer.
#[derive(Debug, thiserror::Error)]
pub enum TracerError {
    /// The endpoint is no place to send anything to.
    #[error("the collector's URL must be http or https, without a user or password")]
    Endpoint,
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client")]
    Client(#[from] reqwest::Error),
    /// The exporter does not take its settings, which are partly those of `OTEL_EXPORTER_OTLP_…`.
    #[error("the exporter of traces cannot be set up: {0}")]
    Exporter(String),
}

/// What a tracer counts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TraceCounts {
    exported: Counter,
    dropped: Counter,
}

impl TraceCounts {
    /// Traces of runs that a collector has taken.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.get()
    }

    /// Traces of runs that no collector has taken.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Traces of runs that a collector has taken";
        registry.register("traces_exported", help, self.exported.clone());
        let help = "Traces of runs that no collector has taken";
        registry.register("traces_dropped", help, self.dropped.clone());
    }
}

/// Tells a collector of runs that have ended, until told to stop.
#[derive(Debug)]
pub struct Tracer {
    news: broadcast::Receiver<Arc<News>>,
    teller: Teller,
}

/// The end of it that talks to the collector.
#[derive(Debug)]
struct Teller {
    handle: Handle,
    exporter: SpanExporter,
    counts: TraceCounts,
    health: Health,
}

/// How the collector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// It failed, and is not asked again before.
    Ill {
        rest: Duration,
        until: Instant,
    },
}

impl Tracer {
    /// A tracer of this engine's runs that end from now on. It says nothing before it runs, which must be soon.
    ///
    /// # Errors
    /// [`TracerError`].
    pub fn new(handle: Handle, options: &TracerOptions) -> Result<Self, TracerError> {
        let endpoint = endpoint(&options.endpoint).ok_or(TracerError::Endpoint)?;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(client))
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| TracerError::Exporter(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let mut resource = Resource::builder().with_attribute(version);
        // What the environment says of it, or a name that says that it says nothing.
        let name = Resource::builder().build().get(&"service.name".into());
        if name.is_none_or(|name| name.as_str().starts_with("unknown_service")) {
            resource = resource.with_service_name(options.service.clone());
        }
        exporter.set_resource(&resource.build());
        Ok(Self {
            news: handle.watch(),
            teller: Teller {
                handle,
                exporter,
                counts: TraceCounts::default(),
                health: Health::Well,
            },
        })
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> TraceCounts {
        self.teller.counts.clone()
    }

    /// Tells of runs until `stop`, and then of those that have ended by then; whoever stops it waits no longer than it likes.
    pub async fn run(self, stop: CancellationToken) {
        let (queue, mut ended) = mpsc::channel(RUNS_MAX);
        let Self { news, mut teller } = self;
        let listener = listen(news, queue, teller.counts.clone(), stop.clone());
        let listener = tokio::spawn(listener);
        while let Some(run) = ended.recv().await {
            let mut runs = VecDeque::from([run]);
            if !stop.is_cancelled() {
                tokio::select! {
                    () = tokio::time::sleep(GATHERING) => {}
                    () = stop.cancelled() => {}
                }
            }
            while runs.len() < BATCH_RUNS
                && let Ok(run) = ended.try_recv()
            {
                runs.push_back(run);
            }
            while !runs.is_empty() {
                runs = teller.tell(runs, &stop).await;
            }
        }
        listener.abort();
    }
}

impl Teller {
    /// Tells of some of these runs; returns the others.
    async fn tell(
        &mut self,
        mut runs: VecDeque<RunId>,
        stop: &CancellationToken,
    ) -> VecDeque<RunId> {
        if let Health::Ill { until, .. } = self.health {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = stop.cancelled() => {}
            }
        }
        let count = runs.len();
        let read = self.handle.read(move |reader| {
            let (mut spans, mut told) = (Vec::new(), 0);
            while spans.len() < BATCH_SPANS_MAX
                && let Some(run) = runs.pop_front()
            {
                match spans_of(reader, run, &mut spans) {
                    Ok(true) => told += 1,
                    Ok(false) => tracing::debug!(%run, "a run is gone that was to be traced"),
                    Err(error) => tracing::warn!(%run, %error, "cannot read a run to trace"),
                }
            }
            Ok((spans, told, runs))
        });
        let (spans, told, others) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "cannot read runs to trace");
                self.counts.dropped.inc_by(count as u64);
                return VecDeque::new();
            }
        };
        let lost = count - others.len() - told;
        self.counts.dropped.inc_by(lost as u64);
        if spans.is_empty() {
            // The collector has no part in it.
            return others;
        }
        match self.export(spans).await {
            Ok(()) => {
                self.counts.exported.inc_by(told as u64);
                self.is_well();
            }
            Err(error) => {
                self.counts.dropped.inc_by(told as u64);
                self.is_ill(&error);
            }
        }
        others
    }

    async fn export(&self, spans: Vec<SpanData>) -> Result<(), String> {
        // The exporter tries again by itself, up to its timeout; this is for the case that it does not keep it.
        match tokio::time::timeout(2 * PATIENCE, self.exporter.export(spans)).await {
            Ok(exported) => exported.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }

    fn is_well(&mut self) {
        if self.health != Health::Well {
            let dropped = self.counts.dropped.get();
            tracing::info!(dropped, "the collector of traces answers again");
            self.health = Health::Well;
        }
    }

    /// Says so once, until it is well again.
    fn is_ill(&mut self, error: &str) {
        let rest = match self.health {
            Health::Well => {
                tracing::warn!(
                    error,
                    "the collector does not take traces; they are dropped until it does"
                );
                REST
            }
            Health::Ill { rest, .. } => (rest * 2).min(REST_MAX),
        };
        let until = Instant::now() + rest;
        self.health = Health::Ill { rest, until };
    }
}

/// Puts runs that end in a queue, or counts them when that is full.
async fn listen(
    mut news: broadcast::Receiver<Arc<News>>,
    queue: mpsc::Sender<RunId>,
    counts: TraceCounts,
    stop: CancellationToken,
) {
    loop {
        // First whatever has been told: when the tracer stops, that is told on.
        let told = tokio::select! {
            biased;
            told = news.recv() => told,
            () = stop.cancelled() => return,
        };
        match told.as_deref() {
            Ok(News::Ended { run, .. }) => {
                if queue.try_send(*run).is_err() {
                    counts.dropped.inc();
                }
            }
            Ok(_) => {}
            // Which of them were ends nobody knows.
            Err(RecvError::Lagged(missed)) => {
                counts.dropped.inc_by(*missed);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Where traces are sent, below a collector's URL.
fn endpoint(base: &str) -> Option<String> {
    let url = Url::parse(base.trim()).ok()?;
    let well = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    well.then(|| format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
}

/// The client that the server uses everywhere, for the exporter.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let mut answer = self.0.execute(request).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(ResponseBodyTooLarge::new().into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(response.body(body.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn traces_go_below_the_collectors_url() {
        for (base, expected) in [
            (
                "http://localhost:4318",
                Some("http://localhost:4318/v1/traces"),
            ),
            (
                "https://otel.example/in/ ",
                Some("https://otel.example/in/v1/traces"),
            ),
            ("localhost:4318", None),
            ("grpc://localhost:4317", None),
            ("http://me:secret@localhost", None),
        ] {
            assert_eq!(endpoint(base).as_deref(), expected, "{base}");
        }
    }
}
