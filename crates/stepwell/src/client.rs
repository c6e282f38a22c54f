//! The client: sends events, and speaks to a server's API for the app.

mod api;
mod checkpoint;
mod sink;

pub use api::ApiError;
pub(crate) use api::LocalApi;
pub(crate) use api::refused as api_refused;
pub(crate) use checkpoint::{Checkpoint, CheckpointError};
pub(crate) use sink::percent_encoded;
pub use sink::{EventBatch, EventSink, SendError};

use crate::config::{Config, ConfigError, Mode};
use crate::event::OutgoingEvent;
use crate::execution::current_step;
use crate::http_client::HttpClient;
use crate::middleware::{Middleware, RunInfo, Stack};
use crate::moment::{Clock, SystemClock};
use sink::HttpSink;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use stepwell_protocol::event::IdSeed;
use stepwell_protocol::{EventId, RunId, StepId, limits};

/// The most bytes of one request with events. Each event is within its own limit; a request of several keeps to
/// this, so that no server or proxy on the way has to hold much.
const BATCH_BYTES_MAX: usize = limits::EVENT_BYTES_MAX;

/// An app's client: sends its events, and knows where its server is. Cloning shares it.
///
/// ```no_run
/// # use stepwell::{Client, OutgoingEvent};
/// # async fn send() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::from_env("shop")?;
/// let event = OutgoingEvent::untyped("shop/order.placed", serde_json::json!({"orderId": "o-1"}));
/// let id = client.send(event).await?;
/// println!("sent as {id}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    app_id: String,
    config: Config,
    http: Arc<dyn HttpClient>,
    sink: Arc<dyn EventSink>,
    /// What stands in for a server's API, when the engine is in this process.
    local: Option<Arc<dyn LocalApi>>,
    clock: Arc<dyn Clock>,
    middleware: Stack,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("app_id", &self.0.app_id)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Client`].
pub struct ClientBuilder {
    app_id: String,
    config: Config,
    http: Option<Arc<dyn HttpClient>>,
    sink: Option<Arc<dyn EventSink>>,
    clock: Arc<dyn Clock>,
    middleware: Stack,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientBuilder")
            .field("app_id", &self.app_id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The origin of both APIs.
    #[must_use]
    pub fn base_url(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into().trim_end_matches('/').to_owned();
        self.config.event_url.clone_from(&origin);
        self.config.api_url = origin;
        self
    }

    /// The event key.
    #[must_use]
    pub fn event_key(mut self, key: impl Into<String>) -> Self {
        self.config.event_key = Some(key.into());
        self
    }

    /// The signing key; also turns verification on.
    #[must_use]
    pub fn signing_key(mut self, key: impl Into<String>) -> Self {
        self.config.signing_key = Some(stepwell_protocol::signing::SigningKey::new(key));
        self.config.mode = Mode::Cloud;
        self
    }

    /// A second signing key, for the time while keys are exchanged.
    #[must_use]
    pub fn signing_key_fallback(mut self, key: impl Into<String>) -> Self {
        self.config.signing_key_fallback = Some(stepwell_protocol::signing::SigningKey::new(key));
        self
    }

    /// Sends requests with this instead of reqwest.
    #[must_use]
    pub fn http_client(mut self, http: impl HttpClient) -> Self {
        self.http = Some(Arc::new(http));
        self
    }

    /// Hands events to this instead of a server's event API.
    #[must_use]
    pub fn event_sink(mut self, sink: impl EventSink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds middleware, for sends and for all functions of the app.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware = self.middleware.with(Arc::new(middleware));
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        let http = self.http.unwrap_or_else(default_http);
        let sink = self.sink.unwrap_or_else(|| {
            Arc::new(HttpSink::new(
                Arc::clone(&http),
                Arc::clone(&self.clock),
                self.config.clone(),
            ))
        });
        Client(Arc::new(Inner {
            app_id: self.app_id,
            config: self.config,
            http,
            sink,
            local: None,
            clock: self.clock,
            middleware: self.middleware,
        }))
    }
}

#[cfg(feature = "client")]
fn default_http() -> Arc<dyn HttpClient> {
    Arc::new(crate::http_client::Reqwest::default())
}

#[cfg(not(feature = "client"))]
fn default_http() -> Arc<dyn HttpClient> {
    Arc::new(crate::http_client::NoHttp)
}

impl Client {
    /// A client of the app `app_id`, with a configuration.
    pub fn builder(app_id: impl Into<String>, config: Config) -> ClientBuilder {
        ClientBuilder {
            app_id: app_id.into(),
            config,
            http: None,
            sink: None,
            clock: Arc::new(SystemClock),
            middleware: Stack::default(),
        }
    }

    /// A client of the app `app_id`, configured by the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with the variable that is unusable.
    pub fn from_env(app_id: impl Into<String>) -> Result<Self, ConfigError> {
        Ok(Self::builder(app_id, Config::from_env()?).build())
    }

    /// A client of the app `app_id` for a development server on this machine.
    pub fn dev(app_id: impl Into<String>) -> Self {
        Self::builder(app_id, Config::dev()).build()
    }

    /// The same client, with events handed to `sink`.
    #[must_use]
    pub fn with_event_sink(&self, sink: impl EventSink) -> Self {
        let local = self.0.local.clone();
        self.with(Arc::new(sink), local, Arc::clone(&self.0.clock))
    }

    pub(crate) fn with(
        &self,
        sink: Arc<dyn EventSink>,
        local: Option<Arc<dyn LocalApi>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            app_id: self.0.app_id.clone(),
            config: self.0.config.clone(),
            http: Arc::clone(&self.0.http),
            sink,
            local,
            clock,
            middleware: self.0.middleware.clone(),
        }))
    }

    #[cfg(test)]
    pub(crate) fn with_local(&self, local: Arc<dyn LocalApi>) -> Self {
        self.with(
            Arc::clone(&self.0.sink),
            Some(local),
            Arc::clone(&self.0.clock),
        )
    }

    /// The app's id.
    #[must_use]
    pub fn app_id(&self) -> &str {
        &self.0.app_id
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn middleware(&self) -> &Stack {
        &self.0.middleware
    }

    #[cfg(feature = "realtime")]
    pub(crate) fn local(&self) -> Option<&dyn LocalApi> {
        self.0.local.as_deref()
    }

    /// Whether the engine is in this process.
    pub(crate) fn is_local(&self) -> bool {
        self.0.local.is_some()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Sends an event and returns the server's id of it. When this returns, the event is with the server.
    ///
    /// A send that gets no answer is tried five times, under one id: it is received once.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, event: impl Into<OutgoingEvent>) -> Result<EventId, SendError> {
        let ids = self.send_all([event]).await?;
        ids.first().copied().ok_or(SendError::Answer {
            reason: "no id for the event".to_owned(),
        })
    }

    /// Sends events, in as few requests as the protocol's limits allow; returns the server's ids in their
    /// order. All are checked before the first is sent.
    ///
    /// The code of a step that sends the same events in each of its attempts sends them once: their ids are made of the run, the step
    /// and what is sent. What differs from attempt to attempt, such as the time of day in the data, is another event;
    /// [`Step::send_event`](crate::Step::send_event) sends one event whatever it holds, and so does an
    /// [id](OutgoingEvent::id) of your own. Code that a step spawns is not the step's.
    ///
    /// # Errors
    /// [`SendError`]; earlier requests of the same call may have been taken.
    pub async fn send_all<I>(&self, events: I) -> Result<Vec<EventId>, SendError>
    where
        I: IntoIterator<Item: Into<OutgoingEvent>>,
    {
        let mut events: Vec<OutgoingEvent> = events.into_iter().map(Into::into).collect();
        let step = current_step();
        if let Some(step) = &step {
            self.tie(&mut events, step.sessions());
        }
        let (millis, entropy) = match step.and_then(|step| step.seed_of(&events)) {
            Some((run, entropy)) => (run.timestamp_ms(), entropy),
            None => {
                let now_ms = u64::try_from(self.0.clock.now().unix_ms()).unwrap_or_default();
                (now_ms, crate::random::bytes())
            }
        };
        self.send_seeded(&self.0.middleware, events, millis, entropy)
            .await
    }

    /// Sends from a step: each attempt under the same ids.
    pub(crate) async fn send_from_step(
        &self,
        run: &RunInfo,
        step: &StepId,
        middleware: &Stack,
        mut events: Vec<OutgoingEvent>,
        sessions: &BTreeMap<String, String>,
    ) -> Result<Vec<EventId>, crate::Error> {
        self.tie(&mut events, sessions);
        let (millis, entropy) = seed_of_step(run.run_id, step);
        self.send_seeded(middleware, events, millis, entropy)
            .await
            .map_err(|error| {
                let is_final = matches!(error, SendError::Event(_) | SendError::NoEventKey);
                let error = crate::Error::from(error);
                if is_final {
                    error.non_retriable()
                } else {
                    error
                }
            })
    }

    /// Ties events to the sessions of the run that sends them.
    fn tie(&self, events: &mut [OutgoingEvent], sessions: &BTreeMap<String, String>) {
        if self.config().session_propagation && !sessions.is_empty() {
            for event in events {
                event.inherit(sessions);
            }
        }
    }

    async fn send_seeded(
        &self,
        middleware: &Stack,
        mut events: Vec<OutgoingEvent>,
        millis: u64,
        entropy: [u8; 10],
    ) -> Result<Vec<EventId>, SendError> {
        middleware
            .transform_send(&mut events)
            .map_err(|error| SendError::Middleware(error.into_boxed()))?;
        if middleware.is_empty() {
            return self.send_rendered(events, millis, entropy).await;
        }
        let sent = self.send_rendered(events.clone(), millis, entropy);
        middleware.wrap_send(&events, Box::pin(sent)).await
    }

    async fn send_rendered(
        &self,
        events: Vec<OutgoingEvent>,
        millis: u64,
        entropy: [u8; 10],
    ) -> Result<Vec<EventId>, SendError> {
        let now = self.0.clock.now();
        let mut rendered = Vec::with_capacity(events.len());
        for event in events {
            rendered.push(event.render(now)?);
        }
        let mut ids = Vec::with_capacity(rendered.len());
        for (number, events) in split(rendered).into_iter().enumerate() {
            let seed = seed_of_batch(millis, entropy, number);
            let batch = EventBatch { events, seed };
            ids.extend(self.0.sink.send(batch).await?);
        }
        Ok(ids)
    }
}

/// What the ids of a step's events are made of.
fn seed_of_step(run: RunId, step: &StepId) -> (u64, [u8; 10]) {
    let StepId::Hash(hash) = StepId::of(&format!("{run}/{step}"), 0) else {
        unreachable!("a hash is made");
    };
    let mut entropy = [0; 10];
    entropy.copy_from_slice(&hash[..10]);
    (run.timestamp_ms(), entropy)
}

/// A seed of its own for each request: the server counts on from it.
fn seed_of_batch(millis: u64, mut entropy: [u8; 10], number: usize) -> IdSeed {
    entropy[0] ^= u8::try_from(number % 256).expect("the remainder is a byte");
    entropy[1] ^= u8::try_from(number / 256 % 256).expect("the remainder is a byte");
    IdSeed::new(millis, entropy)
}

/// The events that a step has sent, in their order: looks up ids until there is no event.
#[cfg(feature = "testing")]
pub(crate) fn events_of_step<T, E>(
    run: RunId,
    step: &StepId,
    find: impl Fn(EventId) -> Result<Option<T>, E>,
) -> Result<Vec<T>, E> {
    let (millis, entropy) = seed_of_step(run, step);
    let mut found = Vec::new();
    for number in 0.. {
        let (seed, before) = (seed_of_batch(millis, entropy, number), found.len());
        for index in 0..limits::EVENTS_PER_REQUEST_MAX {
            match find(seed.event_id(index))? {
                Some(event) => found.push(event),
                None => break,
            }
        }
        if found.len() == before {
            break;
        }
    }
    Ok(found)
}

/// Splits events into requests, in order.
fn split(events: Vec<String>) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        bytes += event.len() + 1;
        match batches.last_mut() {
            Some(batch)
                if batch.len() < limits::EVENTS_PER_REQUEST_MAX && bytes <= BATCH_BYTES_MAX =>
            {
                batch.push(event);
            }
            _ => {
                bytes = event.len() + 1;
                batches.push(vec![event]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests;
