//! What happens to runs and their queue items: added, due, called, ended.

use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::hash;
use crate::item::{Item, ItemState};
use crate::queue::{Hurdles, LaneKey, Limits, Next};
use crate::run::{CancelError, Run};
use crate::{
    Announcement, Call, Change, Effect, ItemId, ItemKind, ItemRow, RunEnd, RunStatus, StepRow,
    Timestamp,
};
use std::sync::Arc;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::{RunId, SharedJson, StepId, limits};

/// A step's result to record.
pub(crate) struct StepEnd {
    pub(crate) step: StepId,
    pub(crate) op: &'static str,
    pub(crate) name: String,
    pub(crate) value: SharedJson,
    pub(crate) failed: bool,
    pub(crate) attempt: u32,
    pub(crate) started_at: Timestamp,
}

/// What became of recording a step's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is the step's result now.
    First,
    /// The step had a result already, which stays.
    Repeated,
    /// The run would have too many steps.
    TooMany,
    /// The run's values would be too large.
    TooLarge,
}

impl Engine {
    pub(crate) fn add_item(
        &mut self,
        run: RunId,
        kind: ItemKind,
        due: Timestamp,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let id = self.next_item_id(now);
        out.changes.push(Change::ItemPut(ItemRow {
            id,
            run,
            kind: kind.clone(),
            due,
            attempt: 0,
        }));
        self.items.insert(
            id,
            Item {
                run,
                kind,
                due,
                attempt: 0,
                state: ItemState::Later,
            },
        );
        self.runs
            .get_mut(&run)
            .expect("items are added to unfinished runs")
            .items
            .push(id);
        self.schedule_item(id, now, out);
    }

    /// Adds the call that finds out what comes next, unless one is queued already.
    pub(crate) fn add_discovery(
        &mut self,
        run: RunId,
        cause: Option<StepId>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        if !self.has_queued_discovery(run) {
            self.add_item(run, ItemKind::Discovery(cause), now, now, out);
        }
    }

    /// Whether a step of the run's parallel group is pending that something other than the item at hand will end.
    /// A group whose steps nothing will end any more is not waited for: the function is called and says anew
    /// what it wants.
    pub(crate) fn waits_for_group(&self, run: RunId) -> bool {
        let run = &self.runs[&run];
        !run.pending.is_empty() && run.items.len() > 1
    }

    fn has_queued_discovery(&self, run: RunId) -> bool {
        self.runs[&run].items.iter().any(|id| {
            let item = &self.items[id];
            matches!(item.kind, ItemKind::Discovery(_) | ItemKind::Start)
                && !matches!(item.state, ItemState::InFlight { .. })
        })
    }

    /// Puts an item where it belongs: on the timer, or, when it is due, in its lane.
    pub(crate) fn schedule_item(&mut self, id: ItemId, now: Timestamp, out: &mut Decision) {
        let item = self
            .items
            .get_mut(&id)
            .expect("only known items are scheduled");
        if item.due > now {
            item.state = ItemState::Later;
            self.timers.insert((item.due, Timer::Item(id)));
            return;
        }
        if let ItemKind::Sleep(step) | ItemKind::RacingSleep(step) = &item.kind {
            let step = step.clone();
            self.end_sleep(id, step, now, out);
            return;
        }
        item.state = ItemState::Ready;
        let run = &self.runs[&item.run];
        let key = lane_key(run, &item.kind);
        let hurdles = || Hurdles {
            gates: run.keys.concurrency.clone(),
            bucket: run.keys.throttle.filter(|_| key.starts),
        };
        self.queue.push(key, hurdles, run.score(), id);
    }

    fn end_sleep(&mut self, id: ItemId, step: StepId, now: Timestamp, out: &mut Decision) {
        let run_id = self.items[&id].run;
        let race = matches!(self.items[&id].kind, ItemKind::RacingSleep(_));
        let end = StepEnd {
            step: step.clone(),
            op: "Sleep",
            name: String::new(),
            value: stepwell_protocol::shared_json("null".to_owned()).expect("null is JSON"),
            failed: false,
            attempt: 0,
            started_at: id.made_at(),
        };
        match self.record_step(run_id, end, now, out) {
            Recorded::First | Recorded::Repeated => {}
            Recorded::TooMany => return self.fail_for_steps(run_id, now, out),
            Recorded::TooLarge => return self.fail_for_state(run_id, now, out),
        }
        let goes_on = race || !self.waits_for_group(run_id);
        if goes_on {
            self.allow_immediate(run_id, out);
        }
        if !goes_on || self.has_queued_discovery(run_id) {
            self.remove_item(id, out);
            return;
        }
        let item = self.items.get_mut(&id).expect("the sleep was just there");
        item.kind = ItemKind::Discovery(Some(step));
        item.due = now;
        out.changes.push(Change::ItemPut(ItemRow {
            id,
            run: run_id,
            kind: item.kind.clone(),
            due: item.due,
            attempt: item.attempt,
        }));
        self.schedule_item(id, now, out);
    }

