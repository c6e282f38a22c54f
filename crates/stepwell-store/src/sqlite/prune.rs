//! Forgetting what is old. The tables of runs and events are walked by their primary keys, side by side, and what is
//! of a run is found by its id: no slice depends on how much there is in all.

use super::codec::Column;
use crate::prune::{Budget, end_of};
use crate::{Mark, Pruned, Slice};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use smallvec::SmallVec;
use stepwell_engine::{RunRow, Timestamp};
use stepwell_protocol::{EventId, RunId, limits};

/// Runs, and events, that are read at once: few enough that little is read in vain when the slice ends.
const PAGE: usize = 64;

/// Whether something refers to the event at hand: a run, or what waits to start one or to reach waits.
const EVENT_IS_NEEDED: &str = "(exists (select 1 from event_runs where event_runs.event_id = events.id) \
     or exists (select 1 from debounces where debounces.event_id = events.id) \
     or exists (select 1 from batch_events where batch_events.event_id = events.id) \
     or exists (select 1 from deliveries where deliveries.event_id = events.id))";

/// Something that a walk comes by.
#[derive(Debug)]
struct Found {
    id: u128,
    /// Whether it may go.
    old: bool,
    /// Of its own payload.
    bytes: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Run {
        events: SmallVec<[EventId; 1]>,
        key: Option<u128>,
        queued_at: Timestamp,
    },
    Event,
}

pub(super) fn slice(connection: &mut Connection, slice: &Slice) -> rusqlite::Result<Pruned> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let walk = Walk {
        transaction: &transaction,
        slice,
        budget: Budget::of(slice),
        pruned: Pruned::default(),
    };
    let pruned = walk.go()?;
    transaction.commit()?;
    Ok(pruned)
}

struct Walk<'a> {
    transaction: &'a Transaction<'a>,
    slice: &'a Slice,
    budget: Budget,
    pruned: Pruned,
}

