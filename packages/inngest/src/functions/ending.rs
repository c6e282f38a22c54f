//! Runs that have ended without a word of their own: cancelled, or failed where no code of theirs executes any more.
//!
//! A payload that cannot be read, a limit of the server, an app that is gone for longer than a run is retried: the handler
//! that would mark what the run was for as failed is never called, or not to its end. The server tells of every end, with
//! `inngest/function.cancelled` and `inngest/function.failed`; functions made by [`function`] listen to both.

use crate::APP_ID;
use serde::Deserialize;
use serde_json::Value;
use stepwell::{Context, Function, FunctionBuilder};

const CANCELLED: &str = "inngest/function.cancelled";
const FAILED: &str = "inngest/function.failed";

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    Cancelled,
    /// With this message.
    Failed(String),
}

/// The end of a run.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// The id of its function in this app.
    pub(super) function_id: String,
    pub(super) run_id: String,
    pub(super) how: How,
    /// The data of the event that had started it. Nobody has checked it.
    pub(super) data: Value,
}

/// What servers tell of an end, as far as it is needed.
#[derive(Deserialize)]
struct Told {
    function_id: String,
    run_id: String,
    event: Started,
    #[serde(default)]
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

impl Ending {
    /// None of an event that tells of no end of ours.
    pub(super) fn of(ctx: &Context) -> Option<Self> {
        let told = Told::deserialize(ctx.data()).ok()?;
        let prefix = told.function_id.strip_prefix(APP_ID)?;
        let how = match &*ctx.event().name {
            CANCELLED => How::Cancelled,
            FAILED => How::Failed(told.error.map_or_else(
                || "the run failed, and nobody said why".to_owned(),
                |error| error.message,
            )),
            _ => return None,
        };
        Some(Self {
            function_id: prefix.strip_prefix('-')?.to_owned(),
            run_id: told.run_id,
            how,
            data: told.event.data,
        })
    }

    /// A text in the data of the event that had started the run, if there is one: the rest of it may be what nobody can
    /// read.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }
}

/// Attempts after the first: the most that servers make. An app that was gone for as long as its runs are retried is gone
/// for this function, too; it has to be there when the app comes back.
const RETRIES: u32 = 20;

/// A function that is told of the ends of these functions' runs.
pub(super) fn function(id: &str, ended: &[&str]) -> FunctionBuilder<Value, ()> {
    let is_ours = ended
        .iter()
        .map(|id| format!("event.data.function_id == \"{APP_ID}-{id}\""))
        .collect::<Vec<_>>()
        .join(" || ");
    Function::new(id)
        .on_event_if(CANCELLED, is_ours.clone())
        .or_on_event_if(FAILED, is_ours)
        .retries(RETRIES)
}
