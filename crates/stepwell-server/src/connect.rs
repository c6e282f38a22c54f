//! The gateway of connect: workers call out to us over WebSockets and get their calls there.
//!
//! A worker asks where to connect ([`start`]), introduces itself ([`handshake`]), and has its apps registered on the way
//! ([`sync`]). Its connection is a [`session`]. Who is connected, which calls they hold and what they have replied is
//! known to the [`switchboard`] alone, one lock that is never held across an await. A call ([`call`]) asks it for a
//! worker and waits for the reply, or for the lease to run out.

mod admission;
mod call;
mod flush;
mod handshake;
mod late;
mod leases;
mod lines;
mod listing;
mod outbox;
mod seen;
mod session;
mod shortage;
mod start;
mod switchboard;
mod sync;
mod workers;

pub(crate) use seen::{SeenWorker, Standing};

use crate::answer::{ApiError, Failure};
use crate::apps::Apps;
use crate::state::Shared;
use admission::Admission;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use stepwell_protocol::connect::SUBPROTOCOL;
use stepwell_protocol::signing::SigningKey;
use stepwell_protocol::token::TokenKey;
use stepwell_runtime::{Handle, Invoker};
use switchboard::Switchboard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use workers::Status;

/// A frame from a worker. Twice as large as a reply may be, so that one that is too large fails its call by name.
const FRAME_BYTES_MAX: usize = 2 * stepwell_protocol::limits::REPLY_BYTES_MAX;
/// What is read from a connection at once. Each has such a buffer, and most frames are small.
const READ_BYTES: usize = 16 * 1024;
/// What a worker is told to leave out when this gateway does not work for it. There is no other.
pub(crate) const GROUP: &str = "gw-dev";
/// Where the gateway is, below any of its hosts.
const PATH: &str = "/v0/connect";

/// What the operator decides about connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// What session tokens are made from, so that they are good on all servers that have it; without one they are good on
    /// this server only.
    pub signing_key: Option<SigningKey>,
    /// What session tokens may be made from as well, while keys are being changed.
    pub signing_key_fallback: Option<SigningKey>,
    /// Connections at once.
    pub connections_max: usize,
    /// Apps of one connection.
    pub apps_max: usize,
    /// The WebSocket's URL that workers are told, instead of the host that they asked and the gateway's port.
    pub url: Option<String>,
    /// How long things may take.
    pub times: ConnectTimes,
}

/// How long things may take between a gateway and its workers.
#[derive(Debug, Clone)]
pub struct ConnectTimes {
    /// Until a worker introduces itself.
    pub hello: Duration,
    /// Between two heartbeats; after five without one the connection is closed, and after two it gets no calls.
    pub heartbeat: Duration,
    /// Between two extensions of a lease. The official SDKs read whole seconds only.
    pub extend: Duration,
    /// How long a lease is good.
    pub lease: Duration,
    /// And how much longer it is waited for.
    pub lease_grace: Duration,
    /// How long a worker whose connection broke gets to come back for the calls that it had taken.
    pub reconnect: Duration,
    /// Until a worker takes a call that was sent to it; then another gets it.
    pub take: Duration,
    /// The same once the worker has said that it takes no more: what it has taken it says at once.
    pub take_draining: Duration,
    /// How long calls wait for a worker, without counting as attempts, after the last one has left.
    pub absence: Duration,
    /// The same after the start, when all workers have yet to come back.
    pub opening: Duration,
    /// How long a call waits here for a worker with room, before it goes back to the queue.
    pub room: Duration,
    /// Until a frame has gone out.
    pub write: Duration,
}

impl ConnectTimes {
    /// Times for leases of this length: they are extended six times as often, and half of it is what a worker gets whose
    /// connection broke.
    #[must_use]
    pub fn with_lease(lease: Duration) -> Self {
        Self {
            extend: Duration::from_secs((lease.as_secs() / 6).max(1)),
            lease,
            reconnect: lease / 2,
            hello: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            lease_grace: Duration::from_secs(5),
            take: Duration::from_secs(30),
            take_draining: Duration::from_secs(2),
            absence: Duration::from_secs(10),
            opening: Duration::from_secs(60),
            room: Duration::from_secs(5),
            write: Duration::from_secs(30),
        }
    }
}

impl Default for ConnectTimes {
    /// For leases of two minutes.
    fn default() -> Self {
        Self::with_lease(Duration::from_secs(120))
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            signing_key: None,
            signing_key_fallback: None,
            connections_max: 1_000,
            apps_max: 10,
            url: None,
            times: ConnectTimes::default(),
        }
    }
}

/// The gateway; cheap to clone. One per server: it is the server's [`Invoker`] of apps that are connected.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    options: ConnectOptions,
    tokens: TokenKey,
    switchboard: Mutex<Switchboard>,
    admission: Admission,
    port: OnceLock<u16>,
    closing: CancellationToken,
    sessions: TaskTracker,
}

