//! What happens to runs and their queue items: added, due, called, ended.

use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::hash;
use crate::item::{Item, ItemState};
use crate::queue::{Hurdles, LaneKey, Limits, Next};
use crate::run::{CancelError, Run};
use crate::waits::WaitFor;
use crate::{
    Announcement, Bounds, Call, Cause, Change, DeferStatus, Effect, ItemId, ItemKind, ItemRow,
    LastCall, MetadataRow, RunEnd, RunStatus, StepRow, Timestamp,
};
use std::sync::Arc;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::{RunId, SharedJson, StepId, metadata, op};

/// A step's result to record.
pub(crate) struct StepEnd {
    pub(crate) step: StepId,
    pub(crate) op: &'static str,
    pub(crate) name: String,
    pub(crate) value: SharedJson,
    pub(crate) failed: bool,
    pub(crate) attempt: u32,
    pub(crate) queued_at: Timestamp,
    pub(crate) started_at: Timestamp,
    pub(crate) detail: Option<String>,
    pub(crate) failures_of: Option<ItemId>,
    pub(crate) metadata: Vec<op::Metadata>,
}

/// How a run ends.
pub(crate) struct Ending {
    pub(crate) status: RunStatus,
    pub(crate) output: Option<SharedJson>,
    pub(crate) cause: Option<Cause>,
    pub(crate) last_call: Option<LastCall>,
}

