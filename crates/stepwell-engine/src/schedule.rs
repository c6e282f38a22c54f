//! Scheduling: a run that is to be becomes one, or is skipped.

use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::Keys;
use crate::flow::cancel_on::Listener;
use crate::flow::singleton::Mode;
use crate::function::Function;
use crate::origin::Origin;
use crate::run::Run;
use crate::{
    CancelRow, Cause, Change, IdSource, ItemKind, RunEnd, RunRow, RunStatus, Timestamp, Verdict,
};
use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;
use stepwell_protocol::{EventId, RunId};

/// A run to be, as its event made it: what a debounce window keeps, so that the event need not be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) events: SmallVec<[EventId; 1]>,
    pub(crate) dedupe_key: Option<u128>,
    pub(crate) announces: bool,
    pub(crate) keys: Keys,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) origin: Origin,
    /// Not before this moment, in milliseconds since the Unix epoch.
    pub(crate) starts_ms: u64,
}

/// A draft as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    events: Vec<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dedupe_key: Option<String>,
    announces: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listeners: Vec<Listener>,
    #[serde(default)]
    origin: Origin,
    starts_ms: u64,
}

impl Draft {
    pub(crate) fn encode(&self) -> String {
        let stored = Stored {
            events: self.events.to_vec(),
            dedupe_key: self.dedupe_key.map(|key| format!("{key:x}")),
            announces: self.announces,
            keys: self.keys.encode(),
            listeners: self.listeners.clone(),
            origin: self.origin.clone(),
            starts_ms: self.starts_ms,
        };
        serde_json::to_string(&stored).expect("a draft has only string keys")
    }

    /// Reads what [`Draft::encode`] wrote; `None` when it did not.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let dedupe_key = match stored.dedupe_key {
            None => None,
            Some(key) => Some(u128::from_str_radix(&key, 16).ok()?),
        };
        let keys = match stored.keys {
            None => Keys::default(),
            Some(keys) => Keys::decode(&keys)?,
        };
        Some(Self {
            events: stored.events.into(),
            dedupe_key,
            announces: stored.announces,
            keys,
            listeners: stored.listeners,
            origin: stored.origin,
            starts_ms: stored.starts_ms,
        })
    }
}

