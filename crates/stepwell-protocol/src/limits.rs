//! The protocol's size limits, in bytes unless the name says otherwise.

/// One event, as JSON text.
pub const EVENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Levels of arrays and objects in an event's data. Parsers stop at 128, and an event is wrapped a few levels deep when
/// a run's end is announced.
pub const EVENT_DEPTH_MAX: usize = 100;
/// Events in one request.
pub const EVENTS_PER_REQUEST_MAX: usize = 5_000;
/// An event's name.
pub const EVENT_NAME_BYTES_MAX: usize = 512;
/// An SDK's whole answer to a call.
pub const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A report of steps ahead of an answer: a full answer and its envelope.
pub const CHECKPOINT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// A call's body; a larger one is sent without events and steps (`use_api`).
pub const CALL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One step's output.
pub const STEP_OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// All step outputs of one run.
pub const RUN_STATE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Steps of one run.
pub const STEPS_PER_RUN_MAX: usize = 1_000;
/// Ops in one answer.
pub const OPS_PER_REPLY_MAX: usize = 1_000;
/// Retries a function may ask for; more is clamped.
pub const RETRIES_MAX: u32 = 20;
/// Retries when a function says nothing.
pub const RETRIES_DEFAULT: u32 = 4;
/// Longest sleep or wait, in milliseconds: 366 days.
pub const SLEEP_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// Triggers of one function.
pub const TRIGGERS_MAX: usize = 10;
/// A trigger's event name or cron expression.
pub const TRIGGER_BYTES_MAX: usize = 255;
/// How long an event id keeps a function from running again, in milliseconds: 24 hours.
pub const IDEMPOTENCY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Deferred runs of one run.
pub const DEFERS_PER_RUN_MAX: usize = 20;
/// The inputs of a run's deferred runs, together.
pub const DEFER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What the sender of a deferred run notes.
pub const DEFER_META_BYTES_MAX: usize = 32 * 1024;
/// What is noted at once of a run, a step or an attempt.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// All that is noted of one run.
pub const METADATA_PER_RUN_BYTES_MAX: usize = 1024 * 1024;
/// How many things are noted of one run: kinds times what they are of.
pub const METADATA_PER_RUN_MAX: usize = 1_000;
/// Things noted at once by one answer or report, by all of its ops.
pub const METADATA_PER_REPORT_MAX: usize = 1_000;
/// Things noted by one op.
pub const METADATA_PER_OP_MAX: usize = 50;
/// Spans that an app makes of its own within one run.
pub const USER_SPANS_PER_RUN_MAX: usize = 1_000;
/// All of those spans.
pub const USER_SPANS_PER_RUN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One of those spans; its attributes go when they are larger.
pub const USER_SPAN_BYTES_MAX: usize = 64 * 1024;
