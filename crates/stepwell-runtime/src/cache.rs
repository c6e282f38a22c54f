//! What calls carry, kept for runs that are under way, so that a call need not read the store.
//!
//! It is filled from committed changes and bounded in bytes; a run that was pushed out is read again.

use lru::LruCache;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stepwell_engine::Change;
use stepwell_protocol::{EventId, RunId, SharedJson};
use stepwell_store::RunState;

/// What a run's entry costs besides its payloads, in bytes.
const ENTRY_BYTES: usize = 256;
/// What a step's entry costs besides its value, in bytes.
const STEP_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct Cache {
    entries: Mutex<Entries>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entries {
    runs: LruCache<RunId, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    state: RunState,
    bytes: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: Mutex::new(Entries {
                runs: LruCache::unbounded(),
                bytes: 0,
            }),
            bytes_max,
        }
    }

    /// What a call of a run carries, if it is at hand with at least this many steps.
    pub(crate) fn get(&self, run: RunId, steps: usize) -> Option<RunState> {
        let mut entries = self.entries();
        let state = &entries.runs.get(&run)?.state;
        (state.steps.len() >= steps).then(|| state.clone())
    }

    /// Keeps what was read for a call.
    pub(crate) fn put(&self, run: RunId, state: &RunState) {
        let mut entries = self.entries();
        let known = entries.runs.peek(&run).map(|entry| entry.state.steps.len());
        if known.is_none_or(|known| known < state.steps.len()) {
            entries.insert(run, state.clone());
            entries.evict(self.bytes_max);
        }
    }

    /// Takes over what a committed batch says.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let bodies: HashMap<EventId, &SharedJson> = changes
            .iter()
            .filter_map(|change| match change {
                Change::EventPut(row) => Some((row.id, &row.body)),
                _ => None,
            })
            .collect();
        let mut entries = self.entries();
        for change in changes {
            match change {
                Change::RunPut(row) => {
                    let events: Option<Vec<SharedJson>> = row
                        .events
                        .iter()
                        .map(|id| bodies.get(id).map(|body| SharedJson::clone(body)))
                        .collect();
                    if let Some(events) = events {
                        entries.insert(
                            row.id,
                            RunState {
                                events,
                                ..RunState::default()
                            },
                        );
                    }
                }
                Change::StepPut(row) => {
                    let Entries { runs, bytes } = &mut *entries;
                    if let Some(entry) = runs.get_mut(&row.run)
                        && entry.state.steps.len() == row.position as usize
                    {
                        let added = row.value.get().len() + STEP_BYTES;
                        entry
                            .state
                            .steps
                            .push((row.step.clone(), SharedJson::clone(&row.value)));
                        entry.bytes += added;
                        *bytes += added;
                    }
                }
                // Rare: the next call reads it.
                Change::InputPut(row) => entries.remove(row.run),
                Change::RunEnd(row) => entries.remove(row.id),
                _ => {}
            }
        }
        entries.evict(self.bytes_max);
    }

    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        entries.runs.clear();
        entries.bytes = 0;
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn insert(&mut self, run: RunId, state: RunState) {
        self.remove(run);
        let events: usize = state.events.iter().map(|event| event.get().len()).sum();
        let steps: usize = state
            .steps
            .iter()
            .map(|(_, value)| value.get().len() + STEP_BYTES)
            .sum();
        let bytes = ENTRY_BYTES + events + steps;
        self.bytes += bytes;
        self.runs.put(run, Entry { state, bytes });
    }

    fn remove(&mut self, run: RunId) {
        if let Some(entry) = self.runs.pop(&run) {
            self.bytes -= entry.bytes;
        }
    }

    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some((_, entry)) = self.runs.pop_lru() else {
                break;
            };
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(bytes: usize) -> RunState {
        let event = stepwell_protocol::shared_json(format!("\"{}\"", "x".repeat(bytes))).unwrap();
        RunState {
            events: vec![event],
            ..RunState::default()
        }
    }

    #[test]
    fn the_run_that_was_used_longest_ago_goes_first() {
        let cache = Cache::new(3_000);
        let [a, b, c] = [1, 2, 3].map(|byte| RunId::from_bytes([byte; 16]));
        cache.put(a, &state(1_000));
        cache.put(b, &state(1_000));
        assert!(cache.get(a, 0).is_some());
        cache.put(c, &state(1_000));
        assert!(cache.get(b, 0).is_none());
        assert!(cache.get(a, 0).is_some() && cache.get(c, 0).is_some());
    }

    #[test]
    fn a_state_with_too_few_steps_does_not_answer() {
        let cache = Cache::new(3_000);
        let run = RunId::from_bytes([1; 16]);
        cache.put(run, &state(10));
        assert!(cache.get(run, 1).is_none());
    }
}