impl Engine {
    /// Schedules a run, or skips it.
    pub(crate) fn schedule(
        &mut self,
        function: &Arc<Function>,
        draft: Draft,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Verdict {
        let id = ids.run_id(now);
        if function.paused {
            return self.skip(function, id, draft, Cause::FunctionPaused, now, out);
        }
        let holder = draft
            .keys
            .singleton
            .and_then(|place| self.singletons.get(&place).copied());
        if let (Some(holder), Some(singleton)) = (holder, &function.singleton) {
            match singleton.mode {
                Mode::Skip => {
                    let cause = Cause::Singleton { run: holder };
                    return self.skip(function, id, draft, cause, now, out);
                }
                Mode::Cancel => {
                    let cause = Some(Cause::Replaced { run: id });
                    self.end_run_for(holder, RunStatus::Cancelled, None, cause, now, out);
                }
            }
        }
        if let Some(key) = draft.dedupe_key {
            self.window.insert(key, Some(id), now, now, out);
        }
        let due = Timestamp::from_ms(draft.starts_ms).max(now);
        let (run, listeners) = self.put_run(function, id, draft, now, out);
        if let Some(place) = run.keys.singleton {
            self.singletons.insert(place, id);
        }
        self.runs.insert(id, Box::new(run));
        self.audit_ring.push_back(id);
        for listener in listeners {
            self.listen(id, listener, now, out);
        }
        self.add_item(id, ItemKind::Start, due, now, out);
        self.watch_time(id, now);
        self.bulk_cancels.meet(function.id, id);
        Verdict::Started { run: id }
    }

    /// Writes a run that never runs, and answers whoever waits for it. Its event may come again.
    fn skip(
        &mut self,
        function: &Function,
        id: RunId,
        mut draft: Draft,
        cause: Cause,
        now: Timestamp,
        out: &mut Decision,
    ) -> Verdict {
        draft.dedupe_key = None;
        let (run, _) = self.put_run(function, id, draft, now, out);
        let status = run
            .status
            .end(RunStatus::Skipped, Some(cause))
            .expect("a new run can be skipped for its cause");
        out.changes.push(Change::RunEnd(RunEnd {
            id,
            status,
            ended_at: now,
            output: None,
            cause: Some(cause),
            last_call: None,
        }));
        let why = match cause {
            Cause::Singleton { run } => format!("run {run} has its place"),
            _ => "the function is paused".to_owned(),
        };
        self.reply_with_error(
            run.origin,
            &format!("the invoked function was skipped: {why}"),
        );
        Verdict::Skipped { run: id, cause }
    }

    /// Keys as runs hold them.
    pub(crate) fn shared_keys(&self, keys: Keys) -> Arc<Keys> {
        if keys == *self.no_keys {
            Arc::clone(&self.no_keys)
        } else {
            Arc::new(keys)
        }
    }

    pub(crate) fn put_run(
        &mut self,
        function: &Function,
        id: RunId,
        draft: Draft,
        now: Timestamp,
        out: &mut Decision,
    ) -> (Run, Vec<Listener>) {
        let run = Run {
            function: function.id,
            function_version: function.version,
            events: draft.events,
            dedupe_key: draft.dedupe_key,
            announces: draft.announces,
            queued_at: now,
            keys: self.shared_keys(draft.keys),
            origin: draft.origin.some(),
            status: RunStatus::Scheduled,
            started_at: None,
            request_version: -1,
            force_plan: false,
            pending: Vec::new(),
            steps: IndexSet::new(),
            state_bytes: 0,
            items: SmallVec::new(),
            listeners: Vec::new(),
            defers: Vec::new(),
            over_at: None,
        };
        out.changes.push(Change::RunPut(Box::new(run.row(id))));
        (run, draft.listeners)
    }

    /// Listens for an event that cancels a run.
    fn listen(&mut self, run: RunId, listener: Listener, now: Timestamp, out: &mut Decision) {
        let row = CancelRow {
            id: self.next_item_id(now),
            run,
            expires_at: listener.expires_at(now),
            event: listener.event,
            condition: listener.condition,
        };
        out.changes.push(Change::CancelPut(Box::new(row.clone())));
        self.add_listener(row);
    }

    pub(crate) fn add_listener(&mut self, row: CancelRow) {
        let run = self
            .runs
            .get_mut(&row.run)
            .expect("only unfinished runs listen");
        run.listeners.push(row.id);
        self.waits.add(row.id, &row.event, row.condition.as_ref());
        self.waits.cancels.insert(row.id, row);
    }

    /// Notes when the run is over time, as far as its function says and it is not noted already.
    pub(crate) fn watch_time(&mut self, id: RunId, now: Timestamp) {
        let over_at = self.over_at(id);
        let run = self
            .runs
            .get_mut(&id)
            .expect("only unfinished runs have timeouts");
        if run.over_at == over_at {
            return;
        }
        if let Some(old) = run.over_at.take() {
            self.timers.remove(&(old, Timer::Run(id)));
        }
        run.over_at = over_at;
        if let Some(over_at) = over_at {
            self.timers.insert((over_at.max(now), Timer::Run(id)));
            run.over_at = Some(over_at.max(now));
        }
    }

    fn over_at(&self, id: RunId) -> Option<Timestamp> {
        let run = &self.runs[&id];
        // Events that came together are waited for by design; their run has no start timeout.
        if run.started_at.is_none() && run.is_batch() {
            return None;
        }
        let is_tick = run
            .origin
            .as_ref()
            .is_some_and(|origin| origin.cron.is_some());
        let rows = run.items.iter().map(|item| &self.items[item].row);
        // A schedule's jitter is by design, too: until then nothing is late.
        let due = rows
            .filter(|row| is_tick && row.kind == ItemKind::Start)
            .map(|row| row.due.max(run.queued_at))
            .max();
        let timeouts = self.functions[&run.function].timeouts;
        timeouts.over_at(due.unwrap_or(run.queued_at), run.started_at)
    }

    /// A run's timeout has come; the function may have got another one meanwhile.
    pub(crate) fn time_is_up(&mut self, id: RunId, now: Timestamp, out: &mut Decision) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.over_at = None;
        let started_at = run.started_at;
        let over_at = self.over_at(id);
        if over_at.is_none_or(|over_at| over_at > now) {
            return self.watch_time(id, now);
        }
        let cause = match started_at {
            None => Cause::StartTimeout,
            Some(_) => Cause::FinishTimeout,
        };
        self.end_run_for(id, RunStatus::Cancelled, None, Some(cause), now, out);
    }
}

impl Run {
    fn is_batch(&self) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|origin| origin.batch.is_some())
    }

    /// The row that stores it.
    pub(crate) fn row(&self, id: RunId) -> RunRow {
        RunRow {
            id,
            function: self.function,
            function_version: self.function_version,
            events: self.events.clone(),
            dedupe_key: self.dedupe_key,
            announces: self.announces,
            queued_at: self.queued_at,
            keys: self.keys.encode(),
            origin: self.origin.clone(),
            progress: self.progress(id),
        }
    }
}
