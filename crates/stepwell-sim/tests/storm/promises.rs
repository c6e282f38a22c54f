//! What must hold, whatever happens.

use super::Storm;
use std::collections::HashSet;
use stepwell_engine::{Change, Engine, NewEvent};
use stepwell_protocol::{AppId, FunctionId};

impl Storm {
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::EventPut(row) => {
                let event = NewEvent {
                    id: row.id,
                    name: row.name.as_str().into(),
                    external_id: None,
                    ts_ms: row.ts_ms,
                    repeatable: false,
                    body: row.body.clone(),
                };
                self.events.entry(row.id).or_insert(event);
            }
            Change::RunPut(row) => {
                self.runs.push((row.id, row.function, row.events[0]));
                self.unfinished.insert(row.id);
            }
            Change::RunEnd(end) => {
                assert!(self.ended.insert(end.id), "a run ended twice");
                self.unfinished.remove(&end.id);
                for runs in self.under_way.values_mut() {
                    runs.remove(&end.id);
                }
            }
            _ => {}
        }
    }

    pub(super) fn assert_sound(&mut self) {
        assert_eq!(self.engine.stuck_runs().next(), None, "a run is stuck");
        let stored = self.store.writer.load(self.now).expect("it loads");
        assert_eq!(
            self.engine.snapshot(self.now),
            stored,
            "the engine is not what it stored"
        );
        let loaded = Engine::load(stored.clone(), self.config.clone(), self.now);
        assert_eq!(loaded.expect("it loads").snapshot(self.now), stored);
        let limited = FunctionId::of(AppId::of("app"), "app-2");
        let under_way = self.under_way.get(&limited).map_or(0, HashSet::len);
        assert!(
            under_way <= 2,
            "{under_way} runs are under way where two may be"
        );
        for row in stored.bulk_cancels.iter().filter(|row| row.done) {
            let mut left = self
                .runs
                .iter()
                .filter(|(run, of, _)| *of == row.function && self.unfinished.contains(run));
            let left = left.find(|(run, _, event)| row.spans(*run) && self.is_meant(row, *event));
            assert_eq!(left, None, "a bulk cancellation has left a run");
        }
        for function in &self.singletons {
            let unfinished = self
                .runs
                .iter()
                .filter(|(run, of, _)| of == function && self.unfinished.contains(run));
            assert!(unfinished.count() <= 1, "a place is taken twice");
        }
    }
}
