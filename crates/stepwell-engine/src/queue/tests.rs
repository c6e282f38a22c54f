//! The queue against a model that looks at every waiting item each time.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const FUNCTIONS: u8 = 3;
/// Gap between two starts from one bucket.
const THROTTLE_MS: u64 = 10;
/// A limit of the function's own, and one whose values count across functions.
const OWN: u64 = 1;
const SHARED: u64 = 2;

fn function(number: u8) -> FunctionId {
    FunctionId::from_bytes([number; 16])
}

/// Limits by function number and definition.
#[derive(Debug, Default)]
struct Numbers(HashMap<(FunctionId, u64), u32>);

impl Limits for Numbers {
    fn limit(&self, function: FunctionId, definition: u64) -> Option<u32> {
        self.0.get(&(function, definition)).copied()
    }

    fn throttle(&self, _function: FunctionId) -> Option<&Throttle> {
        None
    }

    fn is_paused(&self, _function: FunctionId) -> bool {
        false
    }
}

#[derive(Debug, Clone)]
struct Waiting {
    key: LaneKey,
    hurdles: Hurdles,
    rank: Rank,
}

impl Waiting {
    /// Whether other functions compete for its slots: a free one may be kept for one of them.
    fn shares_slots(&self) -> bool {
        let mut gates = self.hurdles.gates.iter();
        gates.any(|(definition, _)| *definition == SHARED)
    }
}

/// The queue, and what should be true of it.
struct Pair {
    queue: Queue,
    in_flight_max: usize,
    limits: Numbers,
    now: Timestamp,
    waiting: BTreeMap<ItemId, Waiting>,
    in_flight: Vec<(ItemId, u64, Waiting)>,
    /// When a bucket lets the next start through.
    buckets: HashMap<u128, Timestamp>,
    timers: BTreeSet<(Timestamp, LaneKey)>,
    item_last: u64,
    generation_last: u64,
}

impl Pair {
    fn new(in_flight_max: usize) -> Self {
        Self {
            queue: Queue::new(in_flight_max),
            in_flight_max,
            limits: Numbers::default(),
            now: Timestamp::from_ms(1_000),
            waiting: BTreeMap::new(),
            in_flight: Vec::new(),
            buckets: HashMap::new(),
            timers: BTreeSet::new(),
            item_last: 0,
            generation_last: 0,
        }
    }

    fn push(&mut self, number: u8, user: u8, starts: bool, age: u64) {
        let gates = match number {
            0 => vec![(OWN, 0)],
            1 => vec![(OWN, 1), (SHARED, 100 + u128::from(user))],
            _ => vec![(SHARED, 100 + u128::from(user))],
        };
        let bucket = (number != 0 && starts).then(|| 200 + u128::from(number));
        let hurdles = Hurdles {
            gates,
            run_gates: Vec::new(),
            bucket,
        };
        let key = LaneKey {
            function: function(number),
            starts,
            values: u128::from(user),
        };
        self.item_last += 1;
        let item = ItemId(self.item_last);
        let rank = (age, item);
        self.queue.push(key, || hurdles.clone(), age, item);
        self.waiting.insert(item, Waiting { key, hurdles, rank });
    }

    fn remove(&mut self, which: usize) {
        let Some(item) = pick(self.waiting.keys(), which).copied() else {
            return;
        };
        let gone = self.waiting.remove(&item).expect("it was picked");
        self.queue.remove(gone.key, gone.rank.0, item, &self.limits);
    }

    fn finish(&mut self, which: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let (item, generation, _) = self.in_flight.remove(which % self.in_flight.len());
        assert!(
            !self.queue.release(item, generation + 1_000, &self.limits),
            "another dispatch was released"
        );
        assert!(self.queue.release(item, generation, &self.limits));
        assert!(
            !self.queue.release(item, generation, &self.limits),
            "a call was released twice"
        );
    }

    fn set_limit(&mut self, number: u8, definition: u64, limit: Option<u32>) {
        match limit {
            None => self.limits.0.remove(&(function(number), definition)),
            Some(limit) => self.limits.0.insert((function(number), definition), limit),
        };
        self.queue.wake_function(function(number), &self.limits);
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        while let Some((due, lane)) = self
            .timers
            .first()
            .copied()
            .filter(|(due, _)| *due <= self.now)
        {
            self.timers.remove(&(due, lane));
            self.queue.wake(lane, self.now);
        }
    }

    /// Calls all that may be called, checking each choice.
    fn dispatch(&mut self) {
        loop {
            self.generation_last += 1;
            let (now, buckets) = (self.now, &mut self.buckets);
            let before = buckets.clone();
            let next = self
                .queue
                .next(self.generation_last, &self.limits, |_, bucket| {
                    let free = buckets.entry(bucket).or_default();
                    if *free > now {
                        return Err(*free);
                    }
                    *free = now.after_ms(THROTTLE_MS);
                    Ok(())
                });
            match next {
                Next::Call(item) => {
                    let called = self.waiting[&item].clone();
                    let earlier = self
                        .waiting
                        .values()
                        .filter(|other| other.key.function == called.key.function)
                        .filter(|other| other.rank < called.rank)
                        .find(|other| self.may_go(other, &before) && !other.shares_slots());
                    assert!(
                        self.may_go(&called, &before),
                        "{item} was called past its limits: {called:?}"
                    );
                    assert!(
                        earlier.is_none(),
                        "{item} was called before {earlier:?}: {called:?}"
                    );
                    self.waiting.remove(&item);
                    self.in_flight.push((item, self.generation_last, called));
                    assert_eq!(self.queue.in_flight(), self.in_flight.len());
                }
                Next::WakeAt(due, lane) => {
                    assert!(due > self.now);
                    self.timers.insert((due, lane));
                }
                Next::Nothing => break,
            }
        }
        for (item, waiting) in &self.waiting {
            assert!(
                !self.may_go(waiting, &self.buckets),
                "{item} may go and was left: {waiting:?}"
            );
        }
    }

