//! The failure of a handler itself, reported as that of a step.
//!
//! The TypeScript SDK reports it so whenever it has something else to report with it: the steps of an endpoint, deferred runs.

use crate::ReportedOp;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{StepId, UserError};

/// The user id of the step that stands for the handler.
pub(crate) const HANDLER: &str = "complete";

/// A handler's failure.
pub(crate) struct HandlerFailure {
    pub(crate) failure: Failure,
    /// Whether it is to be final.
    pub(crate) no_retry: bool,
}

/// Takes the handler's failure out of the ops of a report, if it is there.
pub(crate) fn take(ops: &mut Vec<ReportedOp>) -> Option<HandlerFailure> {
    let op = ops.remove(ops.iter().position(is_of_the_handler)?);
    let mut error = op.error.unwrap_or_default();
    if error.name.is_empty() && error.message.is_empty() {
        // What JavaScript makes of an error's JSON.
        error = UserError::new("Error", "the function failed without saying why");
    }
    Some(HandlerFailure {
        failure: Failure::of(error),
        no_retry: op.op == Opcode::StepFailed,
    })
}

/// A step of the user's has a name.
fn is_of_the_handler(op: &ReportedOp) -> bool {
    matches!(op.op, Opcode::StepError | Opcode::StepFailed)
        && op.title.is_empty()
        && op.step == StepId::of(HANDLER, 0)
}
