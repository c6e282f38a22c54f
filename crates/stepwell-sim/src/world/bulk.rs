//! Bulk cancellations: someone asks for them and takes them back; the store is asked whom they end.

use super::decider::Asker;
use super::{Phase, World};
use crate::invariant::Violation;
use crate::ledger::Cause;
use crate::plan::Condition;
use stepwell_engine::{BulkCancelRow, Input, RunStatus, Timestamp, bulk_condition_holds};
use stepwell_protocol::{FunctionId, RunId};
use stepwell_store::{Reader, RunFilter, RunPlace, RunQuery, RunTime, StoreError};

/// Runs that are found at a time: few, so that portions matter.
const RUNS_MAX: usize = 2;
/// Unfinished runs that are looked at for them.
const ROWS_MAX: usize = 3;

/// Which runs of a function someone wants cancelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BulkCancel {
    pub(crate) function: FunctionId,
    /// How long ago they were scheduled at most.
    pub(crate) back_ms: Option<u64>,
    /// Until when from now on they may be scheduled.
    pub(crate) ahead_ms: u64,
    pub(crate) condition: Option<Condition>,
}

impl World<'_> {
    pub(super) fn cancel_in_bulk(&mut self, bulk: BulkCancel) -> Result<(), Violation> {
        if self.phase != Phase::Up || self.draining {
            return Ok(());
        }
        let now = self.clock.wall();
        let row = BulkCancelRow {
            id: self.ids.bulk_cancel_id(now),
            function: bulk.function,
            started_after: bulk
                .back_ms
                .map(|ms| Timestamp::from_ms(now.ms().saturating_sub(ms))),
            started_before: now.after_ms(bulk.ahead_ms),
            condition: bulk
                .condition
                .map(|condition| condition.expression().into()),
            created_at: now,
            after: None,
            done: false,
        };
        let title = self.ledger.title(bulk.function);
        self.tell(|| format!("someone cancels the runs of {title} in bulk: {bulk:?}"));
        let cause = Cause::BulkAsked {
            id: row.id,
            condition: bulk.condition,
        };
        self.decide(Input::BulkCancelAsked(Box::new(row)), cause, Asker::Nobody)
    }

    /// Someone takes a bulk cancellation back: one of those there are.
    pub(super) fn drop_bulk_cancel(&mut self, which: u64) -> Result<(), Violation> {
        let all = self.ledger.bulks.len();
        if self.phase != Phase::Up || self.draining || all == 0 {
            return Ok(());
        }
        let place = usize::try_from(which).expect("a small number") % all;
        let id = *self
            .ledger
            .bulks
            .keys()
            .nth(place)
            .expect("it is below their number");
        self.tell(|| "someone takes a bulk cancellation back".to_owned());
        self.decide(
            Input::BulkCancelDropped(id),
            Cause::BulkDropped,
            Asker::Nobody,
        )
    }
}

/// The next unfinished runs that a bulk cancellation ends, and where to go on.
pub(super) fn next(
    row: &BulkCancelRow,
    reader: &dyn Reader,
    now: Timestamp,
) -> Result<(Vec<RunId>, Option<RunId>), StoreError> {
    let page = reader.find_runs(&RunQuery {
        filter: RunFilter {
            functions: Some(vec![row.function]),
            statuses: vec![RunStatus::Scheduled, RunStatus::Running],
            deferred: None,
            time: RunTime::Queued,
            from: row.started_after,
            until: Some(row.started_before),
        },
        oldest_first: true,
        after: row.after.map(|id| RunPlace { at: None, id }),
        rows_max: ROWS_MAX,
        ..RunQuery::newest(RUNS_MAX)
    })?;
    let mut found = Vec::new();
    for run in page.runs {
        let meant = match &row.condition {
            None => true,
            Some(condition) => {
                let event = match run.events.first() {
                    Some(event) => reader.event(*event)?,
                    None => None,
                };
                let event = event.and_then(|event| serde_json::from_str(event.body.get()).ok());
                event.is_some_and(|event| bulk_condition_holds(condition, &event, now))
            }
        };
        if meant {
            found.push(run.id);
        }
    }
    Ok((found, page.next.map(|place| place.id)))
}
