//! Storms: functions that ask for anything — every op, every flow control — while the process dies and comes back.
//!
//! Unlike the simulation's plans, nothing here follows a model of what should happen. What must hold all the same: what
//! is stored makes the engine that wrote it, nothing is stuck, an audit finds nothing, a run ends once and nothing of it is
//! called afterwards, a place of a singleton and a limit on runs hold, a bulk cancellation that is done has left none of
//! its runs unfinished, and once functions behave, everything ends.
//!
//! `STEPWELL_STORMS=FROM..TO cargo test -p stepwell-sim --test storm` plays other seeds than the usual ones.

#[path = "storm/apps.rs"]
mod apps;
#[path = "storm/drawn.rs"]
mod drawn;
#[path = "storm/outside.rs"]
mod outside;
#[path = "storm/promises.rs"]
mod promises;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use stepwell_engine::{
    Announcement, Answer, Backoff, Call, Config, Decision, DeliveryRow, Effect, Engine, Fetch,
    IdSource, Input, LookBack, NewEvent, Sweep, Timestamp,
};
use stepwell_protocol::{AppId, EventId, FunctionId, RunId, SharedJson, shared_json};
use stepwell_store::{Store, memory};

/// The seeds that are played when nobody says.
const SEEDS: std::ops::Range<u64> = 0..80;

/// What happens in one storm.
const ACTS: usize = 120;

/// Decisions in which everything must end once functions behave.
const CALM_MAX: usize = 20_000;

const FUNCTIONS: usize = 4;

struct Storm {
    random: SmallRng,
    ids: IdSource,
    now: Timestamp,
    config: Config,
    engine: Engine,
    store: Store,
    calls: Vec<Call>,
    fetches: Vec<Fetch>,
    looks: Vec<LookBack>,
    deliveries: Vec<DeliveryRow>,
    announcements: Vec<Announcement>,
    sweeps: Vec<Sweep>,
    events: HashMap<EventId, NewEvent>,
    /// Runs and the functions and events that they are of.
    runs: Vec<(RunId, FunctionId, EventId)>,
    unfinished: HashSet<RunId>,
    /// Runs that were called before they ended, by function.
    under_way: HashMap<FunctionId, HashSet<RunId>>,
    ended: HashSet<RunId>,
    run_limits: HashMap<FunctionId, usize>,
    singletons: HashSet<FunctionId>,
    calm: bool,
}

fn json_text(value: &Value) -> SharedJson {
    shared_json(value.to_string()).expect("serialised JSON is JSON")
}

