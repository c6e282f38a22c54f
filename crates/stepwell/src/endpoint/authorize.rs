//! Who may make requests.

use super::Response;
use crate::BoxFuture;
use bytes::Bytes;
use std::sync::Arc;

/// Lets a request of a user in, or answers it.
pub(super) type Authorize =
    Arc<dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, Result<(), Response>> + Send + Sync>;

pub(super) fn erase<F, Fut>(check: F) -> Authorize
where
    F: Fn(http::Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Response>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(check(request)))
}
