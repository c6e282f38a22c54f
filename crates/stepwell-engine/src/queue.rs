//! The queue: which due item is called next.
//!
//! Due items wait in *lanes*: items of one function that share all flow-control values, oldest run first. A lane
//! passes *gates* (counters of calls in flight, one for each limit and value) and, for starts, the throttle's
//! bucket. A lane that cannot pass parks where it was stopped and is woken from there, so that neither a
//! dispatch nor a release looks at lanes that cannot move. Functions take turns.

mod gate;

use crate::flow::throttle::Throttle;
use crate::function::Function;
use crate::{ItemId, Timestamp};
use gate::Gates;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use stepwell_protocol::FunctionId;

/// What is called first: by score (milliseconds; lower goes first), then by item.
pub(crate) type Rank = (u64, ItemId);

/// A lane: function, whether its items start runs, hash of the flow-control values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneKey {
    pub(crate) function: FunctionId,
    pub(crate) starts: bool,
    pub(crate) values: u128,
}

/// What a lane has to pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hurdles {
    /// Hash of the limit's definition, and the gate of its value: for the time of a call.
    pub(crate) gates: Vec<(u64, u128)>,
    /// The same, from a run's first call to its end; for lanes that start runs.
    pub(crate) run_gates: Vec<(u64, u128)>,
    /// The throttle's bucket, for lanes that start runs.
    pub(crate) bucket: Option<u128>,
}

impl Hurdles {
    fn all_gates(&self) -> impl Iterator<Item = &(u64, u128)> {
        self.gates.iter().chain(&self.run_gates)
    }
}

#[derive(Debug)]
struct Lane {
    hurdles: Hurdles,
    items: BTreeSet<Rank>,
    place: Place,
}

/// Where a lane stands. The rank is the one that it is filed under: its first item's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready(Rank),
    Gate(u128, Rank),
    Throttled(Timestamp),
}

/// What [`Queue::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This item's turn has come; it is in flight now.
    Call(ItemId),
    /// This lane may go on at this moment: wake it then.
    WakeAt(Timestamp, LaneKey),
    /// Nothing can be called now.
    Nothing,
}

/// Due items, and how many are in flight.
#[derive(Debug)]
pub(crate) struct Queue {
    lanes: HashMap<LaneKey, Lane>,
    gates: Gates,
    /// Lanes that may be able to move, by function; functions take turns in the order of `turns`.
    ready: HashMap<FunctionId, BTreeSet<(Rank, LaneKey)>>,
    turns: VecDeque<FunctionId>,
    /// The dispatch of each call in flight, and the gates that it is inside of.
    in_flight: HashMap<ItemId, (u64, SmallVec<[u128; 2]>)>,
    in_flight_max: usize,
}

