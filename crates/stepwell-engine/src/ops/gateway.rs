//! Gateway and AIGateway: a step whose HTTP request the server makes.
//!
//! The request waits in memory only, since it may carry keys. One that was lost with an earlier process, or for want of
//! room, is asked for again: the function is called, and its SDK reports the op anew.

use super::Asked;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::item::ItemState;
use crate::lifecycle::StepEnd;
use crate::reply::Granted;
use crate::waits::WaitFor;
use crate::{
    AttemptRow, Change, Fetch, FetchFailure, IdSource, ItemId, ItemKind, ItemRow, Timestamp,
};
use hashbrown::HashMap;
use std::sync::Arc;
use stepwell_protocol::gateway::Request;
use stepwell_protocol::{SharedJson, StepId, UserError, shared_json};

/// Bytes of requests that wait in memory.
const REQUESTS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Requests that wait for their turn or for another attempt.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_item: HashMap<ItemId, Arc<Request>>,
    bytes: usize,
}

impl Requests {
    fn insert(&mut self, id: ItemId, request: Arc<Request>) {
        let bytes = request.bytes();
        if self.bytes + bytes <= REQUESTS_BYTES_MAX {
            self.bytes += bytes;
            self.by_item.insert(id, request);
        }
    }

    pub(crate) fn get(&self, id: ItemId) -> Option<Arc<Request>> {
        self.by_item.get(&id).map(Arc::clone)
    }

    pub(crate) fn remove(&mut self, id: ItemId) {
        if let Some(request) = self.by_item.remove(&id) {
            self.bytes -= request.bytes();
        }
    }
}

impl Engine {
    /// Queues a request; one that cannot be made ends its step at once.
    pub(crate) fn start_gateway(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        ai: bool,
        request: Result<Arc<Request>, String>,
        out: &mut Decision,
    ) -> Granted {
        let (run, now) = (asked.run, asked.now);
        match request {
            Ok(request) => {
                let wait = WaitFor::Response { ai };
                let kind = ItemKind::Gateway(step);
                let due = now;
                let row = ItemRow {
                    race: asked.race,
                    title: (!asked.title.is_empty()).then(|| Arc::from(asked.title)),
                    wait: Some(Box::new(wait)),
                    failures_of: asked.failures_of,
                    ..ItemRow::new(self.next_item_id(now), run, kind, due)
                };
                self.requests.insert(row.id, request);
                self.add_item_row(row, now, out);
                Granted::Asked
            }
            Err(why) => {
                let error = UserError::new(error_name(ai), why);
                let end = StepEnd {
                    step,
                    op: op_name(ai),
                    name: asked.title.to_owned(),
                    value: error_value(&error),
                    failed: true,
                    attempt: 0,
                    queued_at: now,
                    started_at: now,
                    detail: None,
                    failures_of: asked.failures_of,
                    metadata: Vec::new(),
                };
                self.record_step_or_fail(run, end, now, out);
                Granted::Ended
            }
        }
    }

    /// The request of an item whose turn has come. One that is lost turns the item into the call that asks for it again.
    pub(crate) fn request_of(
        &mut self,
        id: ItemId,
        generation: u64,
        out: &mut Decision,
    ) -> Option<Fetch> {
        let row = &self.items[&id].row;
        let run = row.run;
        if let Some(request) = self.requests.get(id) {
            return Some(Fetch {
                item: id,
                generation,
                run,
                request,
            });
        }
        let item = self.items.get_mut(&id).expect("the item was just there");
        item.row = ItemRow::new(id, run, ItemKind::Discovery(None), item.row.due);
        out.changes
            .push(Change::ItemPut(Box::new(item.row.clone())));
        None
    }

    /// A request was answered, or could not be made. Whether an answer is recorded now.
    pub(crate) fn fetched(
        &mut self,
        id: ItemId,
        generation: u64,
        result: Result<SharedJson, FetchFailure>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> bool {
        if !self.queue.release(id, generation, &self.functions) {
            return false;
        }
        let Some(item) = self.items.get_mut(&id) else {
            return false;
        };
        let ItemState::InFlight { since, .. } = item.state else {
            return false;
        };
        let failure = match result {
            Ok(value) => {
                self.end_waiting(id, value, false, None, now, out);
                let mut changes = out.changes.iter();
                return changes.any(|change| matches!(change, Change::StepPut(_)));
            }
            Err(failure) => failure,
        };
        let attempt = item.row.attempt;
        let attempts_max = self.functions[&self.runs[&item.row.run].function].attempts_max;
        let retry_at = (failure.retriable && attempt + 1 < attempts_max).then(|| {
            let backoff = self.config.backoff;
            backoff.next(attempt, failure.retry_after, now, ids)
        });
        out.changes.push(Change::AttemptPut(Box::new(AttemptRow {
            run: item.row.run,
            item: id,
            attempt,
            step: item.row.kind.step().cloned(),
            name: item.row.title.as_deref().unwrap_or("").to_owned(),
            error: Some(serde_json::to_string(&failure.error).expect("an error serialises")),
            queued_at: item.row.due,
            started_at: since,
            ended_at: now,
            retry_at,
            op: None,
            detail: None,
        })));
        match retry_at {
            Some(due) => {
                item.row.attempt = attempt + 1;
                item.row.due = due;
                let row = item.row.clone();
                out.changes.push(Change::ItemPut(Box::new(row)));
                self.schedule_item(id, now, out);
            }
            None => self.end_waiting(id, error_value(&failure.error), true, None, now, out),
        }
        false
    }
}

pub(crate) fn op_name(ai: bool) -> &'static str {
    if ai { "AIGateway" } else { "Gateway" }
}

fn error_name(ai: bool) -> &'static str {
    if ai { "AIGatewayError" } else { "GatewayError" }
}

fn error_value(error: &UserError) -> SharedJson {
    let error = serde_json::to_string(error).expect("an error serialises");
    shared_json(format!("{{\"error\":{error}}}")).expect("an error in an object is JSON")
}
