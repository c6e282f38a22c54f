//! From the protocol's terms to the engine's: the one place where wire shapes become inputs.

use crate::invoke::CallError;
use serde_json::Value;
use std::sync::Arc;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{
    Ask, Deferral, EventWait, Invocation, ReportedOp, ReportedOutcome, ReportedReply, SignalWait,
    Timestamp,
};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{Metadata, Op, Opcode};
use stepwell_protocol::reply::{self, Failure, Outcome, RawReply, Reply, RetryAfter};
use stepwell_protocol::{SharedJson, StepId, UserError, limits, metadata, shared_json, span};

/// How far a wait may look back, in milliseconds: a day. A wish for more counts as this.
const LOOK_BACK_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// What an op, or something that it notes, takes besides its payload.
const OP_BYTES: usize = 256;

/// What came back from a call, in the engine's terms; `event` is the run's own, whose values conditions take.
pub(crate) fn report_reply(
    answer: Result<RawReply, CallError>,
    event: Option<&SharedJson>,
) -> ReportedReply {
    report(answer, reply::interpret, |op, no_retry| {
        report_op(op, no_retry, event)
    })
}

/// The same for the answer of a durable endpoint.
pub(crate) fn report_endpoint_reply(
    answer: Result<RawReply, CallError>,
    event: Option<&SharedJson>,
) -> ReportedReply {
    report(answer, reply::interpret_endpoint, |op, no_retry| {
        report_endpoint_op(op, no_retry, event)
    })
}

fn report(
    answer: Result<RawReply, CallError>,
    interpret: fn(RawReply) -> Reply,
    report_op: impl Fn(Op, bool) -> ReportedOp,
) -> ReportedReply {
    let (mut no_retry, mut retry_after) = (false, None);
    let outcome = match answer {
        Ok(raw) => {
            let reply = interpret(raw);
            return ReportedReply {
                request_version: reply.request_version,
                retry_after: reply.retry_after,
                no_retry: reply.no_retry,
                outcome: match reply.outcome {
                    Outcome::Ops(ops) => {
                        let ops = ops.into_iter();
                        ReportedOutcome::Ops(noting_little(
                            ops.map(|op| report_op(op, reply.no_retry)),
                        ))
                    }
                    Outcome::Returned(output) => ReportedOutcome::Returned(output),
                    Outcome::Failed(failure) => ReportedOutcome::Failed(failure),
                },
            };
        }
        Err(CallError::NotMade) => ReportedOutcome::NotMade,
        Err(CallError::NotFor(wait)) => {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            retry_after = Some(RetryAfter::In(ms));
            ReportedOutcome::NotMade
        }
        Err(CallError::Carrier { name, message }) => {
            ReportedOutcome::Failed(Failure::of(UserError::new(name, message)))
        }
        Err(CallError::TooLarge) => ReportedOutcome::Failed(reply::output_too_large()),
        Err(CallError::Impossible(reason)) => {
            no_retry = true;
            ReportedOutcome::Failed(reply::unreachable(&reason))
        }
        Err(CallError::Unreachable(reason)) => ReportedOutcome::Failed(reply::unreachable(&reason)),
    };
    ReportedReply {
        request_version: None,
        retry_after,
        no_retry,
        outcome,
    }
}

/// Steps that a running function reports ahead of its answer, in the engine's terms.
#[must_use]
pub fn report_steps(ops: Vec<Op>) -> Vec<ReportedOp> {
    noting_little(ops.into_iter().map(|op| report_op(op, false, None)))
}

/// What a durable endpoint reports, in the engine's terms.
pub(crate) fn report_endpoint_steps(ops: Vec<Op>, event: Option<&SharedJson>) -> Vec<ReportedOp> {
    let ops = ops.into_iter();
    noting_little(ops.map(|op| report_endpoint_op(op, false, event)))
}

/// All ops of one report, which together note no more than may be noted at once.
fn noting_little(ops: impl Iterator<Item = ReportedOp>) -> Vec<ReportedOp> {
    let mut room = limits::METADATA_PER_REPORT_MAX;
    let mut dropped = 0;
    let ops = ops
        .map(|mut op| {
            dropped += op.metadata.len().saturating_sub(room);
            op.metadata.truncate(room);
            room -= op.metadata.len();
            op
        })
        .collect();
    if dropped > 0 {
        tracing::warn!(
            dropped,
            limit = limits::METADATA_PER_REPORT_MAX,
            "an app notes too much at once; what is beyond the limit is dropped"
        );
    }
    ops
}

