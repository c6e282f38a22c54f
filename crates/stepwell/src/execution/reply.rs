//! What a call is answered with.

use super::Ended;
use crate::Error;
use crate::error::{Retry, serialized};
use crate::middleware::RunInfo;
use serde_json::json;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::reply::{RawReply, ReplyHeaders};
use stepwell_protocol::{SharedJson, StepId, limits};

/// The request version that this SDK speaks: one discovery after all parallel steps have ended.
pub(crate) const REQUEST_VERSION: i32 = 2;

/// The answer to a call, for any transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallReply {
    pub(crate) status: u16,
    pub(crate) no_retry: Option<bool>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Whether no other attempt comes after this error.
pub(crate) fn is_final(error: &Error, run: &RunInfo) -> bool {
    run.is_last_attempt() || matches!(error.retry(), Retry::Never | Retry::StepFailed)
}

fn retry_after(error: &Error) -> Option<String> {
    match error.retry() {
        Retry::After(time) => Some(time.header()),
        Retry::Default | Retry::Never | Retry::StepFailed => None,
    }
}

impl CallReply {
    pub(crate) fn plain(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            no_retry: None,
            retry_after: None,
            body,
        }
    }

    pub(crate) fn returned(output: &SharedJson) -> Self {
        Self::plain(200, output.get().as_bytes().to_vec())
    }

    pub(crate) fn failed(error: &Error, is_final: bool) -> Self {
        let body = serialized(&error.to_wire()).to_string().into_bytes();
        Self::plain(if is_final { 400 } else { 500 }, body).retried(error, is_final)
    }

    /// `riders` go along with whatever is answered; steps among them have run and could not be reported before.
    pub(crate) fn of(
        ended: &Ended,
        riders: Vec<Op>,
        target: Option<&StepId>,
        run: &RunInfo,
    ) -> Self {
        // Steps among the riders ran before what is reported.
        let with = |ops: &[Op]| {
            let (ran, others): (Vec<Op>, Vec<Op>) =
                (riders.iter().cloned()).partition(|op| op.op == Opcode::StepRun);
            render(&[&ran, ops, &others].concat())
        };
        match ended {
            Ended::Returned(output) if riders.is_empty() => Self::returned(output),
            Ended::Returned(output) => {
                let mut op = Op::new(Opcode::RunComplete, end_id(), "");
                op.data = Some(SharedJson::clone(output));
                riders_first(riders, op)
            }
            Ended::Failed(error) if riders.is_empty() => Self::failed(error, is_final(error, run)),
            Ended::Failed(error) => {
                let is_final = is_final(error, run);
                let opcode = match is_final {
                    true => Opcode::StepFailed,
                    false => Opcode::StepError,
                };
                let mut op = Op::new(opcode, end_id(), "");
                op.error = Some(error.to_wire());
                riders_first(riders, op).retried(error, is_final)
            }
            Ended::Asked(ops) => Self::plain(206, with(ops)),
            Ended::Executed(executed) => {
                let reply = Self::plain(206, with(std::slice::from_ref(&executed.op)));
                match &executed.failure {
                    Some((error, is_final)) => reply.retried(error, *is_final),
                    None => reply,
                }
            }
            Ended::TargetMissing(found) => Self::target_missing(target, found),
        }
    }

    /// The same, with what the error says about another attempt.
    fn retried(self, error: &Error, is_final: bool) -> Self {
        Self {
            no_retry: Some(is_final),
            retry_after: if is_final { None } else { retry_after(error) },
            ..self
        }
    }

    fn target_missing(target: Option<&StepId>, found: &[Op]) -> Self {
        /// More are counted, not listed.
        const LISTED_MAX: usize = 25;
        let target = target.map(ToString::to_string).unwrap_or_default();
        let listed = &found[..found.len().min(LISTED_MAX)];
        let texts: Vec<String> = listed
            .iter()
            .map(|op| format!("{} ({})", op.title(), op.id))
            .collect();
        let found_text = match texts.is_empty() {
            true => "Found no new steps".to_owned(),
            false => format!("Found new steps: \n{}", texts.join("\n")),
        };
        let steps: Vec<_> = listed
            .iter()
            .map(|op| json!({"id": op.id, "name": op.name, "displayName": op.display_name}))
            .collect();
        let body = json!({
            "error": format!("Could not find step \"{target}\" to run; timed out. {found_text}."),
            "requestedStep": target,
            "foundSteps": steps,
            "totalFoundSteps": found.len(),
        });
        Self {
            status: 500,
            no_retry: Some(false),
            retry_after: None,
            body: body.to_string().into_bytes(),
        }
    }

    /// An answer that passed through middleware; its other headers are the SDK's.
    pub(crate) fn from_raw(raw: RawReply) -> Self {
        Self {
            status: raw.status,
            no_retry: raw.headers.no_retry,
            retry_after: raw.headers.retry_after,
            body: raw.body,
        }
    }

    pub(crate) fn into_raw(self) -> RawReply {
        RawReply {
            status: self.status,
            headers: ReplyHeaders {
                sdk: Some(crate::SDK.to_owned()),
                no_retry: self.no_retry,
                retry_after: self.retry_after,
                request_version: Some(REQUEST_VERSION),
            },
            body: self.body,
        }
    }
}

/// The id of the op that says that the function has returned or failed.
pub(crate) fn end_id() -> StepId {
    StepId::of("complete", 0)
}

fn riders_first(mut riders: Vec<Op>, end: Op) -> CallReply {
    riders.push(end);
    CallReply::plain(206, render(&riders))
}

pub(crate) fn render(ops: &[Op]) -> Vec<u8> {
    serde_json::to_vec(ops).expect("ops have only string keys and finite numbers")
}

/// Refuses what a function returned when no server would take it.
pub(crate) fn check_output(output: SharedJson) -> Result<SharedJson, Error> {
    let (size, max) = (output.get().len(), limits::REPLY_BYTES_MAX);
    if size <= max {
        return Ok(output);
    }
    let message = format!(
        "the function returned {size} bytes; at most {max} are taken: store the data elsewhere and return a reference"
    );
    Err(Error::new("OutputTooLarge", message).non_retriable())
}