impl Ending {
    /// An end in this status, without more to it.
    pub(crate) fn of(status: RunStatus) -> Self {
        Self {
            status,
            output: None,
            cause: None,
            last_call: None,
        }
    }
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
        let row = ItemRow::new(self.next_item_id(now), run, kind, due);
        self.add_item_row(row, now, out);
    }

    pub(crate) fn add_item_row(&mut self, row: ItemRow, now: Timestamp, out: &mut Decision) {
        let id = row.id;
        out.changes.push(Change::ItemPut(Box::new(row.clone())));
        self.insert_item(row);
        self.schedule_item(id, now, out);
    }

    /// Takes an item in, without a place yet.
    pub(crate) fn insert_item(&mut self, row: ItemRow) {
        let id = row.id;
        self.runs
            .get_mut(&row.run)
            .expect("items are added to unfinished runs")
            .items
            .push(id);
        match row.wait.as_deref() {
            Some(WaitFor::Event {
                name, condition, ..
            }) => self.waits.add(id, name, condition.as_ref()),
            Some(WaitFor::Signal { name, holds: true }) => {
                self.waits.signals.insert(Arc::clone(name), id);
            }
            _ => {}
        }
        let state = ItemState::Later;
        self.items.insert(id, Box::new(Item { row, state }));
    }

    /// What an item waits for concerns it no more.
    pub(crate) fn forget_wait(&mut self, id: ItemId) {
        let row = &self.items[&id].row;
        match row.wait.as_deref() {
            Some(WaitFor::Event { name, .. }) => self.waits.remove(id, name),
            Some(WaitFor::Signal { name, .. }) => {
                if self.waits.signals.get(name) == Some(&id) {
                    self.waits.signals.remove(name);
                }
            }
            Some(WaitFor::Response { .. }) => self.requests.remove(id),
            Some(WaitFor::Invoke { .. }) | None => {}
        }
    }

    /// Takes an item that is not due yet off the timer.
    pub(crate) fn take_off_the_timer(&mut self, id: ItemId) {
        let item = &self.items[&id];
        if item.state == ItemState::Later {
            self.timers.remove(&(item.row.due, Timer::Item(id)));
        }
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

    pub(crate) fn has_queued_discovery(&self, run: RunId) -> bool {
        self.runs[&run].items.iter().any(|id| {
            let item = &self.items[id];
            matches!(item.row.kind, ItemKind::Discovery(_) | ItemKind::Start)
                && !matches!(item.state, ItemState::InFlight { .. })
        })
    }

    /// Puts an item where it belongs: on the timer, or, when it is due, in its lane.
    pub(crate) fn schedule_item(&mut self, id: ItemId, now: Timestamp, out: &mut Decision) {
        let item = self
            .items
            .get_mut(&id)
            .expect("only known items are scheduled");
        if item.row.due > now {
            item.state = ItemState::Later;
            self.timers.insert((item.row.due, Timer::Item(id)));
            return;
        }
        if item.row.kind == ItemKind::Endpoint {
            // Nothing has been heard of the app for too long: the run goes on from here.
            item.row.kind = ItemKind::Discovery(None);
            let row = item.row.clone();
            out.changes.push(Change::ItemPut(Box::new(row)));
        }
        if item.row.kind.ends_by_itself() {
            if let Some(WaitFor::Event {
                since_ms: Some(_), ..
            }) = item.row.wait.as_deref()
            {
                item.state = ItemState::LookingBack;
                return;
            }
            self.give_up_waiting(id, now, out);
            return;
        }
        item.state = ItemState::Ready;
        let run = &self.runs[&item.row.run];
        let key = lane_key(run);
        let hurdles = || Hurdles {
            gates: run.keys.concurrency.clone(),
            run_gates: if key.starts {
                run.keys.runs.clone()
            } else {
                Vec::new()
            },
            bucket: run.keys.throttle.filter(|_| key.starts),
        };
        self.queue.push(key, hurdles, run.score(), id);
        self.backlogs.add(key.function, item.row.due);
    }

    /// Removes an item for good. Its call, if one is in flight, keeps its slots until it returns.
    pub(crate) fn remove_item(&mut self, id: ItemId, out: &mut Decision) {
        if !self.items.contains_key(&id) {
            return;
        }
        self.forget_wait(id);
        self.take_off_the_timer(id);
        let item = self.items.remove(&id).expect("it was just there");
        out.changes.push(Change::ItemDelete(id));
        let run = self
            .runs
            .get_mut(&item.row.run)
            .expect("an item's run is unfinished");
        run.items.retain(|other| *other != id);
        if item.state == ItemState::Ready {
            let (key, score) = (lane_key(run), run.score());
            self.queue.remove(key, score, id, &self.functions);
            self.backlogs.remove(key.function, item.row.due);
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
        let run_id = item.row.run;
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("an item's run is unfinished");
        self.backlogs.remove(run.function, item.row.due);
        item.state = ItemState::InFlight {
            generation,
            since: now,
            steps_ended: run.steps.len(),
        };
        if matches!(item.row.kind, ItemKind::Gateway(_))
            && let Some(fetch) = self.request_of(id, generation, out)
        {
            out.effects.push(Effect::Fetch(Box::new(fetch)));
            return;
        }
        let run = self.runs.get_mut(&run_id).expect("it was just there");
        let starts = run.status == RunStatus::Scheduled;
        if starts {
            run.status = run
                .status
                .go(RunStatus::Running)
                .expect("a scheduled run can start");
            run.started_at = Some(now);
            self.runs_running += 1;
            out.changes
                .push(Change::RunProgress(Box::new(run.progress(run_id))));
            self.watch_time(run_id, now);
        }
        let (run, row) = (&self.runs[&run_id], &self.items[&id].row);
        let function = &self.functions[&run.function];
        let (target, cause) = match &row.kind {
            ItemKind::Step(step) => (Some(step.clone()), None),
            ItemKind::Discovery(cause) => (None, cause.as_ref()),
            _ => (None, None),
        };
        let deferred = run.defers.iter();
        out.effects.push(Effect::Call(Box::new(Call {
            item: id,
            generation,
            run: run_id,
            function: run.function,
            slug: Arc::clone(&function.slug),
            url: Arc::clone(&function.url),
            endpoint: function.endpoint,
            target,
            stack_current: run.stack_current(cause),
            steps_ended: run.steps.len(),
            starts,
            due: row.due,
            attempt: row.attempt,
            attempts_max: function.attempts_max,
            request_version: run.request_version,
            force_plan: run.force_plan,
            defers: deferred
                .map(|(step, status, _)| (step.clone(), *status == DeferStatus::AfterRun))
                .collect(),
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
        let bounds = self.functions[&run.function].bounds;
        if let Some(at) = run.pending.iter().position(|step| *step == end.step) {
            // Not written: what has ended is left out of what is pending when the rows are loaded.
            run.pending.remove(at);
        }
        if run.steps.contains(&end.step) {
            return Recorded::Repeated;
        }
        if run.steps.len() >= bounds.steps_max() {
            return Recorded::TooMany;
        }
        let state_bytes = run.state_bytes + end.value.get().len();
        if state_bytes > bounds.state_bytes_max() {
            return Recorded::TooLarge;
        }
        run.state_bytes = state_bytes;
        let position = u32::try_from(run.steps.len()).expect("a run has at most 1000 steps");
        run.steps.insert(end.step.clone());
        // Another call may have planned it meanwhile: nobody is to be called for a step that has ended.
        let planned = run.items.iter().copied().find(|id| {
            let item = &self.items[id];
            matches!(&item.row.kind, ItemKind::Step(step) if *step == end.step)
                && !matches!(item.state, ItemState::InFlight { .. })
        });
        if let Some(planned) = planned {
            self.remove_item(planned, out);
        }
        let step = end.step.clone();
        out.changes.push(Change::StepPut(Box::new(StepRow {
            run: run_id,
            step: end.step,
            position,
            op: end.op,
            name: end.name,
            value: end.value,
            failed: end.failed,
            attempt: end.attempt,
            queued_at: end.queued_at,
            started_at: end.started_at,
            ended_at: now,
            detail: end.detail,
            failures_of: end.failures_of,
        })));
        note(run_id, &step, end.attempt, end.metadata, now, out);
        Recorded::First
    }

    /// Records a step's result; fails the run when that would be too much. Whether the run goes on.
    pub(crate) fn record_step_or_fail(
        &mut self,
        run: RunId,
        end: StepEnd,
        now: Timestamp,
        out: &mut Decision,
    ) -> bool {
        match self.record_step(run, end, now, out) {
            Recorded::First | Recorded::Repeated => return true,
            Recorded::TooMany => self.fail_for_steps(run, now, out),
            Recorded::TooLarge => self.fail_for_state(run, now, out),
        }
        false
    }

    fn bounds_of(&self, run: RunId) -> Bounds {
        self.functions[&self.runs[&run].function].bounds
    }

    pub(crate) fn fail_for_steps(&mut self, run: RunId, now: Timestamp, out: &mut Decision) {
        let max = self.bounds_of(run).steps_max();
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
        let max = self.bounds_of(run).state_bytes_max();
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

    /// Ends a run by its function's own doing.
    pub(crate) fn end_run(
        &mut self,
        id: RunId,
        status: RunStatus,
        output: Option<SharedJson>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        self.end_run_for(id, status, output, None, now, out);
    }

    /// Ends a run that no call has ended.
    pub(crate) fn end_run_for(
        &mut self,
        id: RunId,
        status: RunStatus,
        output: Option<SharedJson>,
        cause: Option<Cause>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let end = Ending {
            output,
            cause,
            ..Ending::of(status)
        };
        self.end(id, end, now, out);
    }

    /// Ends a run: its items go, its places are free, its status and output become visible together, and whoever waits
    /// for its end is told.
    pub(crate) fn end(&mut self, id: RunId, end: Ending, now: Timestamp, out: &mut Decision) {
        let Ending {
            status,
            output,
            cause,
            last_call,
        } = end;
        for item in self.runs[&id].items.clone() {
            if status == RunStatus::Cancelled
                && let ItemState::InFlight { generation, .. } = self.items[&item].state
            {
                out.effects.push(Effect::GiveUp { item, generation });
            }
            let cut = self.items[&item].cut_short(status, last_call, now);
            out.changes
                .extend(cut.map(|row| Change::AttemptPut(Box::new(row))));
            self.remove_item(item, out);
        }
        let run = self.runs.remove(&id).expect("only unfinished runs end");
        if run.status == RunStatus::Running {
            self.runs_running -= 1;
        }
        let status = run
            .status
            .end(status, cause)
            .expect("an unfinished run can end for its cause");
        for listener in run.listeners {
            if let Some(row) = self.waits.cancels.remove(&listener) {
                self.waits.remove(listener, &row.event);
                out.changes.push(Change::CancelDelete(listener));
            }
        }
        if let Some(over_at) = run.over_at {
            self.timers.remove(&(over_at, Timer::Run(id)));
        }
        if let Some(place) = run.keys.singleton
            && self.singletons.get(&place) == Some(&id)
        {
            self.singletons.remove(&place);
        }
        if run.started_at.is_some() {
            self.queue.leave_run(&run.keys.runs, &self.functions);
        }
        self.reply_with_end(run.origin, id, status, output.as_ref());
        out.changes.push(Change::RunEnd(RunEnd {
            id,
            status,
            ended_at: now,
            output,
            cause,
            last_call,
        }));
        let heard = |name| self.triggers.any(name) || self.waits.any(name);
        let announced = run.announces
            && (heard(FUNCTION_FINISHED)
                || (status == RunStatus::Failed && heard(FUNCTION_FAILED))
                || (status == RunStatus::Cancelled && heard(FUNCTION_CANCELLED)));
        let deferred = run.defers.iter();
        let mut deferred = deferred.map(|(_, status, _)| *status);
        if announced || deferred.any(|status| status == DeferStatus::AfterRun) {
            let kind = ItemKind::Announce;
            let row = ItemRow::new(self.next_item_id(now), id, kind, Timestamp::default());
            let announcement = Announcement {
                item: row.id,
                run: id,
                status,
            };
            out.changes.push(Change::ItemPut(Box::new(row)));
            self.announcements.insert(announcement.item, announcement);
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
        let cause = Some(Cause::Request);
        self.end_run_for(id, RunStatus::Cancelled, None, cause, now, out);
        Ok(())
    }
}

/// Writes down what an op notes.
pub(crate) fn note(
    run: RunId,
    step: &StepId,
    attempt: u32,
    metadata: Vec<op::Metadata>,
    at: Timestamp,
    out: &mut Decision,
) {
    for noted in metadata {
        let target = metadata::Target::of(noted.scope, step, attempt);
        let update = metadata::Update {
            kind: noted.kind,
            op: noted.op,
            values: noted.values,
        };
        out.changes.push(Change::MetadataPut(Box::new(MetadataRow {
            run,
            target,
            update,
            at,
        })));
    }
}

/// The lane of a run's item.
pub(crate) fn lane_key(run: &Run) -> LaneKey {
    let starts = takes_a_start(run);
    let bucket = run.keys.throttle.filter(|_| starts);
    let run_gates: &[(u64, u128)] = if starts { &run.keys.runs } else { &[] };
    let gates = run.keys.concurrency.iter().chain(run_gates);
    let values = if gates.clone().next().is_none() && bucket.is_none() {
        0
    } else {
        let mut parts = Vec::with_capacity(32 * (gates.clone().count() + 1));
        for (definition, value) in gates {
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

/// Whether the next call is the run's start, which the throttle and limits on runs count: the first one, not one that is
/// tried again. A repetition may begin with a step.
fn takes_a_start(run: &Run) -> bool {
    run.status == RunStatus::Scheduled
}
