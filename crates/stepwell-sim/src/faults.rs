//! What goes wrong, and when. Each fault stands alone, so that a story can be told with fewer of them.

use crate::dice::Dice;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// To the so manieth commit, from 0.
    Commit { nth: u64, what: CommitFault },
    /// To the so manieth call, from 0.
    Call { nth: u64, what: CallFault },
    /// To the so manieth checkpoint, from 0.
    Checkpoint { nth: u64, what: CheckpointFault },
    /// At a time.
    At { ms: u64, what: Strike },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// The store refuses it, and takes nothing until it has been asked so often.
    Fails { probes: u32 },
    /// The process dies before anything is written.
    CrashBefore { down_ms: u64 },
    /// The process dies when it is written, and nobody has heard of it.
    CrashAfter { down_ms: u64 },
    /// Writing takes its time, and decisions go on meanwhile.
    Slow { ms: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// What it carries cannot be read.
    NotMade,
    /// Nobody answers at the app's address.
    Unreachable,
    /// The app never answers, and the call has no end of its own.
    Lost,
    /// The app never answers, and the call is given up in the end.
    TimesOut,
    /// The call is given up, and the app answers after all.
    Late { after_ms: u64 },
    /// The answer comes twice.
    Doubled { after_ms: u64 },
    /// The app takes its time for each step.
    Slow { ms: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointFault {
    /// It never arrives, and the SDK tries again.
    Lost,
    Doubled {
        after_ms: u64,
    },
    Slow {
        ms: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// The process dies.
    Crash { down_ms: u64 },
    /// The machine's clock is set.
    ClockJump { by_ms: i64 },
}

/// The faults of a seed, whose script takes `span_ms`.
pub(crate) fn draw(dice: &mut Dice, span_ms: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Some seeds see one kind of fault only, some see none.
    let most = |dice: &mut Dice| dice.pick(&[0, 0, 1, 3, 8]);
    for _ in 0..most(dice) {
        let nth = dice.below(60);
        let what = commit_fault(dice, span_ms);
        faults.push(Fault::Commit { nth, what });
    }
    for _ in 0..most(dice) {
        let nth = dice.below(60);
        let what = call_fault(dice, span_ms);
        faults.push(Fault::Call { nth, what });
    }
    for _ in 0..most(dice) {
        let nth = dice.below(20);
        let what = checkpoint_fault(dice, span_ms);
        faults.push(Fault::Checkpoint { nth, what });
    }
    for _ in 0..most(dice) {
        let ms = dice.below(span_ms);
        let what = strike(dice, span_ms);
        faults.push(Fault::At { ms, what });
    }
    faults
}

fn commit_fault(dice: &mut Dice, span_ms: u64) -> CommitFault {
    let down_ms = dice.between(1, 20_000);
    match dice.below(5) {
        0 => CommitFault::Fails {
            probes: u32::try_from(dice.between(1, 4)).expect("a small number"),
        },
        1 => CommitFault::CrashBefore { down_ms },
        2 => CommitFault::CrashAfter { down_ms },
        _ => CommitFault::Slow {
            ms: dice.below(span_ms / 4),
        },
    }
}

fn call_fault(dice: &mut Dice, span_ms: u64) -> CallFault {
    let after_ms = dice.below(span_ms);
    match dice.below(8) {
        0 => CallFault::NotMade,
        1 => CallFault::Unreachable,
        2 => CallFault::Lost,
        3 => CallFault::TimesOut,
        4 => CallFault::Late { after_ms },
        5 | 6 => CallFault::Doubled { after_ms },
        _ => CallFault::Slow { ms: after_ms },
    }
}

fn checkpoint_fault(dice: &mut Dice, span_ms: u64) -> CheckpointFault {
    let ms = dice.below(span_ms / 2);
    match dice.below(3) {
        0 => CheckpointFault::Lost,
        1 => CheckpointFault::Doubled { after_ms: ms },
        _ => CheckpointFault::Slow { ms },
    }
}

fn strike(dice: &mut Dice, span_ms: u64) -> Strike {
    if dice.chance(60) {
        return Strike::Crash {
            down_ms: dice.between(1, span_ms / 4 + 1),
        };
    }
    let by_ms = i64::try_from(dice.between(1_000, span_ms * 2 + 1_000)).expect("a few days");
    Strike::ClockJump {
        by_ms: if dice.chance(50) { by_ms } else { -by_ms },
    }
}