    fn may_go(&self, waiting: &Waiting, buckets: &HashMap<u128, Timestamp>) -> bool {
        let inside = |gate: u128| {
            self.in_flight
                .iter()
                .filter(|(_, _, other)| other.hurdles.gates.iter().any(|(_, at)| *at == gate))
                .count()
        };
        let open = |(definition, gate): &(u64, u128)| {
            self.limits
                .limit(waiting.key.function, *definition)
                .is_none_or(|limit| inside(*gate) < limit as usize)
        };
        let bucket = waiting.hurdles.bucket;
        self.in_flight.len() < self.in_flight_max
            && waiting.hurdles.gates.iter().all(open)
            && bucket.is_none_or(|bucket| buckets.get(&bucket).is_none_or(|free| *free <= self.now))
    }
}

fn pick<T>(mut items: impl ExactSizeIterator<Item = T>, which: usize) -> Option<T> {
    match items.len() {
        0 => None,
        count => items.nth(which % count),
    }
}

#[derive(Debug, Clone)]
enum Act {
    Push {
        number: u8,
        user: u8,
        starts: bool,
        age: u64,
    },
    Remove(usize),
    Finish(usize),
    SetLimit {
        number: u8,
        definition: u64,
        limit: Option<u32>,
    },
    Advance(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..FUNCTIONS, 0_u8..2, any::<bool>(), 0_u64..5)
            .prop_map(|(number, user, starts, age)| Act::Push { number, user, starts, age }),
        1 => any::<usize>().prop_map(Act::Remove),
        4 => any::<usize>().prop_map(Act::Finish),
        1 => (0..FUNCTIONS, prop_oneof![Just(OWN), Just(SHARED)], proptest::option::of(1_u32..4))
            .prop_map(|(number, definition, limit)| Act::SetLimit { number, definition, limit }),
        1 => (0_u64..25).prop_map(Act::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn calls_are_those_of_the_model(in_flight_max in 1_usize..6, acts in prop::collection::vec(act(), 1..120)) {
        let mut pair = Pair::new(in_flight_max);
        for number in 0..FUNCTIONS {
            pair.set_limit(number, OWN, Some(2));
            pair.set_limit(number, SHARED, Some(u32::from(number) + 1));
        }
        for act in acts {
            match act {
                Act::Push { number, user, starts, age } => pair.push(number, user, starts, age),
                Act::Remove(which) => pair.remove(which),
                Act::Finish(which) => pair.finish(which),
                Act::SetLimit { number, definition, limit } => pair.set_limit(number, definition, limit),
                Act::Advance(ms) => pair.advance(ms),
            }
            pair.dispatch();
        }
        // Nothing is forgotten: as calls return and time passes, everything is called.
        for _ in 0..400 {
            pair.finish(0);
            pair.advance(THROTTLE_MS);
            pair.dispatch();
        }
        prop_assert!(pair.waiting.is_empty(), "never called: {:?}", pair.waiting);
        prop_assert!(pair.in_flight.is_empty());
    }
}

#[test]
fn functions_take_turns() {
    let mut pair = Pair::new(1);
    for age in 0..3 {
        pair.push(0, 0, false, age);
        pair.push(2, 0, false, age);
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        pair.dispatch();
        order.push(pair.in_flight[0].2.key.function);
        pair.finish(0);
    }
    let (a, b) = (function(0), function(2));
    assert_eq!(order, [a, b, a, b, a, b]);
}

#[test]
fn a_closed_queue_calls_nothing_more() {
    let mut pair = Pair::new(2);
    pair.push(0, 0, false, 0);
    pair.push(0, 0, false, 1);
    pair.queue.close();
    pair.in_flight_max = 0;
    pair.dispatch();
    assert_eq!(pair.queue.in_flight(), 0);
}

#[test]
fn a_woken_lane_that_is_emptied_passes_its_slot_on() {
    let mut pair = Pair::new(9);
    pair.set_limit(2, SHARED, Some(1));
    pair.set_limit(1, SHARED, Some(1));
    pair.push(2, 0, false, 0);
    pair.dispatch();
    pair.push(2, 0, false, 1);
    pair.push(1, 0, false, 2);
    pair.dispatch();
    // The first in line is woken by the release and gone before it is its turn.
    pair.finish(0);
    pair.remove(0);
    pair.dispatch();
    assert_eq!(pair.in_flight.len(), 1);
    assert_eq!(pair.in_flight[0].2.key.function, function(1));
}

#[test]
fn a_woken_lane_whose_first_item_goes_does_not_pass_an_older_one() {
    let mut pair = Pair::new(9);
    pair.set_limit(2, SHARED, Some(1));
    pair.push(2, 0, false, 0);
    pair.dispatch();
    pair.push(2, 0, false, 1);
    pair.push(2, 0, true, 5);
    pair.push(2, 0, false, 9);
    pair.dispatch();
    // The lane that is woken by the release has only the youngest left.
    pair.finish(0);
    pair.remove(0);
    pair.dispatch();
    assert_eq!(pair.in_flight.len(), 1);
    assert!(pair.in_flight[0].2.key.starts);
}
