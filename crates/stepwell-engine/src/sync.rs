//! Apps register.

use crate::decision::{Answer, Decision};
use crate::engine::Engine;
use crate::{AppRow, AppSync, Change, Timestamp};
use std::sync::Arc;
use stepwell_protocol::FunctionId;

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
            function.archived = true;
            out.changes.push(Change::FunctionPut(function.row()));
            self.functions.insert(id, Arc::new(function));
        }
        for mut function in sync.functions {
            if let Some(known) = self.functions.get(&function.id) {
                if known.config == function.config && !known.archived {
                    continue;
                }
                self.triggers.remove(known);
                function.version = known.version + 1;
            }
            self.triggers.add(&function);
            out.changes.push(Change::FunctionPut(function.row()));
            let id = function.id;
            self.functions.insert(id, Arc::new(function));
            self.queue.wake_function(id, &self.functions);
        }
        out.changes.push(Change::AppPut(app.clone()));
        self.apps.insert(app.id, app);
    }
}
