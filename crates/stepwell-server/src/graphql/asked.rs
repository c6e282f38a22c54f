//! What a question has: the server that it asks, and what it may still take from it.

use crate::state::Shared;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory};
use async_graphql::extensions::{NextResolve, ResolveInfo};
use async_graphql::{Error, Result, ServerError, ServerResult, Value};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stepwell_store::{EventRecord, Reader, RunRecord, StoreError};
use tokio::sync::Semaphore;

/// Bytes of texts that an answer holds: two full pages of a list with all of what they say.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of bodies and outputs that are read for a question, whether or not they are shown.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Readings of the store that a question has under way: others are to have their turn.
const READS_MAX: usize = 2;

/// The server, as one question sees it.
pub(super) struct Asked {
    shared: Shared,
    answer: Budget,
    held: Budget,
    reads: Semaphore,
}

impl Asked {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            answer: Budget::of(ANSWER_BYTES_MAX),
            held: Budget::of(HELD_BYTES_MAX),
            reads: Semaphore::new(READS_MAX),
        }
    }

    /// Puts a question to the store, in its turn.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = self.reads.acquire().await.expect("nobody closes it");
        self.shared.handle.read(question).await
    }

    /// Counts what a field reads or tells.
    pub(super) fn charge(&self, bytes: usize) -> Result<()> {
        self.answer.take(bytes).map_err(Error::new)
    }

    /// Counts what was read of runs.
    pub(super) fn charge_runs<'a>(
        &self,
        runs: impl IntoIterator<Item = &'a RunRecord>,
    ) -> Result<()> {
        let outputs = runs.into_iter().filter_map(|run| run.output.as_ref());
        self.charge_held(outputs.map(|output| output.get().len()).sum())
    }

    /// Counts what was read of events.
    pub(super) fn charge_events<'a>(
        &self,
        events: impl IntoIterator<Item = &'a EventRecord>,
    ) -> Result<()> {
        let bodies = events.into_iter().map(|event| event.body.get().len());
        self.charge_held(bodies.sum())
    }

    /// Counts what a list or an entry of its own holds.
    pub(super) fn charge_held(&self, bytes: usize) -> Result<()> {
        self.held.take(bytes).map_err(Error::new)
    }
}

impl Deref for Asked {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// Bytes, of which there are so many.
struct Budget {
    max: usize,
    taken: AtomicUsize,
}

impl Budget {
    fn of(max: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self { max, taken }
    }

    /// What did not fit is taken all the same: nothing after it fits, however small.
    fn take(&self, bytes: usize) -> Result<(), String> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.max {
            return Ok(());
        }
        let mib = self.max / (1024 * 1024);
        Err(format!(
            "the question asks for more than {mib} MiB of outputs and payloads; ask for less at once"
        ))
    }
}

/// Counts every text of an answer, whichever field tells it and by however many aliases.
pub(super) struct Weigh;

impl ExtensionFactory for Weigh {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Weigh {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let Some(asked) = context.data_opt::<Asked>() else {
            return next.run(context, info).await;
        };
        let position = info.field.name.pos;
        let refused = |message| ServerError::new(message, Some(position));
        // Once nothing fits any more, nothing is read or written out for it either.
        asked.answer.take(0).map_err(refused)?;
        let is_map = info.return_type.trim_end_matches('!') == "Map";
        let value = next.run(context, info).await?;
        let bytes = match &value {
            Some(Value::String(text)) => text.len(),
            // Other objects are of fields, each of which was weighed.
            Some(map @ Value::Object(_)) if is_map => map.to_string().len(),
            _ => 0,
        };
        asked.answer.take(bytes).map_err(refused)?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_fits_after_what_did_not() {
        let budget = Budget::of(10);
        assert!(budget.take(10).is_ok());
        assert!(budget.take(0).is_ok());
        assert!(budget.take(1).is_err());
        assert!(budget.take(0).is_err());
    }
}
