//! Priority: of the runs of a function that wait, the one queued first goes first, its head start counted in.

use crate::rig::{Answer, Rig, What};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Event(Value),
    /// The run that is being called returns, or has run a step.
    Answer {
        returns: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let priority = prop_oneof![
        6 => (-20_i64..20).prop_map(|seconds| json!(seconds)),
        1 => Just(json!(1_000_000)),
        1 => Just(json!(-1_000_000)),
        1 => Just(json!(7.5)),
        1 => Just(json!("10")),
        1 => Just(Value::Null),
    ];
    let step = prop_oneof![
        5 => priority.prop_map(Step::Event),
        4 => any::<bool>().prop_map(|returns| Step::Answer { returns }),
        1 => Just(Step::Restart),
    ];
    // Runs come about as far apart as the head starts that they get.
    let gap = (0_u64..4, 0_u64..20).prop_map(|(seconds, ms)| seconds * 1_000 + ms);
    proptest::collection::vec((gap, step), 1..60)
}

fn head_start_ms(priority: &Value) -> i64 {
    match priority.as_i64() {
        Some(seconds) => seconds.clamp(-43_200, 43_200) * 1_000,
        None => 0,
    }
}

/// Who waits: by moment less head start, then by when the work was queued.
#[derive(Default)]
struct Model {
    scores: Vec<i64>,
    waiting: Vec<(i64, usize, usize)>,
    called: Option<usize>,
    /// Runs in the order of their calls.
    calls: Vec<usize>,
    queued: usize,
}

impl Model {
    fn queue(&mut self, run: usize, place: usize) {
        self.waiting.push((self.scores[run], place, run));
    }

    fn call(&mut self) {
        if self.called.is_none()
            && let Some(next) = self.waiting.iter().min().copied()
        {
            self.waiting.retain(|waiting| *waiting != next);
            self.called = Some(next.2);
            self.calls.push(next.2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_go_by_their_time_less_their_head_start(steps in steps()) {
        let mut rig = Rig::of(json!({"concurrency": 1, "priority": {"run": "event.data.p"}}));
        let mut model = Model::default();
        // When the work of the run that is being called was queued.
        let mut place_called = 0;
        for (index, (gap, step)) in steps.into_iter().enumerate() {
            rig.pass(gap);
            match step {
                Step::Event(priority) => {
                    let now = i64::try_from(rig.now_ms()).unwrap();
                    rig.send("x", json!({"p": priority}));
                    model.scores.push(now - head_start_ms(&priority));
                    model.queue(model.scores.len() - 1, model.queued);
                    model.queued += 1;
                }
                Step::Answer { returns } => if let Some(run) = model.called.take() {
                    rig.answer(run, if returns { Answer::Return } else { Answer::Step(format!("s{index}")) });
                    if !returns {
                        model.queue(run, model.queued);
                        model.queued += 1;
                    }
                },
                Step::Restart => {
                    rig.restart(1);
                    // Its call is one of those that wait.
                    if let Some(run) = model.called.take() {
                        model.queue(run, place_called);
                    }
                }
            }
            let next = model.waiting.iter().min().copied();
            let calls = model.calls.len();
            model.call();
            if model.calls.len() > calls {
                place_called = next.map_or(0, |(_, place, _)| place);
            }
            let found: Vec<usize> = rig.seen.iter().filter_map(|(_, what)| match what {
                What::Called { run } => Some(*run),
                _ => None,
            }).collect();
            prop_assert_eq!(&found, &model.calls);
        }
    }
}
