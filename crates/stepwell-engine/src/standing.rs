//! Where an unfinished run stands: what it waits for.

use crate::engine::Engine;
use crate::item::ItemState;
use crate::lifecycle::lane_key;
use crate::{ItemKind, Timestamp};
use stepwell_protocol::RunId;

/// What an unfinished run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// For a time: that of a sleep, a retry, or its own start.
    Time(Timestamp),
    /// For an event, a signal or another function, until a time at the latest.
    Wait(Timestamp),
    /// For others to go first.
    Queue {
        /// How many of the same function and values go before it, counted up to 10,000.
        ahead: usize,
        /// The limit that holds them: the concurrency key, or nothing for one without a key.
        limit: Option<Option<String>>,
        /// When the throttle lets the next one start.
        throttled_until: Option<Timestamp>,
        /// Whether its function is paused.
        paused: bool,
    },
    /// For the answer of a call that is in flight.
    Call,
}

impl Engine {
    /// What an unfinished run waits for; nothing when there is no such run. Of several things, what is nearest to a call.
    #[must_use]
    pub fn standing(&self, id: RunId) -> Option<Standing> {
        let run = self.runs.get(&id)?;
        let mut found = None;
        let nearness = |standing: &Standing| match standing {
            Standing::Call => 3,
            Standing::Queue { .. } => 2,
            Standing::Time(_) => 1,
            Standing::Wait(_) => 0,
        };
        for item in run.items.iter().filter_map(|item| self.items.get(item)) {
            let standing = match item.state {
                ItemState::InFlight { .. } => Standing::Call,
                ItemState::Ready => {
                    let function = self.functions.get(&run.function);
                    let key = lane_key(run);
                    let standing = self.queue.standing(key, run.score(), item.row.id)?;
                    let limit = standing.gate.and_then(|gate| {
                        let function = function?;
                        let limits = function.concurrency.iter().chain(&function.run_limits);
                        let mut held = limits.filter(|limit| limit.definition == gate);
                        let key = held.next()?.key.as_ref();
                        Some(key.map(|key| key.source().to_owned()))
                    });
                    Standing::Queue {
                        ahead: standing.ahead,
                        limit,
                        throttled_until: standing.until,
                        paused: function.is_some_and(|function| function.paused),
                    }
                }
                ItemState::Later | ItemState::LookingBack => match item.row.kind {
                    ItemKind::WaitForEvent(_)
                    | ItemKind::WaitForSignal(_)
                    | ItemKind::Invoke(_) => Standing::Wait(item.row.due),
                    _ => Standing::Time(item.row.due),
                },
            };
            if found
                .as_ref()
                .is_none_or(|found| nearness(found) < nearness(&standing))
            {
                found = Some(standing);
            }
        }
        found
    }
}
