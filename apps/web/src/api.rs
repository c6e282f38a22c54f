//! The web API: JSON in, JSON out, `/api/…`.
//!
//! | route | does |
//! |---|---|
//! | `POST /api/workspaces` | makes a workspace, or finds the owner's of that name |
//! | `GET /api/workspaces?name=` | the caller's workspace of that name |
//! | `GET /api/workspaces/{id}` | a workspace with its brand profile |
//! | `GET /api/workspaces/{id}/search?q=&k=` | the fragments nearest to a question |
//! | `GET /api/workspaces/{id}/context?q=&k=` | the same with the brand's profile, as a section for a prompt |
//! | `PUT /api/files/{name}` | uploads a PDF, gives its `blob:` URL |
//! | `POST /api/assets` | registers an asset; a brand asset's event is sent |
//! | `GET /api/assets/{id}` | an asset |
//! | `POST /api/assets/{id}/seen` | what came of its event was shown |
//! | `GET /api/events/{id}/runs` | the runs that an event started |
//! | `GET /api/runs/{id}` | a run: steps, failed attempts, what it waits for, output |
//! | `GET /api/runs/{id}/stream` | the same as it happens, as server-sent events |
//! | `GET /api/budgets` | how the budgets of the caller's workspaces stand, and whether those of functions are used up |
//! | `PUT /api/budgets` | sets, raises or lowers a budget; runs that it holds go on at once |
//! | `DELETE /api/budgets?workspaceId=&kind=&period=` | removes a budget |
//! | `GET /api/usage?workspaceId=&period=` | what a workspace used, by function and model, up to 400 days ago |
//! | `GET /health`, `GET /ready` | whether the process is there, and can take events |
//! | `/api/inngest` | the functions, for servers of the protocol |
//!
//! An error is `{"error": {"code", "message", "hint"}}`. Who calls says so in `X-User-Id` (`local` without one): a
//! stand-in for the studio's sessions, trustworthy only behind a proxy that sets it. Only loopback names are
//! answered as `Host`, so that no web page can reach the API under a name of its own; and bodies are declared as
//! JSON, which no form of a web page is. `/api/inngest` is held to both in development mode; else its calls are signed.

mod assets;
mod budgets;
mod error;
mod events;
mod files;
mod health;
mod json;
mod owner;
mod runs;
mod search;
mod workspaces;

pub(crate) use assets::Turns;
pub(crate) use files::Uploads;

use crate::engine::EngineReader;
use crate::progress::Progress;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use error::ApiError;
use std::net::IpAddr;
use std::sync::Arc;
use stepwell::{Client, Mode};
use studio233_blob::BlobStore;
use studio233_db::Database;
use studio233_inngest::middleware::Meter;
use studio233_rag::Retriever;
use studio233_setup::Money;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

/// No request but an upload has a larger body.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What all routes share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) engine: EngineReader,
    pub(crate) client: Client,
    pub(crate) retriever: Retriever,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) money: Arc<Money>,
    pub(crate) database: Database,
    pub(crate) blobs: BlobStore,
    pub(crate) progress: Progress,
    pub(crate) turns: Turns,
    pub(crate) uploads: Uploads,
    pub(crate) upload_bytes_max: u64,
    pub(crate) stopping: CancellationToken,
}

/// All routes. `functions` serves the jobs to servers of the protocol; in development mode calls are not signed.
pub(crate) fn router(shared: Shared, functions: MethodRouter<Shared>, mode: Mode) -> Router {
    let api = Router::new()
        .route(
            "/api/workspaces",
            post(workspaces::create).get(workspaces::find),
        )
        .route("/api/workspaces/{id}", get(workspaces::show))
        .route("/api/workspaces/{id}/search", get(search::search))
        .route("/api/workspaces/{id}/context", get(search::context))
        .route(
            "/api/budgets",
            get(budgets::list).put(budgets::set).delete(budgets::remove),
        )
        .route("/api/usage", get(budgets::usage))
        .route("/api/assets", post(assets::register))
        .route("/api/assets/{id}", get(assets::show))
        .route("/api/assets/{id}/seen", post(assets::seen))
        .route("/api/events/{id}/runs", get(events::runs))
        .route("/api/runs/{id}", get(runs::show))
        .route("/api/runs/{id}/stream", get(runs::stream))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route(
            "/api/files/{name}",
            put(files::upload).layer(DefaultBodyLimit::disable()),
        )
        .layer(middleware::from_fn_with_state(
            shared.stopping.clone(),
            stopping_explains_failures,
        ))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(only_loopback_names));
    let functions = match mode {
        Mode::Dev => functions
            .layer(middleware::from_fn(only_json_calls))
            .layer(middleware::from_fn(only_loopback_names)),
        Mode::Cloud => functions,
    };
    api.route("/api/inngest", functions)
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(shared)
}

async fn not_found(request: Request) -> ApiError {
    let path = request.uri().path();
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        format!("there is nothing at {path}"),
    )
    .hint("the routes are /api/workspaces, /api/assets, /api/budgets, /api/usage, /api/files, /api/events, /api/runs, /health and /ready")
}

async fn wrong_method(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        format!("{path} does not take {method}"),
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal().into_response()
}

async fn only_loopback_names(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let named = host
        .and_then(|host| host.to_str().ok())
        .or(request.uri().host());
    if named.is_some_and(is_loopback_name) {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "foreign_host",
        "this studio answers requests to localhost only",
    )
    .hint("call it as http://127.0.0.1")
    .into_response()
}

/// What a stopping studio cannot do is no fault of its disk, and another studio can.
async fn stopping_explains_failures(
    State(stopping): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if !(response.status().is_server_error() && stopping.is_cancelled()) {
        return response;
    }
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping",
        "the studio stops",
    )
    .hint("try again when it is back; nothing that was acknowledged is lost")
    .into_response()
}

async fn only_json_calls(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && !json::is_declared(request.headers()) {
        return json::not_declared().into_response();
    }
    next.run(request).await
}

fn is_loopback_name(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Method, is_loopback_name, stopping_explains_failures};
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    #[tokio::test]
    async fn what_fails_in_a_stopping_studio_says_so() {
        let stopping = CancellationToken::new();
        let routes = Router::<()>::new()
            .route("/fails", get(async || ApiError::internal()))
            .route("/works", get(async || "done"))
            .layer(from_fn_with_state(
                stopping.clone(),
                stopping_explains_failures,
            ));
        let ask = async |path: &str| {
            let request = Request::builder().method(Method::GET).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            response.status().as_u16()
        };
        assert_eq!((ask("/fails").await, ask("/works").await), (500, 200));
        stopping.cancel();
        assert_eq!((ask("/fails").await, ask("/works").await), (503, 200));
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for name in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8233",
            "[::1]:8233",
            "127.9.9.9",
        ] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "example.com",
            "localhost.example.com",
            "10.0.0.1:80",
            "",
            "a b",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }
}
