//! Inside of a step: which step's code is being polled on this thread, and what it sends.

use super::Execution;
use crate::event::OutgoingEvent;
use crate::moment::Moment;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepwell_protocol::RunId;

thread_local! {
    static INSIDE: RefCell<Option<Inside>> = const { RefCell::new(None) };
}

/// The step whose code is being polled.
#[derive(Clone)]
pub(crate) struct Inside {
    execution: Arc<Execution>,
    position: usize,
}

/// Runs a poll of a step's own code.
pub(super) fn enter<T>(execution: &Arc<Execution>, position: usize, poll: impl FnOnce() -> T) -> T {
    struct Restore(Option<Inside>);
    impl Drop for Restore {
        fn drop(&mut self) {
            INSIDE.set(self.0.take());
        }
    }
    let inside = Inside {
        execution: Arc::clone(execution),
        position,
    };
    let _restore = Restore(INSIDE.replace(Some(inside)));
    poll()
}

/// Whether a step of this execution is being polled.
pub(super) fn is_of(execution: &Execution) -> bool {
    INSIDE.with_borrow(|inside| {
        let inside = inside.as_ref();
        inside.is_some_and(|inside| std::ptr::eq(&raw const *inside.execution, execution))
    })
}

/// The step whose code asks.
pub(crate) fn current_step() -> Option<Inside> {
    INSIDE.with_borrow(Option::clone)
}

impl Inside {
    /// What the run's events say that they belong to.
    pub(crate) fn sessions(&self) -> &BTreeMap<String, String> {
        &self.execution.sessions
    }

    /// What the ids of events are made of that the step's code sends by itself: the same for the same events of each attempt,
    /// so that whatever is sent again counts once. Nothing for what cannot be sent.
    pub(crate) fn seed_of(&self, events: &[OutgoingEvent]) -> Option<(RunId, [u8; 10])> {
        let execution = &*self.execution;
        let mut hash = Sha256::new();
        hash.update(execution.state().found[self.position].id.to_string());
        for event in events {
            // An event that says no time has that of its sending, and each attempt one of its own.
            let text = event.clone().render(Moment::from_unix_ms(0)).ok()?;
            hash.update(u64::try_from(text.len()).ok()?.to_le_bytes());
            hash.update(text);
        }
        let what: [u8; 32] = hash.finalize().into();
        // The same once more, in one attempt, is sent twice.
        let nth = execution.state().nth_send(what);
        let hash = Sha256::new()
            .chain_update(execution.run.run_id.to_bytes())
            .chain_update(what)
            .chain_update(nth.to_le_bytes())
            .finalize();
        let mut entropy = [0; 10];
        entropy.copy_from_slice(&hash[..10]);
        Some((execution.run.run_id, entropy))
    }
}
