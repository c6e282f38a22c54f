//! Mounts a handler on an axum router.

use super::{Body as Answer, Handler};
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, any};

/// A handler as an axum route.
///
/// ```no_run
/// # use stepwell::{App, Client, serve};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = serve::Handler::new(App::new(Client::from_env("shop")?))?;
/// let router = axum::Router::new().route("/api/inngest", serve::axum(handler));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, router).await?;
/// # Ok(())
/// # }
/// ```
pub fn axum<S: Clone + Send + Sync + 'static>(handler: Handler) -> MethodRouter<S> {
    let handler = handler.framework("axum");
    any(move |request: Request| {
        let handler = handler.clone();
        async move { answer(&handler, request).await }
    })
}

async fn answer(handler: &Handler, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // Routers take off what they are nested under; servers call the app under the whole path.
    if let Some(OriginalUri(uri)) = parts.extensions.get::<OriginalUri>().cloned() {
        parts.uri = uri;
    }
    let response = match to_bytes(body, handler.body_bytes_max).await {
        Ok(body) => handler.respond(Request::from_parts(parts, body)).await,
        // Either the body is too large or the connection broke; then nobody reads the answer.
        Err(_) => handler.too_large().map(Answer::whole),
    };
    response.map(Body::new)
}
