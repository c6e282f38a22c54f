//! Calls in flight that can be given up one by one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stepwell_engine::ItemId;
use tokio_util::sync::CancellationToken;

/// Calls in flight, by queue item and dispatch.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<(ItemId, u64), CancellationToken>>);

impl InFlight {
    /// Notes a call; the token tells it to give up.
    pub(crate) fn begin(&self, item: ItemId, generation: u64) -> CancellationToken {
        let token = CancellationToken::new();
        self.calls().insert((item, generation), token.clone());
        token
    }

    pub(crate) fn end(&self, item: ItemId, generation: u64) {
        self.calls().remove(&(item, generation));
    }

    /// Gives a call up, unless it has ended.
    pub(crate) fn give_up(&self, item: ItemId, generation: u64) {
        if let Some(token) = self.calls().get(&(item, generation)) {
            token.cancel();
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<(ItemId, u64), CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
