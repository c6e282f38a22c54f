//! What a step that has executed reports.

use super::is_final;
use crate::Error;
use crate::error::serialized;
use crate::middleware::{RunInfo, StepInfo};
use std::time::Duration;
use stepwell_protocol::op::{Op, Opcode, Timing};
use stepwell_protocol::{SharedJson, limits};

/// What the one step that executed in this call reports.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) op: Op,
    /// The error, and whether no other attempt comes.
    pub(crate) failure: Option<(Error, bool)>,
}

pub(crate) fn executed(mut op: Op, result: Result<SharedJson, Error>, run: &RunInfo) -> Executed {
    match result {
        Ok(output) => {
            op.op = Opcode::StepRun;
            op.data = Some(output);
            Executed { op, failure: None }
        }
        Err(error) => {
            let is_final = is_final(&error, run);
            let wire = error.to_wire();
            op.op = Opcode::StepError;
            if is_final {
                op.op = Opcode::StepFailed;
                let bare = stepwell_protocol::UserError::new(&wire.name, &wire.message);
                let data = serialized(&stepwell_protocol::UserError {
                    data: wire.data.clone(),
                    ..bare
                });
                op.data = stepwell_protocol::shared_json(data.to_string()).ok();
            }
            op.error = Some(wire);
            Executed {
                op,
                failure: Some((error, is_final)),
            }
        }
    }
}

/// Nanoseconds since the Unix epoch, and a duration in nanoseconds.
pub(crate) fn timing(start_ms: i64, duration: Duration) -> Timing {
    Timing {
        a: start_ms as f64 * 1e6,
        b: duration.as_nanos() as f64,
    }
}

pub(super) fn check_size(info: &StepInfo, output: SharedJson) -> Result<SharedJson, Error> {
    let (size, max) = (output.get().len(), limits::STEP_OUTPUT_BYTES_MAX);
    if size <= max {
        return Ok(output);
    }
    let message = format!(
        "step \"{}\" returned {size} bytes; at most {max} are recorded: store the data elsewhere and return a reference",
        info.id
    );
    Err(Error::new("StepOutputTooLarge", message).non_retriable())
}
