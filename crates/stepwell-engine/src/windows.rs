//! Debounce windows: events wait for others to stop coming.

use crate::arrival::note;
use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::function::Function;
use crate::schedule::Draft;
use crate::{Change, DebounceRow, IdSource, NewEvent, Timestamp, Verdict};
use std::sync::Arc;
use stepwell_protocol::FunctionId;

/// An open window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) function: FunctionId,
    pub(crate) opened_at: Timestamp,
    pub(crate) closes_at: Timestamp,
    pub(crate) ts_ms: i64,
    pub(crate) draft: Draft,
}

impl Window {
    pub(crate) fn row(&self, key: u128) -> DebounceRow {
        DebounceRow {
            key,
            function: self.function,
            event: self.draft.events[0],
            opened_at: self.opened_at,
            closes_at: self.closes_at,
            ts_ms: self.ts_ms,
            draft: self.draft.encode(),
        }
    }

    /// Reads what [`Window::row`] wrote; `None` when it did not.
    pub(crate) fn from_row(row: &DebounceRow) -> Option<Self> {
        Some(Self {
            function: row.function,
            opened_at: row.opened_at,
            closes_at: row.closes_at,
            ts_ms: row.ts_ms,
            draft: Draft::decode(&row.draft)?,
        })
    }
}

impl Engine {
    /// Lets an event wait in its window. Of two events the later one by their own times has the place, and of two of one
    /// time the later to come.
    pub(crate) fn debounce(
        &mut self,
        function: &Arc<Function>,
        key: u128,
        event: &NewEvent,
        draft: Draft,
        now: Timestamp,
        out: &mut Decision,
    ) -> Verdict {
        let Some(rule) = &function.debounce else {
            unreachable!("only functions with a debounce have windows");
        };
        const SUPERSEDED: &str =
            "the invoked function runs for another event of its debounce window";
        let Some(window) = self.windows.get_mut(&key) else {
            let window = Window {
                function: function.id,
                opened_at: now,
                closes_at: rule.closes_at(now, now),
                ts_ms: event.ts_ms,
                draft,
            };
            return self.put_window(key, window, out);
        };
        if window.ts_ms > event.ts_ms {
            self.reply_with_error(draft.origin.some(), SUPERSEDED);
            return Verdict::Superseded { by_its_time: true };
        }
        let closes_at = rule.closes_at(window.opened_at, now);
        let earlier = std::mem::replace(&mut window.draft, draft);
        let old_closes_at = window.closes_at;
        window.closes_at = closes_at;
        window.ts_ms = event.ts_ms;
        let window = window.clone();
        self.timers.remove(&(old_closes_at, Timer::Window(key)));
        let superseded = Verdict::Superseded { by_its_time: false };
        for event in &earlier.events {
            note(*event, function.id, &superseded, out);
        }
        self.reply_with_error(earlier.origin.some(), SUPERSEDED);
        self.put_window(key, window, out)
    }

    fn put_window(&mut self, key: u128, window: Window, out: &mut Decision) -> Verdict {
        let closes_at = window.closes_at;
        out.changes
            .push(Change::DebouncePut(Box::new(window.row(key))));
        self.timers.insert((closes_at, Timer::Window(key)));
        self.windows.insert(key, window);
        Verdict::Debounced {
            closes_ms: closes_at.ms(),
        }
    }

    /// A window's time has come: its last event starts the function.
    pub(crate) fn close_window(
        &mut self,
        key: u128,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        let Some(window) = self.windows.remove(&key) else {
            return;
        };
        out.changes.push(Change::DebounceDelete(key));
        let Some(function) = self.functions.get(&window.function).map(Arc::clone) else {
            return;
        };
        if function.archived {
            let why = "the invoked function is no longer registered";
            return self.reply_with_error(window.draft.origin.some(), why);
        }
        // An event of the same id may have started it since.
        let seen = window
            .draft
            .dedupe_key
            .and_then(|key| self.window.get(key, now));
        let events = window.draft.events.clone();
        let verdict = match seen {
            Some(run) => {
                let why = "the invoked function has run for an event of the same id";
                self.reply_with_error(window.draft.origin.some(), why);
                Verdict::Duplicate { run }
            }
            None => self.schedule(&function, window.draft, now, ids, out),
        };
        for event in events {
            note(event, function.id, &verdict, out);
        }
    }
}
