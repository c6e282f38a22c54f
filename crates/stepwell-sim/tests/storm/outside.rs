//! What people and other programs do: events, signals, cancellations, pauses, repetitions.

use super::{FUNCTIONS, Storm, json_text};
use serde_json::json;
use stepwell_engine::{
    BulkCancelRow, EventRow, Input, NewEvent, Repetition, RunStatus, Sweep, Timestamp,
    bulk_condition_holds, invocation_event,
};
use stepwell_protocol::{AppId, EventId, FunctionId, StepId};
use stepwell_store::{RunFilter, RunPlace, RunQuery};

impl Storm {
    pub(super) fn event(&mut self, name: &str) -> NewEvent {
        let id = self.ids.event_id(self.now);
        let later_ms = if self.chance(10) { 3_000 } else { 0 };
        let ts_ms = i64::try_from(self.now.ms() + later_ms).expect("a moment of this era");
        let external_id = self.chance(30).then(|| format!("k{}", self.below(5)));
        let body = json!({"name": name, "data": {"n": self.below(3)}, "ts": ts_ms});
        let event = NewEvent {
            id,
            name: name.into(),
            repeatable: external_id.is_some(),
            external_id,
            ts_ms,
            body: json_text(&body),
        };
        self.events.insert(id, event.clone());
        event
    }

    pub(super) fn send(&mut self) {
        let names = ["x/a", "x/a", "x/b", "x/wait", "x/wait", "x/stop"];
        let count = 1 + self.below(3);
        let events = (0..count)
            .map(|_| {
                let name = self.pick(&names);
                self.event(name)
            })
            .collect();
        self.handle(Input::EventsReceived(events));
    }

    pub(super) fn signal(&mut self) {
        let signal = format!("g{}", self.below(2));
        let data = json_text(&json!(1));
        self.handle(Input::SignalSent { signal, data });
    }

    pub(super) fn invoke(&mut self) {
        let function = format!("app-{}", self.below(FUNCTIONS + 1));
        let event = invocation_event(&json!({"data": {"n": 1}}), None, self.now, &mut self.ids);
        self.events.insert(event.id, event.clone());
        let event = Box::new(event);
        self.handle(Input::FunctionInvoked { function, event });
    }

    pub(super) fn cancel(&mut self) {
        if !self.runs.is_empty() {
            let at = self.below(self.runs.len());
            self.handle(Input::CancelRun(self.runs[at].0));
        }
    }

    /// A span around now: runs that come later may fall into it.
    pub(super) fn bulk_cancel(&mut self) {
        let stored = self.store.reader.bulk_cancels().expect("they are read");
        if !stored.is_empty() && self.chance(20) {
            let id = self.pick(&stored).id;
            return self.handle(Input::BulkCancelDropped(id));
        }
        let slug = format!("app-{}", self.below(FUNCTIONS));
        let before_ms = self.pick(&[0, 5_000, 3_600_000]);
        let row = BulkCancelRow {
            id: self.ids.bulk_cancel_id(self.now),
            function: FunctionId::of(AppId::of("app"), &slug),
            started_after: self
                .chance(30)
                .then(|| Timestamp::from_ms(self.now.ms() - 2_000)),
            started_before: self.now.after_ms(before_ms),
            condition: self.chance(50).then(|| "event.data.n > 0".into()),
            created_at: self.now,
            after: None,
            done: false,
        };
        self.handle(Input::BulkCancelAsked(Box::new(row)));
    }

    pub(super) fn sweep(&mut self) {
        let Some(Sweep { row, generation }) = self.take(|storm| &mut storm.sweeps) else {
            return;
        };
        let page = self.store.reader.find_runs(&RunQuery {
            filter: RunFilter {
                functions: Some(vec![row.function]),
                statuses: vec![RunStatus::Scheduled, RunStatus::Running],
                from: row.started_after,
                until: Some(row.started_before),
                ..RunFilter::default()
            },
            oldest_first: true,
            after: row.after.map(|id| RunPlace { at: None, id }),
            ..RunQuery::newest(2)
        });
        let page = page.expect("they are read");
        let runs = page.runs.iter();
        let runs = runs.filter(|run| self.is_meant(&row, run.events[0]));
        let input = Input::Swept {
            id: row.id,
            generation,
            runs: runs.map(|run| run.id).collect(),
            next: page.next.map(|place| place.id),
        };
        self.handle(input);
    }

    pub(super) fn is_meant(&self, row: &BulkCancelRow, event: EventId) -> bool {
        row.condition.as_ref().is_none_or(|condition| {
            let event = serde_json::from_str(self.events[&event].body.get());
            bulk_condition_holds(condition, &event.expect("an event is JSON"), self.now)
        })
    }

    pub(super) fn pause(&mut self) {
        let slug = format!("app-{}", self.below(FUNCTIONS));
        let function = FunctionId::of(AppId::of("app"), &slug);
        let paused = self.chance(50);
        self.handle(Input::FunctionPaused { function, paused });
    }

    pub(super) fn repeat(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let at = self.below(self.runs.len());
        let (original, function, event) = self.runs[at];
        let event = self.events[&event].clone();
        let target = self.chance(50).then(|| StepId::parse("s1"));
        let input = target.clone().map(|step| (step, json_text(&json!([1]))));
        self.handle(Input::RunRepeated(Box::new(Repetition {
            original,
            function,
            event: EventRow {
                id: event.id,
                name: event.name.to_string(),
                external_id: event.id.to_string(),
                ts_ms: event.ts_ms,
                received_at: self.now,
                body: event.body,
            },
            steps: Vec::new(),
            target,
            input,
        })));
    }
}
