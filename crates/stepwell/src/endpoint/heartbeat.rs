//! Signs of life of a request that is executed here: reports of nothing, for as long as it takes.

use super::report::RunReports;
use crate::execution::Reports;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A server takes an app for dead that reports nothing for ten minutes: two signs may get lost.
pub(super) const EVERY: Duration = Duration::from_secs(3 * 60);

/// Does the work, and tells the server every so often that it is being done. On a tokio runtime; elsewhere there are no timers that
/// are cheap enough to have one for each request.
pub(super) async fn during<T>(
    reports: &Arc<RunReports>,
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    let (mut work, mut beats) = (pin!(work), pin!(beats(reports, every)));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match beats.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn beats(reports: &Arc<RunReports>, every: Duration) -> Infallible {
    loop {
        pause(every).await;
        // A run that the server does not know of, it does not execute.
        if reports.known().is_none() {
            continue;
        }
        if let Err(error) = Arc::clone(reports).report(Vec::new()).await {
            tracing::debug!(?error, "the server could not be told that a step goes on");
        }
    }
}

#[cfg(feature = "tokio")]
async fn pause(time: Duration) {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::time::sleep(time).await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(feature = "tokio"))]
async fn pause(_: Duration) {
    std::future::pending().await
}