impl Walk<'_> {
    fn go(mut self) -> rusqlite::Result<Pruned> {
        self.forget_keys()?;
        let mut after = Mark::id(self.slice.after);
        while !self.budget.is_spent() {
            let page = self.page(after)?;
            if page.is_empty() {
                return Ok(self.pruned);
            }
            for found in page {
                if self.budget.is_spent() {
                    break;
                }
                if found.old && !self.remove(&found)? {
                    self.pruned.torn = Some(Mark::at(found.id));
                    break;
                }
                // Only now, so that a slice of one row removes that.
                self.budget.spend(1, 0);
                after = found.id;
            }
        }
        self.pruned.next = Some(Mark::at(after));
        Ok(self.pruned)
    }

    /// The next runs and events, in the order of their ids.
    fn page(&self, after: u128) -> rusqlite::Result<Vec<Found>> {
        let Slice { before, .. } = *self.slice;
        let (after, end) = (Column(after), Column(end_of(self.slice)));
        let mut runs = self.transaction.prepare_cached(SELECT_RUNS)?;
        let runs = runs.query_map(params![after, end, PAGE, Column(before)], run)?;
        let mut found = runs.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut horizon = horizon(&found);
        let mut events = self.transaction.prepare_cached(&select_events())?;
        let events = events.query_map(params![after, end, PAGE, Column(before)], event)?;
        let events = events.collect::<rusqlite::Result<Vec<_>>>()?;
        horizon = horizon.min(self::horizon(&events));
        found.extend(events);
        found.sort_by_key(|found| found.id);
        found.retain(|found| found.id <= horizon);
        Ok(found)
    }

    /// Removes a run or an event; whether all of it is gone.
    fn remove(&mut self, found: &Found) -> rusqlite::Result<bool> {
        match &found.what {
            What::Run {
                events,
                key,
                queued_at,
            } => {
                // The run's own row goes last: as long as anything of it is there, a walk finds it.
                if !self.remove_last("attempts", "rowid", "error", found.id)?
                    || !self.remove_last("steps", "position", "value", found.id)?
                {
                    return Ok(false);
                }
                let at = RunRow::key_since(RunId::from_bytes(found.id.to_be_bytes()), *queued_at);
                if let Some(key) = key.filter(|_| at > self.keys_since()) {
                    self.transaction
                        .prepare_cached("insert or ignore into forgotten_keys values (?, ?)")?
                        .execute(params![Column(at), Column(key)])?;
                }
                for table in ["defers", "inputs", "metadata", "user_spans"] {
                    let removed = self
                        .transaction
                        .prepare_cached(&format!("delete from {table} where run_id = ?"))?
                        .execute([Column(found.id)])?;
                    self.budget.spend(removed, 0);
                }
                self.transaction
                    .prepare_cached("delete from runs where id = ?")?
                    .execute([Column(found.id)])?;
                self.pruned.runs += 1;
                self.budget.spend(1, found.bytes);
                for event in events {
                    self.release_event(*event, found.id)?;
                }
            }
            What::Event => self.remove_event(found.id, found.bytes)?,
        }
        Ok(true)
    }

    /// Removes rows of a run from the last one backwards, as far as the limits go; whether none is left.
    fn remove_last(
        &mut self,
        table: &str,
        order: &str,
        payload: &str,
        run: u128,
    ) -> rusqlite::Result<bool> {
        let (mut first, mut whole) = (None, true);
        {
            let mut select = self.transaction.prepare_cached(&format!(
                "select {order}, coalesce(octet_length({payload}), 0) from {table} where run_id = ? order by {order} desc"
            ))?;
            let mut rows = select.query([Column(run)])?;
            while let Some(row) = rows.next()? {
                if self.budget.is_spent() {
                    whole = false;
                    break;
                }
                first = Some(row.get::<_, i64>(0)?);
                self.budget.spend(1, row.get(1)?);
            }
        }
        if let Some(first) = first {
            self.transaction
                .prepare_cached(&format!(
                    "delete from {table} where run_id = ? and {order} >= ?"
                ))?
                .execute(params![Column(run), first])?;
        }
        Ok(whole)
    }

    /// Takes an event from a run that is gone, and removes it if that was the last one.
    fn release_event(&mut self, event: EventId, run: u128) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("delete from event_runs where event_id = ? and run_id = ?")?
            .execute(params![Column(event), Column(run)])?;
        self.budget.spend(1, 0);
        let bytes = self
            .transaction
            .prepare_cached(&format!(
                "select octet_length(body) from events where id = ? and received_at < ? and not {EVENT_IS_NEEDED}"
            ))?
            .query_row(params![Column(event), Column(self.slice.before)], |row| row.get(0))
            .optional()?;
        match bytes {
            Some(bytes) => self.remove_event(u128::from_be_bytes(event.to_bytes()), bytes),
            None => Ok(()),
        }
    }

    fn remove_event(&mut self, id: u128, bytes: usize) -> rusqlite::Result<()> {
        // The page was read before: a run that went meanwhile may have taken it along.
        let removed = self
            .transaction
            .prepare_cached("delete from events where id = ?")?
            .execute([Column(id)])?;
        let verdicts = self
            .transaction
            .prepare_cached("delete from verdicts where event_id = ?")?
            .execute([Column(id)])?;
        self.pruned.events += removed;
        self.budget.spend(removed + verdicts, bytes * removed);
        Ok(())
    }

    /// Forgets keys whose day is over.
    fn forget_keys(&mut self) -> rusqlite::Result<()> {
        let removed = self
            .transaction
            .prepare_cached(
                "delete from forgotten_keys where (queued_at, key) in \
                 (select queued_at, key from forgotten_keys where queued_at <= ? order by queued_at limit ?)",
            )?
            .execute(params![Column(self.keys_since()), PAGE])?;
        self.budget.spend(removed, 0);
        Ok(())
    }

    /// Keys of runs that were scheduled later are needed.
    fn keys_since(&self) -> Timestamp {
        Timestamp::from_ms(self.slice.now.ms().saturating_sub(limits::IDEMPOTENCY_MS))
    }
}

/// How far a page reaches: to its last row if there may be more, else to the end.
fn horizon(page: &[Found]) -> u128 {
    match page.last() {
        Some(last) if page.len() == PAGE => last.id,
        _ => u128::MAX,
    }
}

const SELECT_RUNS: &str = "select id, coalesce(ended_at < ?4, 0) and not exists \
     (select 1 from items where items.run_id = runs.id), \
     coalesce(octet_length(output), 0), event_ids, dedupe_key, queued_at \
     from runs where id > ?1 and id < ?2 order by id limit ?3";

fn select_events() -> String {
    format!(
        "select id, received_at < ?4 and not {EVENT_IS_NEEDED}, octet_length(body) \
         from events where id > ?1 and id < ?2 order by id limit ?3"
    )
}

fn run(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        id: row.get::<_, Column<_>>(0)?.0,
        old: row.get(1)?,
        bytes: row.get(2)?,
        what: What::Run {
            events: row.get::<_, Column<_>>(3)?.0,
            key: row.get::<_, Option<Column<_>>>(4)?.map(|column| column.0),
            queued_at: row.get::<_, Column<_>>(5)?.0,
        },
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        id: row.get::<_, Column<_>>(0)?.0,
        old: row.get(1)?,
        bytes: row.get(2)?,
        what: What::Event,
    })
}

#[cfg(test)]
mod tests;