/// Workers by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attendance {
    /// Not yet ready.
    pub(crate) connected: usize,
    pub(crate) ready: usize,
    /// They finish what they have.
    pub(crate) draining: usize,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gateway(…)")
    }
}

/// What a connection needs: the gateway, and the engine that its apps register with.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    gateway: Gateway,
    handle: Handle,
    apps: Apps,
}

impl Gateway {
    /// A gateway without connections.
    #[must_use]
    pub fn new(options: ConnectOptions) -> Self {
        let tokens = match &options.signing_key {
            Some(key) => TokenKey::of(Some(key)).or(options.signing_key_fallback.as_ref()),
            None => TokenKey::from_secret(rand::random()),
        };
        let switchboard = Switchboard::new(&options, Instant::now());
        Self(Arc::new(Inner {
            tokens,
            switchboard: Mutex::new(switchboard),
            admission: Admission::new(),
            port: OnceLock::new(),
            closing: CancellationToken::new(),
            sessions: TaskTracker::new(),
            options,
        }))
    }

    /// What calls apps that are connected: for URLs of the schemes `ws` and `wss`.
    #[must_use]
    pub fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(call::ConnectInvoker(self.clone()))
    }

    /// Says on which port of its own the gateway listens; workers are sent there. Until then they are sent to the host
    /// and port that they asked.
    pub fn listens_on(&self, port: u16) {
        // A second port would be as good as the first.
        self.0.port.get_or_init(|| port);
    }

    /// The routes of a port of its own: the WebSocket, and `GET /ready`. `apps` is the server's.
    pub fn router(&self, handle: Handle, apps: Apps) -> Router {
        let door = Door {
            gateway: self.clone(),
            handle,
            apps,
        };
        Router::new()
            .route("/ready", get(ready))
            .route(PATH, any(upgrade))
            .with_state(door)
    }

    /// Tells all workers to connect anew, and closes their connections. Returns once all are closed, or after
    /// `patience`.
    pub async fn close(&self, patience: Duration) {
        self.0.closing.cancel();
        self.0.sessions.close();
        if tokio::time::timeout(patience, self.0.sessions.wait())
            .await
            .is_err()
        {
            tracing::debug!("workers do not close their connections");
        }
    }

    /// How many workers are connected, by whether they take calls.
    pub(crate) fn workers(&self) -> Attendance {
        let mut attendance = Attendance::default();
        for worker in self.switchboard().workers.iter() {
            match worker.status {
                Status::Connected => attendance.connected += 1,
                Status::Ready => attendance.ready += 1,
                Status::Draining => attendance.draining += 1,
            }
        }
        attendance
    }

    /// The port of its own, if there is one.
    pub(crate) fn port(&self) -> Option<u16> {
        self.0.port.get().copied()
    }

    fn options(&self) -> &ConnectOptions {
        &self.0.options
    }

    fn times(&self) -> &ConnectTimes {
        &self.0.options.times
    }

    fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    fn switchboard(&self) -> MutexGuard<'_, Switchboard> {
        self.0
            .switchboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes on the server's port that check who asks themselves: the gateway's first messages are not JSON.
pub(crate) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(start::start))
        .routes(routes!(flush::flush))
        .routes(routes!(socket))
}

/// The routes behind the signing key.
pub(crate) fn locked() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(listing::connections))
        .routes(routes!(listing::group))
}

/// 200 as long as workers may connect.
async fn ready(State(door): State<Door>) -> StatusCode {
    if door.gateway.is_closing() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// A worker's connection: a WebSocket with the sub-protocol `v0.connect.inngest.com`.
#[utoipa::path(get, path = PATH, tag = "Workers",
    responses(
        (status = 101, description = "The WebSocket."),
        (status = 400, body = String, content_type = "text/plain"),
        (status = 404, description = "This server takes no workers.", body = Failure),
        (status = 426, description = "The request asks for no WebSocket.", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many connect at once.", body = String, content_type = "text/plain")))]
async fn socket(
    State(shared): State<Shared>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    asked: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let gateway = start::gateway(&shared)?;
    let asked = match asked {
        Ok(asked) => asked,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let door = Door {
        gateway: gateway.clone(),
        handle: shared.handle.clone(),
        apps: shared.options.apps.clone(),
    };
    Ok(upgrade(State(door), peer, asked).await)
}

async fn upgrade(
    State(door): State<Door>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .read_buffer_size(READ_BYTES);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the WebSocket's sub-protocol must be {SUBPROTOCOL}");
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let peer = peer.map(|Extension(ConnectInfo(address))| address.ip());
    let Some(turn) = door.gateway.0.admission.turn(peer).await else {
        let message = "too many workers connect at once; try again in a moment";
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    let sessions = door.gateway.0.sessions.clone();
    upgrade.on_upgrade(move |socket| sessions.track_future(session::run(socket, door, turn)))
}
