//! Events as types: what a program sends, and what its functions get.

mod family;
mod outgoing;
mod received;
pub(crate) mod sessions;
mod shape;
#[cfg(feature = "validation")]
mod validate;

pub use family::{EventFamily, Member};
#[doc(hidden)]
pub use family::{Variant, read_family};
pub use outgoing::{EventError, OutgoingEvent};
pub use received::{CronTick, FunctionFailed, InvalidEvent, Json, Parent, Payload, Received};
#[cfg(feature = "validation")]
#[doc(hidden)]
pub use validate::validate_with_garde;

use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// An event's type: its name, and the shape of its data.
///
/// Derive it on a struct that is `Serialize`, `Deserialize` and `JsonSchema`:
///
/// ```
/// use stepwell::Event;
///
/// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, garde::Validate, Event)]
/// #[serde(rename_all = "camelCase")]
/// #[event(name = "shop/order.placed", version = "2026-01-01")]
/// struct OrderPlaced {
///     #[garde(length(min = 1))]
///     order_id: String,
///     #[garde(range(min = 1))]
///     total_cents: u64,
/// }
///
/// assert_eq!(OrderPlaced::NAME, "shop/order.placed");
/// let order = OrderPlaced { order_id: String::new(), total_cents: 100 };
/// let issues = order.validate().unwrap_err();
/// assert_eq!(issues[0].path, "orderId");
/// ```
///
/// Values are checked by [`garde`](https://docs.rs/garde) when the struct has `#[garde(...)]` attributes (or
/// `#[event(validate)]`): before the event is sent, and before a function gets it. Nested structs use
/// `#[garde(dive)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "derive `stepwell::Event` for it",
    note = "write `#[derive(Serialize, Deserialize, JsonSchema, Event)]` and `#[event(name = \"...\")]` above the struct"
)]
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name on the wire, e.g. `shop/order.placed`.
    const NAME: &'static str;
    /// The version of the data's shape.
    const VERSION: Option<&'static str>;

    /// Checks the values.
    ///
    /// # Errors
    /// Every value that is not allowed, with its place in the JSON.
    fn validate(&self) -> Result<(), Vec<ValidationIssue>>;

    /// The JSON Schema of the data.
    fn schema() -> Schema;
}

/// A value that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationIssue {
    /// Its place in the event's data, in the names of the JSON: `nodes[3].position.x`; empty for the data as a
    /// whole.
    pub path: String,
    /// What is wrong there: `expected a number`.
    pub message: String,
}

impl fmt::Display for ValidationIssue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.path.starts_with('[')) {
            ("", _) => write!(formatter, "data: {}", self.message),
            (path, true) => write!(formatter, "data{path}: {}", self.message),
            (path, false) => write!(formatter, "data.{path}: {}", self.message),
        }
    }
}

/// `data.a: …; data.b[2]: …`.
fn list(issues: &[ValidationIssue]) -> String {
    let texts: Vec<String> = issues.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[doc(hidden)]
#[must_use]
pub fn schema_of<T: schemars::JsonSchema>() -> Schema {
    schemars::schema_for!(T)
}

#[cfg(test)]
mod tests;
