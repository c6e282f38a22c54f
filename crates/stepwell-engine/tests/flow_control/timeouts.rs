//! Timeouts: from when a run is queued to its first call, and from there to its end.

use crate::rig::{Answer, Rig};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use stepwell_engine::{Cause, RunStatus};

#[derive(Debug, Clone)]
struct Plan {
    /// When its event comes, and for how much later it is dated.
    at: u64,
    dated: u64,
    /// How long after its first call the function answers, if it does.
    answers_after: Option<u64>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let dated = prop_oneof![Just(0), 0_u64..3_000];
    let answers_after = proptest::option::of(0_u64..3_000);
    (0_u64..5_000, dated, answers_after).prop_map(|(at, dated, answers_after)| Plan {
        at,
        dated,
        answers_after,
    })
}

type End = Option<(u64, RunStatus, Option<Cause>)>;

impl Plan {
    fn end(&self, start: Option<u64>, finish: Option<u64>) -> (Option<u64>, End) {
        let cancelled = |at, cause| Some((at, RunStatus::Cancelled, Some(cause)));
        if let Some(start) = start
            && self.dated >= start
        {
            return (None, cancelled(self.at + start, Cause::StartTimeout));
        }
        let started = self.at + self.dated;
        let end = match (self.answers_after, finish) {
            (Some(after), Some(finish)) if after < finish => {
                Some((started + after, RunStatus::Completed, None))
            }
            (Some(after), None) => Some((started + after, RunStatus::Completed, None)),
            (_, Some(finish)) => cancelled(started + finish, Cause::FinishTimeout),
            (None, None) => None,
        };
        (Some(started), end)
    }
}

enum Action {
    Event(usize),
    Answer(usize),
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_that_are_over_time_are_cancelled_then_and_there(
        mut plans in proptest::collection::vec(plan(), 1..15),
        restarts in proptest::collection::vec(0_u64..9_000, 0..4),
        start in proptest::option::of(1_u64..3_000),
        finish in proptest::option::of(1_u64..3_000),
    ) {
        let mut timeouts = json!({});
        for (name, ms) in [("start", start), ("finish", finish)] {
            if let Some(ms) = ms {
                timeouts[name] = json!(format!("{ms}ms"));
            }
        }
        let mut rig = Rig::of(json!({"timeouts": timeouts}));
        plans.sort_by_key(|plan| plan.at);
        let mut agenda: BTreeMap<u64, Vec<Action>> = BTreeMap::new();
        for at in restarts {
            agenda.entry(at).or_default().push(Action::Restart);
        }
        for (run, plan) in plans.iter().enumerate() {
            agenda.entry(plan.at).or_default().push(Action::Event(run));
        }
        for (run, plan) in plans.iter().enumerate() {
            if let (Some(started), Some(after)) = (plan.end(start, finish).0, plan.answers_after) {
                agenda.entry(started + after).or_default().push(Action::Answer(run));
            }
        }
        for (at, actions) in agenda {
            rig.pass(at - rig.now_ms());
            for action in actions {
                match action {
                    Action::Event(run) => {
                        let later = i64::try_from(plans[run].dated).unwrap();
                        rig.send_dated("x", json!({}), None, later);
                    }
                    Action::Answer(run) => rig.answer(run, Answer::Return),
                    Action::Restart => rig.restart(0),
                }
            }
        }
        rig.pass(10_000);
        let (starts, ends): (Vec<_>, Vec<_>) = plans.iter().map(|plan| plan.end(start, finish)).unzip();
        prop_assert_eq!(rig.starts(), starts);
        prop_assert_eq!(rig.ends(), ends);
    }
}
