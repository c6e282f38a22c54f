//! The routes.

mod checkpoint;
mod endpoint;
mod events;
mod functions;
mod meta;
mod register;
mod repeat;
mod rest;
mod second;
mod signals;
mod state;
mod trace;
mod verdicts;

pub(crate) use register::sync as sync_registration;
pub(crate) use rest::{ACCOUNT, ENVIRONMENT};

use crate::access;
use crate::connect;
use crate::state::{ServerOptions, Shared};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
use std::time::Duration;
use stepwell_protocol::headers;
use stepwell_runtime::Handle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};

/// The largest body that events may come in.
const EVENTS_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest body of a registration.
const REGISTER_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest body of a checkpoint: a full answer and its envelope.
const CHECKPOINT_BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The largest body of a small request: a signal, an invocation, the arguments of a step.
const SMALL_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// All routes of a server over this engine.
pub fn router(handle: Handle, options: ServerOptions) -> Router {
    let shared = Shared::new(handle, options);
    let locked = Router::new()
        .route(
            "/fn/register",
            post(register::register).put(register::register),
        )
        .route("/v0/runs/{run}/batch", get(state::batch))
        .route("/v0/runs/{run}/actions", get(state::actions))
        .route("/v1/events", get(rest::events))
        .route("/v1/events/{event}", get(rest::event))
        .route("/v1/events/{event}/runs", get(rest::runs_of_event))
        .route("/v1/runs/{run}", get(rest::run).delete(rest::cancel))
        .route("/v1/events/{event}/verdicts", get(verdicts::of_event))
        .route("/v1/runs/{run}/jobs", get(rest::jobs))
        .route("/v1/runs/{run}/standing", get(verdicts::standing))
        .route("/v1/apps/{app}/functions", get(functions::list))
        .route(
            "/v1/apps/{app}/functions/{function}/pause",
            post(functions::pause).delete(functions::unpause),
        )
        .route("/v1/signals", post(signals::send))
        .route("/v2/runs/{run}/rerun", post(repeat::rerun))
        .route("/api/v2/runs/{run}/rerun", post(repeat::rerun))
        .route("/v2/runs/{run}/trace", get(trace::trace))
        .route("/api/v2/runs/{run}/trace", get(trace::trace))
        .route("/invoke/{function}", post(functions::invoke))
        .route("/v1/checkpoint/{run}/async", post(checkpoint::checkpoint))
        .route("/v1/http/runs/{run}/async", post(checkpoint::checkpoint))
        .route("/v1/checkpoint", post(endpoint::start))
        .route("/v1/http/runs", post(endpoint::start))
        .route("/v1/checkpoint/{run}/steps", post(endpoint::steps))
        .route("/v1/http/runs/{run}/steps", post(endpoint::steps))
        .route("/dev", get(meta::dev))
        .merge(connect::locked_routes())
        .route_layer(middleware::from_fn_with_state(
            shared.clone(),
            access::require_signing_key,
        ));
    let mut open = Router::new();
    if let Some(gateway) = &shared.options.connect {
        open = connect::open_routes(gateway, &shared.handle);
    }
    open.route("/", get(meta::root))
        .route("/health", get(meta::health))
        .route("/e", any(events::no_key))
        .route("/e/", any(events::no_key))
        .route("/e/{key}", post(events::send))
        // Opened by a token. A redirect keeps the method of some requests.
        .route("/v1/checkpoint/{run}/output", any(endpoint::output))
        .route("/v1/http/runs/{run}/output", any(endpoint::output))
        .merge(locked)
        .fallback(meta::not_found)
        .layer(cors())
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            name_the_server,
        ))
        .layer(CatchPanicLayer::new())
        .with_state(shared)
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_headers(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .expose_headers([
            HeaderName::from_static("link"),
            HeaderName::from_static("mcp-session-id"),
        ])
        .max_age(Duration::from_secs(3_600))
}

async fn name_the_server(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let kind = HeaderValue::from_static(shared.options.kind.as_str());
    response
        .headers_mut()
        .insert(HeaderName::from_static(headers::SERVER_KIND), kind);
    response
}
