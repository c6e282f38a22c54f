//! Apps register.

use crate::decision::{Answer, Decision};
use crate::engine::Engine;
use crate::function::Function;
use crate::{AppRow, AppSync, Bound, Change, Timestamp};
use hashbrown::HashSet;
use std::sync::Arc;
use stepwell_protocol::{FunctionId, RunId};

impl Engine {
    pub(crate) fn sync_app(&mut self, sync: AppSync, now: Timestamp, out: &mut Decision) {
        let app = AppRow {
            synced_at: now,
            ..sync.app
        };
        let unchanged = self
            .apps
            .get(&app.id)
            .is_some_and(|known| known.checksum == app.checksum && known.url == app.url);
        out.answer = Some(Answer::AppSynced {
            app: app.id,
            modified: !unchanged,
        });
        if unchanged {
            return;
        }
        let missing: Vec<FunctionId> = self
            .functions
            .values()
            .filter(|known| known.app == app.id && !known.archived)
            .filter(|known| {
                !sync
                    .functions
                    .iter()
                    .any(|function| function.id == known.id)
            })
            .map(|known| known.id)
            .collect();
        for id in missing {
            let mut function = (*self.functions[&id]).clone();
            self.triggers.remove(&function);
            self.forget_slug(&function);
            function.archived = true;
            out.changes.push(Change::FunctionPut(function.row()));
            self.arrange_ticks(&function, now, out);
            self.functions.insert(id, Arc::new(function));
        }
        let mut with_other_timeouts = HashSet::new();
        for mut function in sync.functions {
            let mut timeouts_known = function.timeouts;
            if let Some(known) = self.functions.get(&function.id) {
                if known.config == function.config && !known.archived {
                    continue;
                }
                timeouts_known = known.timeouts;
                self.triggers.remove(known);
                function.version = known.version + 1;
                function.paused = known.paused;
                function.bounds = known.bounds;
            }
            self.triggers.add(&function);
            self.note_slug(&function);
            out.changes.push(Change::FunctionPut(function.row()));
            self.arrange_ticks(&function, now, out);
            let (id, timeouts) = (function.id, function.timeouts);
            self.functions.insert(id, Arc::new(function));
            self.queue.wake_function(id, &self.functions);
            if timeouts != timeouts_known {
                with_other_timeouts.insert(id);
            }
        }
        if !with_other_timeouts.is_empty() {
            self.watch_times_of(&with_other_timeouts, now);
        }
        out.changes.push(Change::AppPut(app.clone()));
        self.apps.insert(app.id, app);
    }

    /// Brings the timeouts of these functions' unfinished runs in line with their configuration.
    fn watch_times_of(&mut self, functions: &HashSet<FunctionId>, now: Timestamp) {
        let runs = self.runs.iter();
        let runs: Vec<RunId> = runs
            .filter(|(_, run)| functions.contains(&run.function))
            .map(|(id, _)| *id)
            .collect();
        for run in runs {
            self.watch_time(run, now);
        }
    }

    /// Pauses a function, or lets it go on. Whether there is such a function.
    pub(crate) fn pause(&mut self, id: FunctionId, paused: bool, out: &mut Decision) -> bool {
        // Also one that is no longer registered: runs of it may wait.
        let Some(known) = self.functions.get(&id) else {
            return false;
        };
        // Runs of a function that is gone go on, unless it was paused before: then someone may want to let them.
        if known.archived && (paused || !known.paused) {
            return false;
        }
        if known.paused != paused {
            let mut function = (**known).clone();
            function.paused = paused;
            out.changes.push(Change::FunctionPut(function.row()));
            self.functions.insert(id, Arc::new(function));
            self.queue.wake_function(id, &self.functions);
        }
        true
    }

    /// Bounds the runs of a function, whatever its registrations say. Whether there is such a function.
    pub(crate) fn bound(&mut self, id: FunctionId, bound: Bound, out: &mut Decision) -> bool {
        let Some(known) = self.functions.get(&id) else {
            return false;
        };
        let mut function = (**known).clone();
        match bound {
            Bound::Steps(most) => function.bounds.steps = most,
            Bound::StateBytes(most) => function.bounds.state_bytes = most,
        }
        if function.bounds != known.bounds {
            out.changes.push(Change::FunctionPut(function.row()));
            self.functions.insert(id, Arc::new(function));
        }
        true
    }

    /// Lets a function be found by its public id.
    pub(crate) fn note_slug(&mut self, function: &Function) {
        // An endpoint answers requests: there is nothing that it could be invoked with.
        if function.endpoint {
            return;
        }
        let known = self.slugs.entry(Arc::clone(&function.slug)).or_default();
        if !known.contains(&function.id) {
            known.push(function.id);
            known.sort_unstable();
        }
    }

    fn forget_slug(&mut self, function: &Function) {
        if let Some(known) = self.slugs.get_mut(&function.slug) {
            known.retain(|id| *id != function.id);
            if known.is_empty() {
                self.slugs.remove(&function.slug);
            }
        }
    }
}
