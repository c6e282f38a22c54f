//! A call has returned: what it means for the run.

mod ops;

pub(crate) use ops::{Granted, no_data, result_of, rides_along};

use crate::decision::Decision;
use crate::engine::Engine;
use crate::item::ItemState;
use crate::lifecycle::Ending;
use crate::{
    AttemptRow, Change, IdSource, ItemId, ItemKind, LastCall, ReportedOutcome, ReportedReply,
    RunStatus, Timestamp,
};
use stepwell_protocol::reply::{Failure, RetryAfter};
use stepwell_protocol::{RunId, SharedJson, StepId};

/// How long a call waits that could not be made through no fault of the function.
const NOT_MADE_MS: u64 = 1_000;
/// The longest that whoever could not make a call may have it wait.
const NOT_MADE_MS_MAX: u64 = 60_000;

/// One returned call, while it is being dealt with.
pub(crate) struct Returned {
    pub(crate) item: ItemId,
    pub(crate) run: RunId,
    pub(crate) kind: ItemKind,
    pub(crate) attempt: u32,
    /// The item, if calls of it have failed before and nothing that the answer reports has been told so yet.
    pub(crate) failures_of: Option<ItemId>,
    /// When it was due.
    pub(crate) queued_at: Timestamp,
    pub(crate) since: Timestamp,
    /// Steps whose values the call carried.
    pub(crate) steps_ended: usize,
    pub(crate) retry_after: Option<RetryAfter>,
    pub(crate) no_retry: bool,
}

impl Returned {
    fn last_call(&self) -> LastCall {
        LastCall {
            item: self.item,
            queued_at: self.queued_at,
            started_at: self.since,
            status: None,
        }
    }
}

impl Engine {
    pub(crate) fn call_returned(
        &mut self,
        item_id: ItemId,
        generation: u64,
        reply: ReportedReply,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        if !self.queue.release(item_id, generation, &self.functions) {
            return;
        }
        // The run may have ended meanwhile.
        let Some(item) = self.items.get(&item_id) else {
            return;
        };
        let ItemState::InFlight {
            since, steps_ended, ..
        } = item.state
        else {
            return;
        };
        let (run, attempt) = (item.row.run, item.row.attempt);
        let mut returned = Returned {
            item: item_id,
            run,
            kind: item.row.kind.clone(),
            attempt,
            failures_of: (attempt > 0).then_some(item_id),
            queued_at: item.row.due,
            since,
            steps_ended,
            retry_after: reply.retry_after,
            no_retry: reply.no_retry,
        };
        self.fix_request_version(run, reply.request_version, out);
        match reply.outcome {
            ReportedOutcome::NotMade => {
                let wait_ms = match reply.retry_after {
                    Some(RetryAfter::In(ms)) => ms.clamp(NOT_MADE_MS, NOT_MADE_MS_MAX),
                    _ => NOT_MADE_MS,
                };
                self.requeue(&returned, attempt, now.after_ms(wait_ms), now, out)
            }
            ReportedOutcome::Returned(output) => {
                let last_call = returned.last_call();
                self.end_returned(&returned, RunStatus::Completed, output, last_call, now, out);
            }
            ReportedOutcome::Failed(failure) => {
                self.attempt_failed(&returned, failure, now, ids, out)
            }
            ReportedOutcome::Ops(ops) => self.ops_reported(&mut returned, ops, now, ids, out),
        }
    }

    fn fix_request_version(&mut self, run_id: RunId, version: Option<i32>, out: &mut Decision) {
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("a call's run is unfinished");
        if run.request_version < 0
            && let Some(version) = version
        {
            run.request_version = version;
            out.changes
                .push(Change::RunProgress(Box::new(run.progress(run_id))));
        }
    }

    fn attempts_max(&self, run: RunId) -> u32 {
        self.functions[&self.runs[&run].function].attempts_max
    }

    fn may_retry(&self, returned: &Returned) -> bool {
        !returned.no_retry && returned.attempt + 1 < self.attempts_max(returned.run)
    }

    /// The function itself failed, or could not be reached.
    pub(crate) fn attempt_failed(
        &mut self,
        returned: &Returned,
        failure: Failure,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        let error = serde_json::to_string(&failure.error).expect("an error serialises");
        if self.may_retry(returned) {
            let due = self
                .config
                .backoff
                .next(returned.attempt, returned.retry_after, now, ids);
            record_attempt(returned, None, String::new(), error, Some(due), now, out);
            self.requeue(returned, returned.attempt + 1, due, now, out);
        } else {
            record_attempt(returned, None, String::new(), error, None, now, out);
            let last_call = LastCall {
                status: failure.status,
                ..returned.last_call()
            };
            self.end_returned(
                returned,
                RunStatus::Failed,
                failure.output,
                last_call,
                now,
                out,
            );
        }
    }

    /// Ends the run by the answer of its call.
    fn end_returned(
        &mut self,
        returned: &Returned,
        status: RunStatus,
        output: SharedJson,
        last_call: LastCall,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let end = Ending {
            output: Some(output),
            last_call: Some(last_call),
            ..Ending::of(status)
        };
        self.end(returned.run, end, now, out);
    }

    fn requeue(
        &mut self,
        returned: &Returned,
        attempt: u32,
        due: Timestamp,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let item = self
            .items
            .get_mut(&returned.item)
            .expect("the call's item was just there");
        item.row.attempt = attempt;
        item.row.due = due;
        let row = item.row.clone();
        out.changes.push(Change::ItemPut(Box::new(row)));
        self.schedule_item(returned.item, now, out);
    }
}

fn record_attempt(
    returned: &Returned,
    step: Option<StepId>,
    name: String,
    error: String,
    retry_at: Option<Timestamp>,
    now: Timestamp,
    out: &mut Decision,
) {
    let step = step.or_else(|| match &returned.kind {
        ItemKind::Step(step) => Some(step.clone()),
        _ => None,
    });
    out.changes.push(Change::AttemptPut(Box::new(AttemptRow {
        run: returned.run,
        item: returned.item,
        attempt: returned.attempt,
        step,
        name,
        error: Some(error),
        queued_at: returned.queued_at,
        started_at: returned.since,
        ended_at: now,
        retry_at,
        op: None,
        detail: None,
    })));
}