impl Queue {
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            gates: Gates::default(),
            ready: HashMap::new(),
            turns: VecDeque::new(),
            in_flight: HashMap::new(),
            in_flight_max,
        }
    }

    /// Adds a due item.
    pub(crate) fn push(
        &mut self,
        key: LaneKey,
        hurdles: impl FnOnce() -> Hurdles,
        score: u64,
        item: ItemId,
    ) {
        let lane = self.lanes.entry(key).or_insert_with(|| Lane {
            hurdles: hurdles(),
            items: BTreeSet::new(),
            // Filed below: an empty lane is nowhere.
            place: Place::Throttled(Timestamp::default()),
        });
        let was_empty = lane.items.is_empty();
        lane.items.insert((score, item));
        if was_empty {
            self.make_ready(key);
        } else {
            self.refile(key);
        }
    }

    /// Removes a due item whose run has ended.
    pub(crate) fn remove(&mut self, key: LaneKey, score: u64, item: ItemId, limits: &impl Limits) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if !lane.items.remove(&(score, item)) {
            return;
        }
        if lane.items.is_empty() {
            self.unfile(key);
            let lane = self.lanes.remove(&key).expect("the lane was just there");
            self.pass_on(&lane.hurdles, None, limits);
        } else {
            let hurdles = lane.hurdles.clone();
            self.refile(key);
            // If the lane was woken for a slot, another one may be before it now.
            self.pass_on(&hurdles, None, limits);
        }
    }

    /// Finds the next item to call, as the dispatch `generation`. `throttle` is asked for a start from a bucket and says when to ask again.
    pub(crate) fn next(
        &mut self,
        generation: u64,
        limits: &impl Limits,
        mut throttle: impl FnMut(FunctionId, u128) -> Result<(), Timestamp>,
    ) -> Next {
        while self.in_flight.len() < self.in_flight_max {
            let Some(key) = self.take_ready(limits) else {
                return Next::Nothing;
            };
            let lane = self.lanes.get_mut(&key).expect("a ready lane exists");
            let function_limit = |definition| limits.limit(key.function, definition);
            let shut = self
                .gates
                .first_shut(lane.hurdles.all_gates(), function_limit);
            if let Some(gate) = shut {
                let rank = *lane.items.first().expect("a lane in the queue has items");
                lane.place = Place::Gate(gate, rank);
                self.gates.park(gate, rank, key);
                let hurdles = lane.hurdles.clone();
                self.pass_on(&hurdles, Some(gate), limits);
                continue;
            }
            if let Some(bucket) = lane.hurdles.bucket.filter(|_| key.starts)
                && let Err(later) = throttle(key.function, bucket)
            {
                lane.place = Place::Throttled(later);
                let hurdles = lane.hurdles.clone();
                self.pass_on(&hurdles, None, limits);
                return Next::WakeAt(later, key);
            }
            let (_, item) = lane
                .items
                .pop_first()
                .expect("a lane in the queue has items");
            let gates = inside_of(&lane.hurdles.gates);
            let run_gates = inside_of(&lane.hurdles.run_gates);
            if lane.items.is_empty() {
                self.lanes.remove(&key);
            } else {
                self.make_ready(key);
            }
            self.gates.enter(&gates);
            self.gates.enter(&run_gates);
            self.in_flight.insert(item, (generation, gates));
            return Next::Call(item);
        }
        Next::Nothing
    }

    /// Ends a call: its slots are free again. `false` when it is not this dispatch that is in flight.
    pub(crate) fn release(&mut self, item: ItemId, generation: u64, limits: &impl Limits) -> bool {
        if self
            .in_flight
            .get(&item)
            .is_none_or(|(current, _)| *current != generation)
        {
            return false;
        }
        let (_, gates) = self
            .in_flight
            .remove(&item)
            .expect("the call was just there");
        for gate in gates {
            self.gates.leave(gate);
            self.wake_from(gate, limits);
        }
        true
    }

    /// A run that was called before is under way: it is inside its gates.
    pub(crate) fn enter_run(&mut self, gates: &[(u64, u128)]) {
        self.gates.enter(&inside_of(gates));
    }

    /// A run that was called has ended: others may start in its place.
    pub(crate) fn leave_run(&mut self, gates: &[(u64, u128)], limits: &impl Limits) {
        for gate in inside_of(gates) {
            self.gates.leave(gate);
            self.wake_from(gate, limits);
        }
    }

    /// Whether an item stands in its lane.
    pub(crate) fn holds(&self, key: LaneKey, score: u64, item: ItemId) -> bool {
        let lane = self.lanes.get(&key);
        lane.is_some_and(|lane| lane.items.contains(&(score, item)))
    }

    /// Whether this dispatch of an item is in flight.
    pub(crate) fn is_in_flight(&self, item: ItemId, generation: u64) -> bool {
        let found = self.in_flight.get(&item);
        found.is_some_and(|(current, _)| *current == generation)
    }

    /// Where an item stands: how many of its lane go before it (counted up to a bound), and the gate or the throttle
    /// that the lane waits for.
    pub(crate) fn standing(&self, key: LaneKey, score: u64, item: ItemId) -> Option<Standing> {
        /// Counting further tells nobody anything.
        const COUNTED_MAX: usize = 10_000;
        let lane = self.lanes.get(&key)?;
        let ahead = lane.items.range(..(score, item)).take(COUNTED_MAX).count();
        Some(match lane.place {
            Place::Ready(_) => Standing {
                ahead,
                gate: None,
                until: None,
            },
            Place::Gate(gate, _) => Standing {
                ahead,
                gate: lane
                    .hurdles
                    .all_gates()
                    .find(|(_, other)| *other == gate)
                    .map(|(definition, _)| *definition),
                until: None,
            },
            Place::Throttled(until) => Standing {
                ahead,
                gate: None,
                until: Some(until),
            },
        })
    }

    /// A throttled lane's moment has come.
    pub(crate) fn wake(&mut self, key: LaneKey, now: Timestamp) {
        if let Some(lane) = self.lanes.get(&key)
            && let Place::Throttled(due) = lane.place
            && due <= now
        {
            self.make_ready(key);
        }
    }

    /// A function's limits have changed: its lanes try again.
    pub(crate) fn wake_function(&mut self, function: FunctionId, limits: &impl Limits) {
        let mut keys: Vec<LaneKey> = self
            .lanes
            .keys()
            .filter(|key| key.function == function)
            .copied()
            .collect();
        keys.sort_unstable();
        // All at once: a function that was paused has ready lanes without a turn.
        for key in &keys {
            self.unfile(*key);
        }
        for key in keys {
            self.make_ready(key);
            // A lane that was woken for a slot may be held back by its new limit: the slot is another one's then.
            let hurdles = self.lanes[&key].hurdles.clone();
            self.pass_on(&hurdles, None, limits);
        }
    }

    /// Lets nothing more into flight.
    pub(crate) fn close(&mut self) {
        self.in_flight_max = 0;
    }

    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn take_ready(&mut self, limits: &impl Limits) -> Option<LaneKey> {
        let function = loop {
            let function = self.turns.pop_front()?;
            if !limits.is_paused(function) {
                break function;
            }
            // Its lanes stay ready without a turn until someone unpauses it; the slots they were woken for go on.
            let lanes: Vec<LaneKey> = self.ready[&function].iter().map(|(_, key)| *key).collect();
            for key in lanes {
                let hurdles = self.lanes[&key].hurdles.clone();
                self.pass_on(&hurdles, None, limits);
            }
        };
        let lanes = self
            .ready
            .get_mut(&function)
            .expect("a function with a turn has ready lanes");
        let (_, key) = lanes
            .pop_first()
            .expect("a function with a turn has ready lanes");
        if lanes.is_empty() {
            self.ready.remove(&function);
        } else {
            self.turns.push_back(function);
        }
        Some(key)
    }

    fn make_ready(&mut self, key: LaneKey) {
        let lane = self
            .lanes
            .get_mut(&key)
            .expect("only lanes with items are made ready");
        let rank = *lane.items.first().expect("a lane in the queue has items");
        lane.place = Place::Ready(rank);
        let lanes = self.ready.entry(key.function).or_default();
        if lanes.is_empty() {
            self.turns.push_back(key.function);
        }
        lanes.insert((rank, key));
    }

    /// Files a lane under its first item again.
    fn refile(&mut self, key: LaneKey) {
        let lane = self
            .lanes
            .get_mut(&key)
            .expect("only lanes with items are filed");
        let rank = *lane.items.first().expect("a lane in the queue has items");
        match lane.place {
            Place::Ready(old) if old != rank => {
                let lanes = self
                    .ready
                    .get_mut(&key.function)
                    .expect("a ready lane is listed");
                lanes.remove(&(old, key));
                lanes.insert((rank, key));
                lane.place = Place::Ready(rank);
            }
            Place::Gate(gate, old) if old > rank => {
                // A younger lane may have been woken for the next slot and not have had its turn.
                self.gates.unpark(gate, old, key);
                self.make_ready(key);
            }
            Place::Gate(gate, old) if old < rank => {
                self.gates.unpark(gate, old, key);
                self.gates.park(gate, rank, key);
                lane.place = Place::Gate(gate, rank);
            }
            _ => {}
        }
    }

    fn unfile(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get(&key) else {
            return;
        };
        match lane.place {
            Place::Ready(rank) => {
                if let Some(lanes) = self.ready.get_mut(&key.function) {
                    lanes.remove(&(rank, key));
                    if lanes.is_empty() {
                        self.ready.remove(&key.function);
                        self.turns.retain(|function| *function != key.function);
                    }
                }
            }
            Place::Gate(gate, rank) => self.gates.unpark(gate, rank, key),
            Place::Throttled(_) => {}
        }
    }

    /// A lane left the ready set without using its slots: whoever waits for them may.
    fn pass_on(&mut self, hurdles: &Hurdles, except: Option<u128>, limits: &impl Limits) {
        for (_, gate) in hurdles.all_gates() {
            if Some(*gate) != except {
                self.wake_from(*gate, limits);
            }
        }
    }

    fn wake_from(&mut self, gate: u128, limits: &impl Limits) {
        let lanes = &self.lanes;
        let admits = |key: LaneKey| {
            if limits.is_paused(key.function) {
                return Some(0);
            }
            let gates = lanes.get(&key)?.hurdles.all_gates();
            gates
                .filter(|(_, other)| *other == gate)
                .filter_map(|(definition, _)| limits.limit(key.function, *definition))
                .min()
        };
        if let Some(key) = self.gates.unpark_first(gate, admits) {
            self.make_ready(key);
        }
    }
}