/// What a report takes while it waits to be written, in bytes.
pub(crate) fn weight(ops: &[ReportedOp]) -> usize {
    let ops = ops.iter().map(|op| {
        let value = op.value.as_ref().map_or(0, |value| value.get().len());
        let noted = op.metadata.iter();
        let noted: usize = noted
            .map(|noted| metadata::bytes_of(&noted.values) + OP_BYTES)
            .sum();
        value + noted + OP_BYTES
    });
    ops.sum::<usize>() + OP_BYTES
}

/// One op of a durable endpoint in the engine's terms: the data of its end may be wrapped.
fn report_endpoint_op(op: Op, no_retry: bool, event: Option<&SharedJson>) -> ReportedOp {
    let mut reported = report_op(op, no_retry, event);
    if reported.op == Opcode::RunComplete {
        reported.op = Opcode::SyncRunComplete;
    }
    reported
}

/// One op in the engine's terms; `no_retry` is what the answer's header said, which errors carry on.
fn report_op(op: Op, no_retry: bool, event: Option<&SharedJson>) -> ReportedOp {
    let title = op.title().to_owned();
    let ask = ask_of(&op, event);
    let kind = op.option("type").map(str::to_owned);
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
    let metadata = kept(op.metadata);
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
        ask,
        race,
        kind,
        started_at,
        metadata,
    }
}

/// What may be noted of what an op brings along.
fn kept(mut metadata: Vec<Metadata>) -> Vec<Metadata> {
    metadata.truncate(limits::METADATA_PER_OP_MAX);
    metadata.retain(|noted| {
        let update = metadata::Update {
            kind: noted.kind.clone(),
            op: noted.op,
            values: noted.values.clone(),
        };
        let checked = update.check();
        if let Err(error) = &checked {
            tracing::warn!(kind = noted.kind, %error, "what a step notes is dropped");
        }
        checked.is_ok()
    });
    metadata
}

/// What an op asks for besides what all ops carry.
fn ask_of(op: &Op, event: Option<&SharedJson>) -> Ask {
    let text = |key: &str| op.option(key).unwrap_or("").to_owned();
    let json = |key: &str| {
        let value = op
            .opts
            .as_ref()?
            .get(key)
            .filter(|value| !value.is_null())?;
        shared_json(value.to_string()).ok()
    };
    match op.op {
        Opcode::Sleep => {
            let duration = op.option("duration").filter(|text| !text.is_empty());
            Ask::Sleep(duration.unwrap_or(&op.name).to_owned())
        }
        Opcode::WaitForEvent => {
            let condition = text("if");
            let condition = match condition.trim() {
                "" => Ok(None),
                condition => {
                    let event = event.and_then(|event| serde_json::from_str(event.get()).ok());
                    condition_for(condition, &event.unwrap_or(Value::Null))
                }
            };
            let look_back = op.option("lookback").filter(|text| !text.is_empty());
            let name = op.option("event").filter(|name| !name.is_empty());
            Ask::Event(Box::new(EventWait {
                event: name.unwrap_or(&op.name).to_owned(),
                condition,
                timeout: text("timeout"),
                look_back_ms: look_back
                    .and_then(|text| span::parse_ms(text).ok())
                    .map(|ms| ms.min(LOOK_BACK_MS_MAX)),
            }))
        }
        Opcode::WaitForSignal => Ask::Signal(Box::new(SignalWait {
            signal: op.option("signal").unwrap_or(&op.name).to_owned(),
            timeout: text("timeout"),
            replaces: op
                .option("conflict")
                .is_some_and(|conflict| conflict.eq_ignore_ascii_case("replace")),
        })),
        Opcode::InvokeFunction => Ask::Invoke(Box::new(Invocation {
            function: text("function_id"),
            payload: op
                .opts
                .as_ref()
                .and_then(|opts| opts.get("payload"))
                .cloned()
                .unwrap_or(Value::Null),
            timeout: text("timeout"),
        })),
        Opcode::Gateway | Opcode::AiGateway => Ask::Request(Request::from_op(op).map(Arc::new)),
        Opcode::DeferAdd => Ask::Defer(Box::new(Deferral {
            slug: text("fn_slug"),
            input: json("input"),
            meta: json("meta"),
        })),
        Opcode::DeferAbort => Ask::AbortDefer(StepId::parse(&text("target_hashed_id"))),
        _ => Ask::Nothing,
    }
}

fn wrap(data: Option<&SharedJson>) -> SharedJson {
    let text = format!("{{\"data\":{}}}", data.map_or("null", |data| data.get()));
    shared_json(text).expect("JSON in an object is JSON")
}

#[cfg(test)]
mod tests;
