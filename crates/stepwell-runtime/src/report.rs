//! From the protocol's terms to the engine's: the one place where wire shapes become inputs.

use crate::invoke::CallError;
use serde_json::Value;
use stepwell_engine::{ReportedOp, ReportedOutcome, ReportedReply, Timestamp};
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::reply::{self, Outcome, RawReply};
use stepwell_protocol::{SharedJson, UserError, shared_json};

/// What came back from a call, in the engine's terms.
pub(crate) fn report_reply(answer: Result<RawReply, CallError>) -> ReportedReply {
    let outcome = match answer {
        Ok(raw) => {
            let reply = reply::interpret(raw);
            return ReportedReply {
                request_version: reply.request_version,
                retry_after: reply.retry_after,
                no_retry: reply.no_retry,
                outcome: match reply.outcome {
                    Outcome::Ops(ops) => ReportedOutcome::Ops(
                        ops.into_iter()
                            .map(|op| report_op(op, reply.no_retry))
                            .collect(),
                    ),
                    Outcome::Returned(output) => ReportedOutcome::Returned(output),
                    Outcome::Failed(failure) => ReportedOutcome::Failed(failure),
                },
            };
        }
        Err(CallError::NotMade) => ReportedOutcome::NotMade,
        Err(CallError::TooLarge) => ReportedOutcome::Failed(reply::output_too_large()),
        Err(CallError::Unreachable(reason)) => ReportedOutcome::Failed(reply::unreachable(&reason)),
    };
    ReportedReply {
        request_version: None,
        retry_after: None,
        no_retry: false,
        outcome,
    }
}

/// One op in the engine's terms; `no_retry` is what the answer's header said, which errors carry on.
#[must_use]
pub fn report_op(op: Op, no_retry: bool) -> ReportedOp {
    let title = op.title().to_owned();
    let sleep = match op.op {
        Opcode::Sleep => op
            .option("duration")
            .filter(|text| !text.is_empty())
            .unwrap_or(&op.name)
            .to_owned(),
        _ => String::new(),
    };
    let race = op
        .option("parallelMode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("race"));
    let value = match op.op {
        Opcode::StepRun => Some(wrap(op.data.as_ref())),
        _ => op.data,
    };
    let error = match op.op {
        Opcode::StepError | Opcode::StepFailed => {
            let mut error = op
                .error
                .unwrap_or_else(|| UserError::new("Error", "the step failed without saying why"));
            error.no_retry = Some(no_retry || op.op == Opcode::StepFailed);
            // What the user's own code made of the failure travels beside the error.
            if error.data.is_none() {
                error.data = value
                    .as_ref()
                    .and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
            }
            Some(error)
        }
        _ => None,
    };
    let started_at = op
        .timing
        .filter(|timing| timing.a > 0.0)
        .map(|timing| Timestamp::from_ms((timing.a / 1e6) as u64));
    ReportedOp {
        op: op.op,
        step: op.id,
        title,
        value,
        error,
        sleep,
        race,
        started_at,
    }
}

fn wrap(data: Option<&SharedJson>) -> SharedJson {
    let text = format!("{{\"data\":{}}}", data.map_or("null", |data| data.get()));
    shared_json(text).expect("JSON in an object is JSON")
}