/// Today's numbers for the limits that lanes carry.
pub(crate) trait Limits {
    /// How many calls the function's limit of this definition allows; `None` when it no longer has that limit.
    fn limit(&self, function: FunctionId, definition: u64) -> Option<u32>;
    /// The function's throttle.
    fn throttle(&self, function: FunctionId) -> Option<&Throttle>;
    /// Whether the function is not to be called.
    fn is_paused(&self, function: FunctionId) -> bool;
}

/// Where an item stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many go before it for the same values.
    pub(crate) ahead: usize,
    /// The definition of the limit that they wait for.
    pub(crate) gate: Option<u64>,
    /// When the throttle lets the next one through.
    pub(crate) until: Option<Timestamp>,
}

/// The gates of limits. Two limits may meet in one gate, e.g. two environment-wide keys of one value: a call is inside
/// it once.
fn inside_of(gates: &[(u64, u128)]) -> SmallVec<[u128; 2]> {
    let mut inside: SmallVec<[u128; 2]> = gates.iter().map(|(_, gate)| *gate).collect();
    inside.sort_unstable();
    inside.dedup();
    inside
}

impl Limits for HashMap<FunctionId, Arc<Function>> {
    fn limit(&self, function: FunctionId, definition: u64) -> Option<u32> {
        self.get(&function)?.limit_of(definition)
    }

    fn throttle(&self, function: FunctionId) -> Option<&Throttle> {
        self.get(&function)?.throttle.as_ref()
    }

    fn is_paused(&self, function: FunctionId) -> bool {
        self.get(&function).is_some_and(|function| function.paused)
    }
}

#[cfg(test)]
mod tests;
