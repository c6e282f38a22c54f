//! What all routes share.

use crate::access::{EventKeys, MetricsToken};
use crate::apps::Apps;
use crate::body::Room;
use crate::connect::Gateway;
use crate::endings::Endings;
use crate::metrics;
use crate::realtime::Hub;
use crate::tracer::TraceCounts;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use stepwell_protocol::signing::SigningKey;
use stepwell_protocol::token::TokenKey;
use stepwell_runtime::Handle;

/// How the server presents itself to SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// For development: SDKs do not verify its calls.
    Dev,
    /// For production: SDKs insist on keys.
    Cloud,
}

impl ServerKind {
    /// The name in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Cloud => "cloud",
        }
    }
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// How the server presents itself.
    pub kind: ServerKind,
    /// Who may send events.
    pub event_keys: EventKeys,
    /// What opens the rest of the API; without one it is open.
    pub signing_key: Option<SigningKey>,
    /// Where workers connect, if they may; its invoker is to be among the engine's.
    pub connect: Option<Gateway>,
    /// What opens it as well, while keys are being changed.
    pub signing_key_fallback: Option<SigningKey>,
    /// What opens the metrics beside the signing key.
    pub metrics_token: Option<MetricsToken>,
    /// What a tracer counts, if there is one.
    pub traces: Option<TraceCounts>,
    /// Connections at once, as [`crate::ConnectionLimits`] has it: subscribers get up to half of them, requests that wait for the
    /// end of a run a quarter.
    pub connections_max: usize,
    /// What is known of apps; to be shared with the poller.
    pub apps: Apps,
}

impl ServerOptions {
    /// A development server: every event key is good, and nothing is locked.
    #[must_use]
    pub fn dev() -> Self {
        Self {
            kind: ServerKind::Dev,
            event_keys: EventKeys::Any,
            signing_key: None,
            connect: None,
            signing_key_fallback: None,
            metrics_token: None,
            traces: None,
            connections_max: crate::ConnectionLimits::default().connections_max,
            apps: Apps::default(),
        }
    }
}

/// What all routes share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) handle: Handle,
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) room: Room,
    pub(crate) tokens: TokenKey,
    pub(crate) endings: Endings,
    pub(crate) hub: Arc<Hub>,
    /// What is counted as it happens.
    pub(crate) metrics: Arc<Registry>,
}

impl Shared {
    pub(crate) fn new(handle: Handle, options: ServerOptions) -> Self {
        // Both hold connections for as long as they like: together three quarters, so that the rest stay free for others.
        let hub = Hub::new((options.connections_max / 2).max(1) as u32);
        let endings = Endings::new((options.connections_max / 4).max(1));
        handle.admit(&(Arc::clone(&hub) as _));
        let mut metrics = Registry::with_prefix(metrics::PREFIX);
        handle.metrics().register(&mut metrics);
        if let Some(traces) = &options.traces {
            traces.register(&mut metrics);
        }
        Self {
            handle,
            hub,
            metrics: Arc::new(metrics),
            tokens: TokenKey::of(options.signing_key.as_ref())
                .or(options.signing_key_fallback.as_ref()),
            options: Arc::new(options),
            room: Room::new(),
            endings,
        }
    }
}
