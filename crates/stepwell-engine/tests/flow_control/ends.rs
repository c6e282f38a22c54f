//! A run ends once: whatever comes first decides how, and what comes after changes nothing, also at the same moment.

use crate::rig::{Answer, Rig};
use serde_json::json;
use stepwell_engine::{Cause, RunStatus};

/// What may end a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Return,
    Failure,
    Request,
    Event,
    StartTimeout,
    FinishTimeout,
    Replacement,
}

const ALL: [By; 7] = [
    By::Return,
    By::Failure,
    By::Request,
    By::Event,
    By::StartTimeout,
    By::FinishTimeout,
    By::Replacement,
];

/// The run at hand; the one before it keeps it waiting when it is to be queued.
const RUN: usize = 1;

impl By {
    fn can_end(self, called: bool) -> bool {
        match self {
            Self::Return | Self::Failure | Self::FinishTimeout => called,
            Self::StartTimeout => !called,
            Self::Request | Self::Event | Self::Replacement => true,
        }
    }

    fn act(self, rig: &mut Rig) {
        match self {
            Self::Return => rig.answer(RUN, Answer::Return),
            Self::Failure => rig.answer(RUN, Answer::Fail),
            Self::Request => rig.cancel(RUN),
            Self::Event => {
                rig.send("stop", json!({"key": "b"}));
            }
            Self::StartTimeout | Self::FinishTimeout => rig.handle_timers(),
            Self::Replacement => {
                rig.send("x", json!({"key": "b"}));
            }
        }
    }

    fn is_told_by(self, status: RunStatus, cause: Option<Cause>) -> bool {
        match (status, cause) {
            (RunStatus::Completed, None) => self == Self::Return,
            (RunStatus::Failed, None) => self == Self::Failure,
            (RunStatus::Cancelled, Some(cause)) => match cause {
                Cause::Request => self == Self::Request,
                Cause::Event { .. } => self == Self::Event,
                Cause::StartTimeout => self == Self::StartTimeout,
                Cause::FinishTimeout => self == Self::FinishTimeout,
                Cause::Replaced { .. } => self == Self::Replacement,
                Cause::Singleton { .. } | Cause::FunctionPaused | Cause::Bulk { .. } => false,
            },
            _ => false,
        }
    }
}

/// A run that anything may end now: its time is just up, and its timers are late.
fn ready(called: bool) -> Rig {
    let mut rig = Rig::of(json!({
        "retries": 0, "concurrency": if called { 2 } else { 1 },
        "timeouts": {"start": "10s", "finish": "10s"},
        "singleton": {"mode": "cancel", "key": "event.data.key"},
        "cancel": [{"event": "stop", "if": "event.data.key == async.data.key"}],
    }));
    rig.send("x", json!({"key": "a"}));
    rig.send("x", json!({"key": "b"}));
    assert_eq!(rig.starts()[RUN].is_some(), called);
    rig.pass_without_timers(10_000);
    rig
}

#[test]
fn of_two_causes_the_first_one_ends_the_run() {
    let mut pairs = 0;
    for called in [false, true] {
        for first in ALL.into_iter().filter(|by| by.can_end(called)) {
            for second in ALL.into_iter().filter(|by| by.can_end(called)) {
                for restarts in [false, true] {
                    let mut rig = ready(called);
                    first.act(&mut rig);
                    let end = rig.ends()[RUN];
                    let (at, status, cause) = end.expect("the first cause ends it");
                    assert!(
                        first.is_told_by(status, cause),
                        "{first:?} told as {status} {cause:?}"
                    );
                    assert_eq!(at, 10_000);
                    if restarts {
                        rig.restart(0);
                    }
                    // Ends are asserted to come once.
                    second.act(&mut rig);
                    rig.pass(60_000);
                    assert_eq!(rig.ends()[RUN], end, "{first:?}, then {second:?}");
                    pairs += 1;
                }
            }
        }
    }
    assert_eq!(pairs, 2 * (4 * 4 + 6 * 6));
}

#[test]
fn a_restart_at_the_moment_when_time_is_up_ends_the_run_for_its_timeout() {
    for (called, by) in [(false, By::StartTimeout), (true, By::FinishTimeout)] {
        let mut rig = ready(called);
        rig.restart(0);
        let (at, status, cause) = rig.ends()[RUN].expect("its time is up");
        assert!(by.is_told_by(status, cause), "{status} {cause:?}");
        assert_eq!(at, 10_000);
    }
}
