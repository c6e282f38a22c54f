//! Connections: how many there may be, how long each may keep the server waiting, and who goes when there are too many.
//!
//! A connection is either the server's turn, while a request is being answered, or its client's: while a head or a body is
//! to come, an answer is to be read, or nothing happens. Only in its client's turn may it be cut. When all seats are taken a
//! new connection gets one that keeps the server waiting, of the address that has the most: so whoever opens thousands of
//! them and says nothing loses those, and everyone else goes on.

mod crowd;
mod seat;

pub(crate) use self::crowd::{Crowding, Surroundings};
pub(crate) use self::seat::Patience;

use self::crowd::Crowd;
use self::seat::{Answering, Asking, Seated};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How often connections are looked at that keep the server waiting.
const SWEEP: Duration = Duration::from_secs(1);
/// How long nothing is accepted when the system has no room for another connection.
const BREATH: Duration = Duration::from_millis(50);
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// The most bytes of a request's head. Also how much of a body is read at once.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What connections may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// How long a request's head may take to arrive, also the first of a new connection.
    pub head: Duration,
    /// How long a body may take, as a whole.
    pub body: Duration,
    /// How long an answer may find no reader.
    pub write: Duration,
    /// How long a connection may stay without a request. Longer than proxies keep theirs, so that they close first.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            head: Duration::from_secs(30),
            body: Duration::from_secs(90),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(120),
        }
    }
}

/// Serves HTTP/1.1 over the listener's connections until `stop` is ready, then lets requests that are under way be
/// answered. Requests carry their peer as [`ConnectInfo`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) {
    let crowd = Arc::new(Crowd::new(limits));
    let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = sweep.tick() => {
                crowd.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // Without a seat the connection is closed here and now.
                if let Some(seated) = crowd.admit(stream, address.ip()) {
                    let router = router.clone();
                    tasks.spawn(attend(seated, address, router, stopping.clone()));
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; slow ones are closed");
                crowd.make_room();
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
}

/// Whether the next connection may well be accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Answers the requests of one connection until it ends or is cut.
async fn attend(
    seated: Seated<TcpStream>,
    address: SocketAddr,
    router: Router,
    stopping: CancellationToken,
) {
    // Answers are small and awaited: they go out at once.
    if let Err(error) = seated.stream().set_nodelay(true) {
        tracing::debug!(%error, "cannot send small answers at once");
    }
    let seat = Arc::clone(seated.seat());
    let surroundings = seated.surroundings();
    let cut = seat.cut();
    let answers = service_fn(|request: Request<Incoming>| {
        seat.begin();
        let mut request = request.map(|body| Body::new(Asking::new(body, Arc::clone(&seat))));
        request.extensions_mut().insert(ConnectInfo(address));
        request
            .extensions_mut()
            .insert(Patience::with(Arc::clone(&seat)));
        request.extensions_mut().insert(surroundings.clone());
        let (router, seat) = (router.clone(), Arc::clone(&seat));
        async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            // What is upgraded has no more turns.
            let goes_on = response.status() != StatusCode::SWITCHING_PROTOCOLS;
            Ok::<_, Infallible>(response.map(|body| Answering::new(body, goes_on.then_some(seat))))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The crowd sees to it.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(seated), answers)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            () = cut.cancelled() => return,
            () = stopping.cancelled(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%address, error = &error as &dyn std::error::Error, "a connection broke");
                }
                return;
            }
        }
    }
}
