//! Serves an app as a `tower` service.

use super::{Body as Answer, Handler};
use crate::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::task::{Context, Poll};

/// A handler as a `tower` service, for hyper and whatever builds on it.
#[derive(Debug, Clone)]
pub struct TowerService(Handler);

/// A handler as a `tower` service. Mount it at the path under which servers reach the app.
///
/// ```no_run
/// # use stepwell::{App, Client, serve};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let service = serve::tower(serve::Handler::new(App::new(Client::from_env("shop")?))?);
/// let router: axum::Router = axum::Router::new().route_service("/api/inngest", service);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn tower(handler: Handler) -> TowerService {
    TowerService(handler)
}

impl<B> tower_service::Service<Request<B>> for TowerService
where
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let handler = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, handler.body_bytes_max).collect().await;
            let response = match body {
                Ok(body) => {
                    let request = Request::from_parts(parts, body.to_bytes());
                    handler.respond(request).await
                }
                // Either the body is too large or the connection broke; then nobody reads the answer.
                Err(_) => handler.too_large().map(Answer::whole),
            };
            Ok(response)
        })
    }
}
