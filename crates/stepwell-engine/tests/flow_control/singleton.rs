//! Singleton: at most one unfinished run for each key; a new one is skipped, or takes the place of the other.

use crate::rig::{Answer, Rig};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use stepwell_engine::{Cause, RunStatus};

#[derive(Debug, Clone)]
enum Step {
    /// An event of this key; one without holds no place.
    Event(Option<u8>),
    /// One of the unfinished runs returns.
    Return(usize),
    /// One of them is cancelled.
    Cancel(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = prop_oneof![6 => (0_u8..3).prop_map(Some), 1 => Just(None)].prop_map(Step::Event);
    let step = prop_oneof![
        6 => event,
        3 => (0_usize..10).prop_map(Step::Return),
        1 => (0_usize..10).prop_map(Step::Cancel),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// How a run ended, and the run that it ended for.
type End = Option<(RunStatus, Option<usize>)>;

#[derive(Default)]
struct Model {
    holders: BTreeMap<u8, usize>,
    live: Vec<usize>,
    ends: Vec<End>,
}

impl Model {
    fn event(&mut self, key: Option<u8>, cancels: bool) {
        let run = self.ends.len();
        self.ends.push(None);
        let holder = key.and_then(|key| self.holders.get(&key).copied());
        match holder {
            Some(holder) if cancels => self.end(holder, RunStatus::Cancelled, Some(run)),
            Some(holder) => {
                self.ends[run] = Some((RunStatus::Skipped, Some(holder)));
                return;
            }
            None => {}
        }
        self.live.push(run);
        if let Some(key) = key {
            self.holders.insert(key, run);
        }
    }

    fn end(&mut self, run: usize, status: RunStatus, by: Option<usize>) {
        self.ends[run] = Some((status, by));
        self.live.retain(|live| *live != run);
        self.holders.retain(|_, holder| *holder != run);
    }

    fn pick(&self, index: usize) -> Option<usize> {
        let index = index.checked_rem(self.live.len())?;
        Some(self.live[index])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_place_has_one_run(steps in steps(), cancels in any::<bool>()) {
        let mode = if cancels { "cancel" } else { "skip" };
        let mut rig = Rig::of(json!({"singleton": {"mode": mode, "key": "event.data.key"}}));
        let mut model = Model::default();
        for step in steps {
            rig.pass(10);
            match step {
                Step::Event(key) => {
                    rig.send("x", match key {
                        Some(key) => json!({"key": format!("k{key}")}),
                        None => json!({"key": false}),
                    });
                    model.event(key, cancels);
                }
                Step::Return(index) => if let Some(run) = model.pick(index) {
                    rig.answer(run, Answer::Return);
                    model.end(run, RunStatus::Completed, None);
                },
                Step::Cancel(index) => if let Some(run) = model.pick(index) {
                    rig.cancel(run);
                    model.end(run, RunStatus::Cancelled, None);
                },
                Step::Restart => rig.restart(1),
            }
            let ends = rig.ends().into_iter();
            let found: Vec<End> = ends.map(|end| end.map(|(_, status, cause)| {
                let by = match cause {
                    Some(Cause::Singleton { run } | Cause::Replaced { run }) => Some(rig.number(run)),
                    _ => None,
                };
                (status, by)
            })).collect();
            prop_assert_eq!(&found, &model.ends);
        }
    }
}
