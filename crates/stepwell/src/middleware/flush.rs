//! Bounds what a middleware does before an answer.

use super::Middleware;
use crate::BoxFuture;
use crate::moment::{Clock, Delay};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

/// How long one middleware may hold back an answer. What the call did is recorded only when it is answered, so
/// a tracker that is down must not make the server call again.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Flushes; a panic and a flush that takes too long are logged, and that is all.
pub(super) async fn flush(middleware: &dyn Middleware, clock: &dyn Clock) {
    let Ok(flush) = catch_unwind(AssertUnwindSafe(|| middleware.flush())) else {
        return panicked();
    };
    let mut flush: Option<BoxFuture<'_, ()>> = Some(flush);
    let mut limit: Option<Delay> = None;
    poll_fn(|cx| {
        let Some(future) = &mut flush else {
            return Poll::Ready(());
        };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(())) => return Poll::Ready(()),
            Ok(Poll::Pending) => {}
            Err(_) => {
                panicked();
                return Poll::Ready(());
            }
        }
        let limit = limit.get_or_insert_with(|| clock.delay(FLUSH_MAX));
        if limit.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        tracing::error!(
            limit = ?FLUSH_MAX,
            "a middleware's flush took too long and was given up; the call is answered"
        );
        Poll::Ready(())
    })
    .await;
    if catch_unwind(AssertUnwindSafe(|| drop(flush.take()))).is_err() {
        panicked();
    }
}

fn panicked() {
    tracing::error!("a middleware's flush panicked; the call is answered");
}

#[cfg(test)]
mod tests;