    /// Removes an item for good. Its call, if one is in flight, keeps its slots until it returns.
    pub(crate) fn remove_item(&mut self, id: ItemId, out: &mut Decision) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        out.changes.push(Change::ItemDelete(id));
        let run = self
            .runs
            .get_mut(&item.run)
            .expect("an item's run is unfinished");
        run.items.retain(|other| *other != id);
        match item.state {
            ItemState::Later => {
                self.timers.remove(&(item.due, Timer::Item(id)));
            }
            ItemState::Ready => {
                let (key, score) = (lane_key(run, &item.kind), run.score());
                self.queue.remove(key, score, id, &self.functions);
            }
            ItemState::InFlight { .. } => {}
        }
    }

    /// Calls whatever may be called now.
    pub(crate) fn dispatch(&mut self, now: Timestamp, out: &mut Decision) {
        loop {
            let generation = self.next_generation();
            let (functions, throttles) = (&self.functions, &mut self.throttles);
            let next = self.queue.next(generation, functions, |function, bucket| {
                let Some(throttle) = functions.throttle(function) else {
                    return Ok(());
                };
                let tat_us = throttle.admit(throttles.get(bucket), now)?;
                throttles.record(bucket, tat_us, now, &mut out.changes);
                Ok(())
            });
            match next {
                Next::Call(item) => self.call(item, generation, now, out),
                Next::WakeAt(due, lane) => {
                    self.timers.insert((due, Timer::Lane(lane)));
                }
                Next::Nothing => return,
            }
        }
    }

    fn call(&mut self, id: ItemId, generation: u64, now: Timestamp, out: &mut Decision) {
        let item = self
            .items
            .get_mut(&id)
            .expect("only known items are in lanes");
        let run_id = item.run;
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("an item's run is unfinished");
        item.state = ItemState::InFlight {
            generation,
            since: now,
            steps_ended: run.steps.len(),
        };
        let starts = run.status == RunStatus::Scheduled;
        if starts {
            run.status = run
                .status
                .go(RunStatus::Running)
                .expect("a scheduled run can start");
            run.started_at = Some(now);
            out.changes
                .push(Change::RunProgress(Box::new(run.progress(run_id))));
        }
        let function = &self.functions[&run.function];
        let (target, cause) = match &item.kind {
            ItemKind::Step(step) => (Some(step.clone()), None),
            ItemKind::Discovery(cause) => (None, cause.as_ref()),
            ItemKind::Start
            | ItemKind::Sleep(_)
            | ItemKind::RacingSleep(_)
            | ItemKind::Announce => (None, None),
        };
        out.effects.push(Effect::Call(Box::new(Call {
            item: id,
            generation,
            run: run_id,
            function: run.function,
            slug: Arc::clone(&function.slug),
            url: Arc::clone(&function.url),
            target,
            stack_current: run.stack_current(cause),
            steps_ended: run.steps.len(),
            starts,
            attempt: item.attempt,
            attempts_max: function.attempts_max,
            request_version: run.request_version,
            force_plan: run.force_plan,
        })));
    }

    /// Records a step's result, unless it has one.
    pub(crate) fn record_step(
        &mut self,
        run_id: RunId,
        end: StepEnd,
        now: Timestamp,
        out: &mut Decision,
    ) -> Recorded {
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("steps end in unfinished runs");
        if let Some(at) = run.pending.iter().position(|step| *step == end.step) {
            // Not written: what has ended is left out of what is pending when the rows are loaded.
            run.pending.remove(at);
        }
        if run.steps.contains(&end.step) {
            return Recorded::Repeated;
        }
        if run.steps.len() >= limits::STEPS_PER_RUN_MAX {
            return Recorded::TooMany;
        }
        let state_bytes = run.state_bytes + end.value.get().len();
        if state_bytes > limits::RUN_STATE_BYTES_MAX {
            return Recorded::TooLarge;
        }
        run.state_bytes = state_bytes;
        let position = u32::try_from(run.steps.len()).expect("a run has at most 1000 steps");
        run.steps.insert(end.step.clone());
        out.changes.push(Change::StepPut(Box::new(StepRow {
            run: run_id,
            step: end.step,
            position,
            op: end.op,
            name: end.name,
            value: end.value,
            failed: end.failed,
            attempt: end.attempt,
            started_at: end.started_at,
            ended_at: now,
        })));
        Recorded::First
    }

    pub(crate) fn fail_for_steps(&mut self, run: RunId, now: Timestamp, out: &mut Decision) {
        let max = limits::STEPS_PER_RUN_MAX;
        let message = format!("The function run exceeded the step limit of {max} steps.");
        self.fail_for_limit(
            run,
            "InngestErrFunctionOverflowed",
            "function has too many steps",
            &message,
            now,
            out,
        );
    }

    pub(crate) fn fail_for_state(&mut self, run: RunId, now: Timestamp, out: &mut Decision) {
        let max = limits::RUN_STATE_BYTES_MAX;
        let message = format!("The function run exceeded the state size limit of {max} bytes.");
        let error = format!("InngestErrStateOverflowed: {message}");
        self.fail_for_limit(run, "InngestErrStateOverflowed", &error, &message, now, out);
    }

    /// Fails a run with an error of the server's own.
    pub(crate) fn fail_for_limit(
        &mut self,
        run: RunId,
        name: &str,
        error: &str,
        message: &str,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let output =
            serde_json::json!({"error": error, "name": name, "message": message}).to_string();
        let output = stepwell_protocol::shared_json(output).expect("serialised JSON is JSON");
        self.end_run(run, RunStatus::Failed, Some(output), now, out);
    }

    /// Ends a run: its items go, its status and output become visible together.
    pub(crate) fn end_run(
        &mut self,
        id: RunId,
        status: RunStatus,
        output: Option<SharedJson>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let items = self.runs[&id].items.clone();
        for item in items {
            self.remove_item(item, out);
        }
        let run = self.runs.remove(&id).expect("only unfinished runs end");
        let status = run.status.go(status).expect("an unfinished run can end");
        out.changes.push(Change::RunEnd(RunEnd {
            id,
            status,
            ended_at: now,
            output,
        }));
        let heard = self.triggers.any(FUNCTION_FINISHED)
            || (status == RunStatus::Failed && self.triggers.any(FUNCTION_FAILED))
            || (status == RunStatus::Cancelled && self.triggers.any(FUNCTION_CANCELLED));
        if heard && run.announces {
            let item = self.next_item_id(now);
            let kind = ItemKind::Announce;
            out.changes.push(Change::ItemPut(ItemRow {
                id: item,
                run: id,
                kind,
                due: Timestamp::default(),
                attempt: 0,
            }));
            let announcement = Announcement {
                item,
                run: id,
                status,
            };
            self.announcements.insert(item, announcement);
            out.effects.push(Effect::Announce(announcement));
        }
    }

    pub(crate) fn cancel_run(
        &mut self,
        id: RunId,
        now: Timestamp,
        out: &mut Decision,
    ) -> Result<(), CancelError> {
        if !self.runs.contains_key(&id) {
            return Err(CancelError::NotRunning);
        }
        self.end_run(id, RunStatus::Cancelled, None, now, out);
        Ok(())
    }
}

/// The lane of a run's item.
fn lane_key(run: &Run, kind: &ItemKind) -> LaneKey {
    let starts = takes_a_start(run, kind);
    let bucket = run.keys.throttle.filter(|_| starts);
    let values = if run.keys.concurrency.is_empty() && bucket.is_none() {
        0
    } else {
        let mut parts = Vec::with_capacity(32 * (run.keys.concurrency.len() + 1));
        for (definition, value) in &run.keys.concurrency {
            parts.extend_from_slice(&definition.to_le_bytes());
            parts.extend_from_slice(&value.to_le_bytes());
        }
        hash(&[&parts, &bucket.unwrap_or(0).to_le_bytes()])
    };
    LaneKey {
        function: run.function,
        starts,
        values,
    }
}

/// Whether a call of this item is the run's start, which the throttle counts: the first one, not one that is tried
/// again.
fn takes_a_start(run: &Run, kind: &ItemKind) -> bool {
    *kind == ItemKind::Start && run.status == RunStatus::Scheduled
}
