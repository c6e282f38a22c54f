//! The routes.

mod bounds;
mod cancellations;
mod checkpoint;
mod diagnosis;
mod endpoint;
mod events;
mod functions;
mod meta;
mod metrics;
mod notes;
mod openapi;
mod query;
pub(crate) mod register;
mod rest;
mod signals;
mod state;
mod v2;
mod verdicts;

pub(crate) use rest::{ACCOUNT, ENVIRONMENT};

use crate::access;
use crate::connect;
use crate::graphql;
use crate::realtime;
use crate::state::{ServerOptions, Shared};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, post};
use std::time::Duration;
use stepwell_protocol::headers;
use stepwell_runtime::Handle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest body that events may come in.
const EVENTS_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest body of a registration.
const REGISTER_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest body of a checkpoint.
const CHECKPOINT_BODY_BYTES_MAX: usize = stepwell_protocol::limits::CHECKPOINT_BYTES_MAX;

/// The largest body of a small request: a signal, an invocation, the arguments of a step.
const SMALL_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// All routes of a server over this engine.
pub fn router(handle: Handle, options: ServerOptions) -> Router {
    let shared = Shared::new(handle, options);
    let locked = Router::from(locked()).route_layer(middleware::from_fn_with_state(
        shared.clone(),
        access::require_signing_key,
    ));
    Router::from(open())
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

/// The routes that want the signing key, if there is one. Each is described where it is made.
fn locked() -> OpenApiRouter<Shared> {
    let second = v2::router();
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(state::batch))
        .routes(routes!(state::actions))
        .routes(routes!(state::cancel))
        .routes(routes!(state::telemetry))
        .routes(routes!(rest::events))
        .routes(routes!(rest::event))
        .routes(routes!(rest::runs_of_event))
        .routes(routes!(rest::run, rest::cancel))
        .routes(routes!(rest::jobs))
        .routes(routes!(cancellations::create, cancellations::list))
        .routes(routes!(cancellations::delete))
        .routes(routes!(notes::metadata))
        .routes(routes!(notes::userland))
        .routes(routes!(verdicts::of_event))
        .routes(routes!(verdicts::standing))
        .routes(routes!(functions::list))
        .routes(routes!(functions::pause, functions::unpause))
        .routes(routes!(functions::invoke))
        .routes(routes!(signals::send))
        .routes(routes!(checkpoint::checkpoint))
        .routes(routes!(endpoint::start))
        .routes(routes!(endpoint::steps))
        .routes(routes!(meta::dev))
        .routes(routes!(diagnosis::diagnosis))
        .routes(routes!(graphql::answer))
        .routes(routes!(register::remove))
        .routes(routes!(bounds::bound_steps, bounds::unbound_steps))
        .routes(routes!(bounds::bound_state, bounds::unbound_state))
        .merge(connect::locked())
        .merge(realtime::locked())
        .nest("/v2", second.clone())
        // The same again, under the names that some clients use.
        .merge(OpenApiRouter::from(
            Router::new()
                .nest("/api/v2", second.into())
                .route("/v1/http/runs/{run}/async", post(checkpoint::checkpoint))
                .route("/v1/http/runs", post(endpoint::start))
                .route("/v1/http/runs/{run}/steps", post(endpoint::steps)),
        ))
}

/// The routes that anyone may use, or whoever has an event key or a token.
fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(meta::root))
        .routes(routes!(meta::health))
        .routes(routes!(meta::ready))
        .routes(routes!(metrics::serve))
        .routes(routes!(openapi::serve))
        .routes(routes!(events::send))
        .routes(routes!(endpoint::output))
        .merge(connect::open())
        .merge(realtime::open())
        .merge(OpenApiRouter::from(
            Router::new()
                .route("/e", any(events::no_key))
                .route("/e/", any(events::no_key))
                .route("/v1/http/runs/{run}/output", any(endpoint::output)),
        ))
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
