//! Priority: which of a function's runs go first.

use super::event_bindings;
use crate::Timestamp;
use serde_json::Value;
use stepwell_expr::Expr;

/// The largest head start or handicap, in seconds: 12 hours.
const SECONDS_MAX: i64 = 12 * 60 * 60;

/// The seconds by which a run of this event goes before others of its time; negative ones let it wait. Anything but an
/// integer counts as 0.
pub(crate) fn head_start_s(priority: &Expr, event: &Value, now: Timestamp) -> i64 {
    let (bindings, now_ms) = event_bindings(event, now);
    let seconds = priority.eval_int(&bindings, now_ms).ok().flatten();
    seconds.unwrap_or(0).clamp(-SECONDS_MAX, SECONDS_MAX)
}
