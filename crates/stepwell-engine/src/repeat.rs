//! Repetitions: a run is run again, whole or from one of its steps on.
//!
//! A repetition is a run of its own that no rate limit, debounce or duplicate check holds back. From a step on, it takes
//! over the results of the steps before; the step itself may get other arguments.

use crate::arrival::{Arriving, announces, keys_of};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::lifecycle::StepEnd;
use crate::origin::Origin;
use crate::schedule::Draft;
use crate::{Change, IdSource, ItemKind, NewEvent, Repetition, StepInputRow, Timestamp, Verdict};
use smallvec::smallvec;
use std::sync::Arc;
use stepwell_protocol::{RunId, SharedJson};

impl Engine {
    /// The run that repeats another; nothing when its function is gone.
    pub(crate) fn repeat(
        &mut self,
        repetition: Repetition,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Option<RunId> {
        let function = self.functions.get(&repetition.function).map(Arc::clone)?;
        if function.archived {
            return None;
        }
        let event = NewEvent {
            id: repetition.event.id,
            name: repetition.event.name.as_str().into(),
            external_id: None,
            ts_ms: 0,
            repeatable: false,
            body: SharedJson::clone(&repetition.event.body),
        };
        out.changes.push(Change::EventPut(repetition.event));
        let mut arriving = Arriving::new(&event);
        let value = arriving.parsed.get();
        let entries = function.cancel_on.iter();
        let listeners = entries.filter_map(|entry| entry.listener(value)).collect();
        let draft = Draft {
            events: smallvec![event.id],
            dedupe_key: None,
            announces: announces(&event.name),
            keys: keys_of(&function, &mut arriving.parsed, now),
            listeners,
            origin: Origin {
                original: Some(repetition.original),
                ..Origin::default()
            },
            starts_ms: now.ms(),
        };
        let run = match self.schedule(&function, draft, now, ids, out) {
            Verdict::Started { run } => run,
            Verdict::Skipped { run, .. } => return Some(run),
            _ => return None,
        };
        for kept in repetition.steps {
            let end = StepEnd {
                step: kept.step,
                op: kept.op.as_str(),
                name: kept.name,
                value: kept.value,
                failed: kept.failed,
                attempt: 0,
                queued_at: now,
                started_at: now,
                detail: None,
                failures_of: None,
                metadata: Vec::new(),
            };
            if !self.record_step_or_fail(run, end, now, out) {
                return Some(run);
            }
        }
        if let Some((step, input)) = repetition.input {
            out.changes.push(Change::InputPut(Box::new(StepInputRow {
                run,
                step,
                input,
            })));
        }
        if let Some(target) = repetition.target {
            self.start_at(run, target, now, out);
        }
        Some(run)
    }

    /// Lets a run begin with one of its steps instead of finding out what comes first.
    fn start_at(
        &mut self,
        run: RunId,
        target: stepwell_protocol::StepId,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let items = self.runs[&run].items.clone();
        for item in items {
            if self.items[&item].row.kind == ItemKind::Start {
                self.remove_item(item, out);
            }
        }
        self.add_item(run, ItemKind::Step(target), now, now, out);
    }
}
