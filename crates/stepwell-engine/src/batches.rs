//! Open batches: events wait for others to share a run with.

use crate::arrival::{Approach, Arriving, keys_of, note};
use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::Keys;
use crate::flow::batch::BATCH_BYTES_MAX;
use crate::function::Function;
use crate::origin::Origin;
use crate::schedule::Draft;
use crate::{BatchEventRow, BatchRow, Change, IdSource, ItemId, Timestamp, Verdict, triggers};
use std::sync::Arc;
use stepwell_protocol::FunctionId;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};

/// A batch that is not full.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: ItemId,
    pub(crate) function: FunctionId,
    pub(crate) closes_at: Timestamp,
    pub(crate) keys: Keys,
    pub(crate) events: Vec<BatchEventRow>,
    pub(crate) bytes: usize,
}

impl Batch {
    pub(crate) fn row(&self, key: u128) -> BatchRow {
        BatchRow {
            id: self.id,
            key,
            function: self.function,
            closes_at: self.closes_at,
            keys: self.keys.encode(),
        }
    }
}

impl Engine {
    #[expect(
        clippy::too_many_arguments,
        reason = "an event, its function, and what every decision takes"
    )]
    pub(crate) fn add_to_batch(
        &mut self,
        function: &Arc<Function>,
        key: u128,
        dedupe_key: Option<u128>,
        arriving: &mut Arriving<'_>,
        approach: Approach,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Verdict {
        let Some(rule) = &function.batch else {
            unreachable!("only functions with batches have any");
        };
        if let Some(dedupe_key) = dedupe_key {
            self.window.insert(dedupe_key, None, now, now, out);
        }
        if !self.batches.contains_key(&key) {
            let batch = Batch {
                id: self.next_item_id(now),
                function: function.id,
                closes_at: now.after_ms(rule.timeout_ms),
                keys: keys_of(function, &mut arriving.parsed, now),
                events: Vec::new(),
                bytes: 0,
            };
            out.changes.push(Change::BatchPut(Box::new(batch.row(key))));
            self.timers.insert((batch.closes_at, Timer::Batch(key)));
            self.batches.insert(key, batch);
        }
        let batch = self.batches.get_mut(&key).expect("it was just made");
        let event = arriving.event;
        let bytes = event.body.get().len();
        let row = BatchEventRow {
            batch: batch.id,
            position: u32::try_from(batch.events.len()).expect("a batch has at most 10,000 events"),
            event: event.id,
            bytes: bytes as u64,
            reply_to: approach.reply_to,
        };
        out.changes
            .push(Change::BatchEventPut(Box::new(row.clone())));
        batch.events.push(row);
        batch.bytes += bytes;
        let closes_ms = batch.closes_at.ms();
        if batch.events.len() >= rule.size_max || batch.bytes >= BATCH_BYTES_MAX {
            // The last event hears of the run from the run.
            self.close_batch(key, now, ids, out)
                .unwrap_or(Verdict::Batched { closes_ms })
        } else {
            Verdict::Batched { closes_ms }
        }
    }

    /// A batch is full, or its time has come: its events start the function.
    pub(crate) fn close_batch(
        &mut self,
        key: u128,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Option<Verdict> {
        let batch = self.batches.remove(&key)?;
        self.timers.remove(&(batch.closes_at, Timer::Batch(key)));
        out.changes.push(Change::BatchDelete(batch.id));
        let function = self.functions.get(&batch.function).map(Arc::clone)?;
        let origin = Origin {
            replies_to: batch
                .events
                .iter()
                .filter_map(|event| event.reply_to.clone())
                .collect(),
            batch: Some(batch.id.0),
            ..Origin::default()
        };
        if function.archived {
            let why = "the invoked function is no longer registered";
            self.reply_with_error(origin.some(), why);
            return None;
        }
        let events = batch.events.iter().map(|event| event.event);
        let draft = Draft {
            events: events.clone().collect(),
            dedupe_key: None,
            announces: !hears_announcements(&function),
            keys: batch.keys,
            listeners: Vec::new(),
            origin,
            starts_ms: now.ms(),
        };
        let verdict = self.schedule(&function, draft, now, ids, out);
        for event in events {
            // Started ones are told by their run, whatever was said before.
            note(event, function.id, &verdict, out);
        }
        Some(verdict)
    }
}

/// Whether announcements may be among a function's events. A run for such a batch is not announced: it would be in the
/// next one, and so on without end.
fn hears_announcements(function: &Function) -> bool {
    let hears = |name| {
        let mut triggers = function.triggers.iter();
        triggers.any(|trigger| triggers::covers(&trigger.event, name))
    };
    [FUNCTION_FINISHED, FUNCTION_FAILED, FUNCTION_CANCELLED]
        .into_iter()
        .any(hears)
}
