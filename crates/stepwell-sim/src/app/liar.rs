//! Functions that answer anything: what the engine must stand from an SDK that is broken.

use super::{Answer, answer, failed_op, op, returned, sleep_op, text};
use crate::dice::Dice;
use stepwell_engine::{Call, ReportedOp, ReportedOutcome};
use stepwell_protocol::StepId;
use stepwell_protocol::op::Opcode;

/// Step names that liars use.
const STEPS: u64 = 5;

/// Any answer; `value` differs from all others, so that a change of a recorded one shows.
pub(super) fn lie(dice: &mut Dice, call: &Call, value: u64, span_ms: u64) -> Answer {
    let step = |dice: &mut Dice| StepId::parse(&format!("s{}", dice.below(STEPS)));
    let ran = |step| ReportedOp {
        value: Some(text(format!("{{\"data\":{value}}}"))),
        ..op(Opcode::StepRun, step)
    };
    let ops = match dice.below(25) {
        0 | 1 => return returned(value),
        2 => return answer(failure(), false),
        3 => return answer(failure(), true),
        4 => return answer(ReportedOutcome::NotMade, false),
        5 => Vec::new(),
        6 => vec![op(Opcode::RunComplete, StepId::parse("end"))],
        7 => vec![op(Opcode::SyncRunComplete, StepId::parse("end"))],
        8..=11 => vec![ran(step(dice))],
        12..=14 => call.target.clone().map(ran).into_iter().collect(),
        15 => vec![failed_op(Opcode::StepError, step(dice))],
        16 => vec![failed_op(Opcode::StepFailed, step(dice))],
        17 | 18 => vec![sleep_op(step(dice), dice.below(span_ms), dice.chance(30))],
        19 => {
            let ran = ran(step(dice));
            vec![ran, failed_op(Opcode::StepError, step(dice))]
        }
        20 => vec![op(Opcode::DiscoveryRequest, StepId::parse(""))],
        _ => plan(dice, span_ms),
    };
    let no_retry = dice.chance(20) && ops.iter().any(|op| op.op == Opcode::StepError);
    let mut answer = answer(ReportedOutcome::Ops(ops), no_retry);
    answer.request_version = Some(dice.pick(&[1, 2]));
    answer
}

/// An answer that gets the run on towards its end.
pub(super) fn tell_the_truth(call: &Call, value: u64) -> Answer {
    let Some(target) = &call.target else {
        return returned(value);
    };
    let ran = ReportedOp {
        value: Some(text(format!("{{\"data\":{value}}}"))),
        ..op(Opcode::StepRun, target.clone())
    };
    answer(ReportedOutcome::Ops(vec![ran]), false)
}

/// Steps of a checkpoint, some of which do not belong into one.
pub(super) fn checkpoint(dice: &mut Dice, value: u64) -> Vec<ReportedOp> {
    let opcode = if dice.chance(90) {
        Opcode::StepRun
    } else {
        Opcode::Sleep
    };
    let step = StepId::parse(&format!("s{}", dice.below(STEPS)));
    vec![ReportedOp {
        value: Some(text(format!("{{\"data\":{value}}}"))),
        ..op(opcode, step)
    }]
}

fn plan(dice: &mut Dice, span_ms: u64) -> Vec<ReportedOp> {
    let race = dice.chance(30);
    let planned = (0..STEPS).filter(|_| dice.chance(45));
    let mut ops: Vec<ReportedOp> = planned
        .map(|number| ReportedOp {
            race,
            ..op(Opcode::StepPlanned, StepId::parse(&format!("s{number}")))
        })
        .collect();
    if dice.chance(30) {
        ops.push(sleep_op(StepId::parse("nap"), dice.below(span_ms), race));
    }
    ops
}

fn failure() -> ReportedOutcome {
    super::failure("a lie")
}