impl Storm {
    fn of(seed: u64) -> Self {
        let now = Timestamp::from_ms(1_767_225_600_000);
        let mut random = SmallRng::seed_from_u64(seed);
        let config = Config {
            calls_max: random.random_range(1..20),
            backoff: Backoff::Constant(random.random_range(0..5_000)),
            ..Config::default()
        };
        Self {
            random,
            ids: IdSource::from_seed(seed),
            now,
            engine: Engine::new(config.clone(), now),
            config,
            store: memory::open(),
            calls: Vec::new(),
            fetches: Vec::new(),
            looks: Vec::new(),
            deliveries: Vec::new(),
            announcements: Vec::new(),
            sweeps: Vec::new(),
            events: HashMap::new(),
            runs: Vec::new(),
            unfinished: HashSet::new(),
            under_way: HashMap::new(),
            ended: HashSet::new(),
            run_limits: HashMap::new(),
            singletons: HashSet::new(),
            calm: false,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn play(mut self) {
        self.register();
        for _ in 0..ACTS {
            self.act();
        }
        self.calm = true;
        self.crash();
        self.register();
        for _ in 0..CALM_MAX {
            if !self.settle() {
                break;
            }
        }
        assert!(
            self.unfinished.is_empty(),
            "runs never end: {:?}",
            self.unfinished
        );
        assert_eq!(self.engine.runs_unfinished(), 0);
        assert_eq!(self.engine.calls_in_flight(), 0);
        assert_eq!(self.engine.waits(), 0, "waits outlive their runs");
    }

    fn act(&mut self) {
        match self.below(100) {
            0..=24 => self.send(),
            25..=54 => self.answer(),
            55..=64 => self.advance(),
            65..=69 => self.answer_fetch(),
            70..=74 => self.look_back(),
            75..=77 => self.deliver(),
            78..=79 => self.sweep(),
            80..=84 => self.announce(),
            85..=87 => self.signal(),
            88..=89 => self.invoke(),
            90 => self.cancel(),
            91 => self.bulk_cancel(),
            92 => self.pause(),
            93 => self.repeat(),
            94 => self.register(),
            95 => self.handle(Input::Audit),
            _ => self.crash(),
        }
    }

    /// One thing that gets on; whether there was any.
    fn settle(&mut self) -> bool {
        if !self.deliveries.is_empty() {
            self.deliver();
        } else if !self.sweeps.is_empty() {
            self.sweep();
        } else if !self.looks.is_empty() {
            self.look_back();
        } else if !self.announcements.is_empty() {
            self.announce();
        } else if !self.fetches.is_empty() {
            self.answer_fetch();
        } else if !self.calls.is_empty() {
            self.answer();
        } else if self.unfinished.is_empty() {
            return false;
        } else if let Some(due) = self.engine.next_due() {
            self.now = self.now.max(due);
            self.handle(Input::TimersDue);
        } else {
            // What waits for a paused function goes on.
            for number in 0..FUNCTIONS {
                let function = FunctionId::of(AppId::of("app"), &format!("app-{number}"));
                self.handle(Input::FunctionPaused {
                    function,
                    paused: false,
                });
            }
        }
        true
    }

    fn advance(&mut self) {
        let ms = self.pick(&[1, 500, 2_000, 10_000, 3_600_000]);
        self.now = self.now.after_ms(ms);
        while self.engine.next_due().is_some_and(|due| due <= self.now) {
            self.handle(Input::TimersDue);
        }
    }

    /// The process dies, and starts again a while later.
    fn crash(&mut self) {
        let down_ms = self.pick(&[1, 1_000, 7_200_000]);
        self.now = self.now.after_ms(down_ms);
        for list in [self.calls.len(), self.fetches.len()] {
            assert!(list <= 1_000);
        }
        self.calls.clear();
        self.fetches.clear();
        self.looks.clear();
        self.deliveries.clear();
        self.announcements.clear();
        self.sweeps.clear();
        let stored = self.store.writer.load(self.now).expect("it loads");
        self.engine = Engine::load(stored, self.config.clone(), self.now).expect("it loads");
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        self.commit(decision);
    }

    fn handle(&mut self, input: Input) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        if let Some(Answer::Audited(violations)) = &decision.answer {
            assert_eq!(violations, &Vec::<String>::new());
        }
        self.commit(decision);
    }

    fn commit(&mut self, decision: Decision) {
        let committed = self.store.writer.commit(&decision.changes);
        committed.expect("every decision fits");
        for change in &decision.changes {
            self.note(change);
        }
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => {
                    assert!(!self.ended.contains(&call.run), "an ended run is called");
                    self.under_way
                        .entry(call.function)
                        .or_default()
                        .insert(call.run);
                    self.calls.push(*call);
                }
                Effect::Fetch(fetch) => {
                    assert!(!self.ended.contains(&fetch.run), "an ended run fetches");
                    self.fetches.push(*fetch);
                }
                Effect::Announce(announcement) => self.announcements.push(announcement),
                Effect::LookBack(look) => self.looks.push(*look),
                Effect::Deliver(row) => self.deliveries.push(row),
                Effect::Sweep(sweep) => self.sweeps.push(*sweep),
                Effect::GiveUp { .. } => {}
            }
        }
        self.assert_sound();
    }
}

#[test]
fn no_storm_breaks_what_must_hold() {
    let seeds = match std::env::var("STEPWELL_STORMS") {
        Err(_) => SEEDS,
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("STEPWELL_STORMS=FROM..TO");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| Storm::of(seed).play());
        assert!(
            played.is_ok(),
            "STEPWELL_STORMS={seed}..{} breaks it",
            seed + 1
        );
    }
}
