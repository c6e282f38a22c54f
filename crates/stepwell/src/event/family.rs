//! Families: events that a function takes together.

use super::{Event, Payload, ValidationIssue};
use schemars::Schema;
use serde_json::Value;
use stepwell_protocol::event::FUNCTION_INVOKED;

/// One event, or several that go together: what a function subscribes to with
/// [`on`](crate::FunctionBuilder::on).
///
/// Every [`Event`] is a family of its own. Derive `Event` on an enum to make one of several; each variant holds one
/// event, and one of them may hold whatever else matches a pattern:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stepwell::{Context, Error, Event, Function, schemars::JsonSchema};
///
/// #[derive(Serialize, Deserialize, JsonSchema, Event)]
/// #[event(name = "shop/order.placed")]
/// struct OrderPlaced { order_id: String }
///
/// #[derive(Serialize, Deserialize, JsonSchema, Event)]
/// #[event(name = "shop/order.paid")]
/// struct OrderPaid { order_id: String, cents: u64 }
///
/// #[derive(Event)]
/// enum OrderEvent {
///     Placed(OrderPlaced),
///     Paid(OrderPaid),
///     #[event(pattern = "shop/order.*")]
///     Other(serde_json::Value),
/// }
///
/// async fn log(ctx: Context<OrderEvent>) -> Result<String, Error> {
///     Ok(match ctx.data() {
///         OrderEvent::Placed(order) => format!("{} was placed", order.order_id),
///         OrderEvent::Paid(order) => format!("{} was paid: {} cents", order.order_id, order.cents),
///         OrderEvent::Other(_) => format!("{} happened", ctx.event().name),
///     })
/// }
///
/// let function = Function::new("log").on::<OrderEvent>().handler(log);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event, nor a family of events",
    label = "derive `stepwell::Event` for it",
    note = "write `#[derive(Serialize, Deserialize, JsonSchema, Event)]` and `#[event(name = \"...\")]` above a struct, or `#[derive(Event)]` above an enum whose variants hold events"
)]
pub trait EventFamily: Payload {
    /// Its events.
    fn members() -> Vec<Member>;
}

/// An event of a family, or a pattern.
#[derive(Debug, Clone)]
pub struct Member {
    /// The event's name; a pattern ends in `/*` or `.*`.
    pub name: &'static str,
    /// The version of its data's shape.
    pub version: Option<&'static str>,
    /// The JSON Schema of its data; none of a pattern.
    pub schema: Option<Schema>,
}

impl Member {
    /// The member that an event is.
    #[must_use]
    pub fn of<E: Event>() -> Self {
        Self {
            name: E::NAME,
            version: E::VERSION,
            schema: Some(E::schema()),
        }
    }

    /// A pattern.
    #[must_use]
    pub fn pattern(pattern: &'static str) -> Self {
        Self {
            name: pattern,
            version: None,
            schema: None,
        }
    }
}

impl<E: Event> EventFamily for E {
    fn members() -> Vec<Member> {
        vec![Member::of::<E>()]
    }
}

/// How one variant of a family is made: its event's name or pattern, and how its data is read.
#[doc(hidden)]
pub type Variant<F> = (
    &'static str,
    fn(&str, Value) -> Result<F, Vec<ValidationIssue>>,
);

/// Reads an event as the first variant of a family that takes it. An invocation has no name of its own: it is the first
/// variant that its data fits.
///
/// # Errors
/// What is wrong with the data; of an invocation, for the last variant.
#[doc(hidden)]
pub fn read_family<F>(
    family: &str,
    variants: &[Variant<F>],
    name: &str,
    data: Value,
) -> Result<F, Vec<ValidationIssue>> {
    let named = variants.iter().find(|(known, _)| *known == name);
    let named = named.or_else(|| variants.iter().find(|(known, _)| matches(known, name)));
    if let Some((_, read)) = named {
        return read(name, data);
    }
    let mut issues = vec![ValidationIssue {
        path: String::new(),
        message: format!("event '{name}' is none of {family}"),
    }];
    if name == FUNCTION_INVOKED {
        for (_, read) in variants {
            match read(name, data.clone()) {
                Ok(event) => return Ok(event),
                Err(found) => issues = found,
            }
        }
    }
    Err(issues)
}

/// Whether a pattern takes a name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some(prefix) = pattern.strip_suffix('*') else {
        return false;
    };
    prefix.ends_with(['/', '.']) && name.len() > prefix.len() && name.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_read_as_the_variant_of_its_name_or_pattern() {
        let take: fn(&str, Value) -> Result<String, Vec<ValidationIssue>> =
            |name, data| Ok(format!("{name} {data}"));
        let refuse: fn(&str, Value) -> Result<String, Vec<ValidationIssue>> = |_, _| {
            Err(vec![ValidationIssue {
                path: "a".to_owned(),
                message: "no".to_owned(),
            }])
        };
        let read = |name: &str| {
            let variants: [Variant<String>; 3] = [("a/*", take), ("a/b", refuse), ("c.*", take)];
            read_family("Family", &variants, name, json!(1)).map_err(|issues| issues[0].to_string())
        };
        assert_eq!(read("a/c.d"), Ok("a/c.d 1".to_owned()));
        // The exact name counts, though a pattern comes first.
        assert_eq!(read("a/b"), Err("data.a: no".to_owned()));
        assert_eq!(read("c.x"), Ok("c.x 1".to_owned()));
        for stranger in ["c", "c.", "cx", "b/c"] {
            let problem = format!("data: event '{stranger}' is none of Family");
            assert_eq!(read(stranger), Err(problem));
        }
        assert_eq!(read(FUNCTION_INVOKED), Ok(format!("{FUNCTION_INVOKED} 1")));
    }
}
