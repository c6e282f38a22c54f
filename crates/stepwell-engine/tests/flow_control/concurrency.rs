//! Limits on calls, of a function, for a key, and across functions, and limits on runs.
//!
//! The model keeps who is being called and who waits. No call may be over a limit at its moment; after each input no
//! one may wait whom no limit holds; and of two runs of the same values the older one goes first.

use crate::rig::{Answer, Rig, What, function};
use proptest::prelude::*;
use serde_json::{Value, json};
use stepwell_engine::Config;

#[derive(Debug, Clone)]
enum Step {
    Event(usize, Values),
    /// One of the calls that are under way is answered.
    Answer(usize, How),
    /// One of the unfinished runs is cancelled.
    Cancel(usize),
    Pause(usize, bool),
    Pass(u64),
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Values {
    key: u8,
    shared: u8,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Return,
    Step,
    Sleep(u64),
    NotMade,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let values = (0_u8..3, 0_u8..2).prop_map(|(key, shared)| Values { key, shared });
    let how = prop_oneof![
        3 => Just(How::Return),
        3 => Just(How::Step),
        2 => (1_u64..3_000).prop_map(How::Sleep),
        1 => Just(How::NotMade),
    ];
    let step = prop_oneof![
        8 => (0_usize..2, values).prop_map(|(function, values)| Step::Event(function, values)),
        8 => (0_usize..20, how).prop_map(|(call, how)| Step::Answer(call, how)),
        1 => (0_usize..20).prop_map(Step::Cancel),
        1 => (0_usize..2, any::<bool>()).prop_map(|(function, paused)| Step::Pause(function, paused)),
        3 => (0_u64..2_000).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A function's limits: for each key, for each shared value, and on runs for each key.
#[derive(Debug, Clone, Copy)]
struct Limits {
    calls: usize,
    shared: usize,
    runs: usize,
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..4, 1_usize..4, 1_usize..4).prop_map(|(calls, shared, runs)| Limits {
        calls,
        shared,
        runs,
    })
}

impl Limits {
    fn config(self) -> Value {
        json!({"concurrency": {
            "fn": [{"limit": self.runs, "key": "event.data.key", "scope": "fn"}],
            "step": [
                {"limit": self.calls, "key": "event.data.key", "scope": "fn"},
                {"limit": self.shared, "key": "event.data.shared", "scope": "env"},
            ],
        }})
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may be called from this moment on.
    Waits(u64),
    Called,
    /// It was cancelled while it was being called, and keeps its places until the answer.
    GivenUp,
    Over,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    function: usize,
    values: Values,
    queued_at: u64,
    started: bool,
    state: State,
}

struct Model {
    limits: [Limits; 2],
    paused: [bool; 2],
    runs: Vec<Run>,
}

impl Model {
    fn is_held(&self, run: &Run) -> bool {
        let limits = self.limits[run.function];
        let calls = self
            .runs
            .iter()
            .filter(|other| matches!(other.state, State::Called | State::GivenUp));
        let of_key =
            |other: &&Run| other.function == run.function && other.values.key == run.values.key;
        let under_way = self.runs.iter().filter(|other| {
            other.started && matches!(other.state, State::Waits(_) | State::Called)
        });
        self.paused[run.function]
            || calls.clone().filter(of_key).count() >= limits.calls
            || calls
                .filter(|other| other.values.shared == run.values.shared)
                .count()
                >= limits.shared
            || (!run.started && under_way.filter(of_key).count() >= limits.runs)
    }

    fn note(&mut self, at: u64, what: &What) -> Result<(), TestCaseError> {
        match what {
            What::Called { run: number } => {
                let run = self.runs[*number];
                let State::Waits(due) = run.state else {
                    return Err(TestCaseError::fail(format!(
                        "run {number} was called, {:?}",
                        run.state
                    )));
                };
                prop_assert!(due <= at, "run {} was called before its time", number);
                prop_assert!(
                    !self.is_held(&run),
                    "run {} was called over a limit",
                    number
                );
                let older = self.runs.iter().position(|other| {
                    other.function == run.function
                        && other.values == run.values
                        && other.started == run.started
                        && other.queued_at < run.queued_at
                        && matches!(other.state, State::Waits(due) if due < at)
                });
                prop_assert_eq!(older, None, "run {} was called before an older one", number);
                self.runs[*number].state = State::Called;
                self.runs[*number].started = true;
            }
            What::Ended { run, .. } => {
                let run = &mut self.runs[*run];
                run.state = match run.state {
                    State::Called => State::GivenUp,
                    _ => State::Over,
                };
            }
            What::Queued { .. } | What::Judged { .. } => {}
        }
        Ok(())
    }

    fn pick(&self, index: usize, states: fn(State) -> bool) -> Option<usize> {
        let found: Vec<usize> = (0..self.runs.len())
            .filter(|run| states(self.runs[*run].state))
            .collect();
        let index = index.checked_rem(found.len())?;
        Some(found[index])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_and_hold_no_one_else(steps in steps(), limits in [limits(), limits()]) {
        let names = ["f", "g"];
        let functions: Vec<Value> = (0..2).map(|index| {
            function(names[index], json!([{"event": names[index]}]), limits[index].config())
        }).collect();
        let mut rig = Rig::new(&functions, Config::default());
        let mut model = Model { limits, paused: [false; 2], runs: Vec::new() };
        for (index, step) in steps.into_iter().enumerate() {
            let seen = rig.seen.len();
            match step {
                Step::Event(function, values) => {
                    let queued_at = rig.now_ms();
                    let state = State::Waits(queued_at);
                    model.runs.push(Run { function, values, queued_at, started: false, state });
                    rig.send(names[function], json!({"key": values.key, "shared": values.shared}));
                }
                Step::Answer(call, how) => {
                    let states = |state| matches!(state, State::Called | State::GivenUp);
                    let Some(run) = model.pick(call, states) else { continue };
                    let (now, given_up) = (rig.now_ms(), model.runs[run].state == State::GivenUp);
                    let (answer, state) = match how {
                        How::Return => (Answer::Return, State::Over),
                        How::Step => (Answer::Step(format!("s{index}")), State::Waits(now)),
                        How::Sleep(ms) => (Answer::Sleep(format!("s{index}"), ms), State::Waits(now + ms)),
                        How::NotMade => (Answer::NotMade, State::Waits(now + 1_000)),
                    };
                    model.runs[run].state = if given_up { State::Over } else { state };
                    rig.answer(run, answer);
                }
                Step::Cancel(run) => {
                    let states = |state| matches!(state, State::Called | State::Waits(_));
                    if let Some(run) = model.pick(run, states) {
                        rig.cancel(run);
                    }
                }
                Step::Pause(function, paused) => {
                    model.paused[function] = paused;
                    rig.pause(names[function], paused);
                }
                Step::Pass(ms) => rig.pass(ms),
                Step::Restart => {
                    let now = rig.now_ms();
                    for run in &mut model.runs {
                        run.state = match run.state {
                            State::Called => State::Waits(now),
                            State::GivenUp => State::Over,
                            state => state,
                        };
                    }
                    rig.restart(1);
                }
            }
            for (at, what) in &rig.seen[seen..] {
                model.note(*at, what)?;
            }
            for (number, run) in model.runs.iter().enumerate() {
                let waits = matches!(run.state, State::Waits(due) if due <= rig.now_ms());
                prop_assert!(!waits || model.is_held(run), "run {} waits for nothing", number);
            }
        }
    }
}
