//! Mounts an endpoint on an axum router.

use super::{Endpoint, plain};
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use tracing::Instrument;

/// An endpoint as an axum route, for all methods. A request whose requester goes away is seen to its end all the same.
///
/// ```no_run
/// # use stepwell::{Client, Error, endpoint::{self, Endpoint, Request}};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// async fn greet(request: Request) -> Result<String, Error> {
///     let name = request.query_value("name").unwrap_or_default();
///     let step = request.step();
///     Ok(step.run("greet", || async { Ok(format!("hello {name}")) }).await?)
/// }
///
/// let greet = Endpoint::new(Client::from_env("shop")?, greet);
/// let router: axum::Router = axum::Router::new().route("/greet", endpoint::axum(greet));
/// # Ok(())
/// # }
/// ```
pub fn axum<S: Clone + Send + Sync + 'static>(endpoint: Endpoint) -> MethodRouter<S> {
    any(move |request: Request| {
        let endpoint = endpoint.clone();
        async move { answer(endpoint, request).await }
    })
}

async fn answer(endpoint: Endpoint, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // Routers take off what they are nested under; the server makes the request under the whole path.
    if let Some(OriginalUri(uri)) = parts.extensions.get::<OriginalUri>().cloned() {
        parts.uri = uri;
    }
    let Ok(body) = to_bytes(body, endpoint.body_bytes_max).await else {
        // Either the body is too large or the connection broke; then nobody reads the answer.
        return endpoint.too_large().map(Body::from);
    };
    let request = Request::from_parts(parts, body);
    // A run that has begun is not to stop in the middle of a step.
    let answered =
        tokio::spawn(async move { endpoint.handle(request).await }.in_current_span()).await;
    let answered = answered.unwrap_or_else(|error| {
        tracing::error!(%error, "an endpoint's request came to nothing");
        plain(500, "the request came to nothing")
    });
    answered.map(Body::from)
}
