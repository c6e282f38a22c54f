//! Events on their way out.

use super::{Event, ValidationIssue, list};
use crate::moment::Moment;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepwell_protocol::event::{Event as WireEvent, RESERVED_PREFIX};
use stepwell_protocol::limits;

/// An event to send: a value of an event type, or a name with any data; optionally with an id and a time.
///
/// ```
/// use stepwell::OutgoingEvent;
/// let event = OutgoingEvent::untyped("shop/order.placed", serde_json::json!({"orderId": "o-1"})).id("o-1");
/// ```
#[derive(Debug, Clone)]
pub struct OutgoingEvent {
    wire: WireEvent,
    problem: Option<EventError>,
}

/// Why an event cannot be sent. Nothing was sent then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Values are not allowed; see [`Event::validate`].
    #[error("event '{name}' is not valid: {}", list(issues))]
    Invalid {
        /// The event's name.
        name: String,
        /// All that is wrong.
        issues: Vec<ValidationIssue>,
    },
    /// The value does not serialise to JSON.
    #[error("event '{name}' cannot be written as JSON: {reason}")]
    Serialize {
        /// The event's name.
        name: String,
        /// What serde says.
        reason: String,
    },
    /// `data` is not a JSON object.
    #[error("event '{name}': data must be a JSON object")]
    NotAnObject {
        /// The event's name.
        name: String,
    },
    /// The name is empty, too long, or the server's own.
    #[error("event name '{name}' {reason}")]
    Name {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The event is larger than a server takes.
    #[error("event '{name}' has {size} bytes; at most {max} are taken: store the data elsewhere and send a reference", max = limits::EVENT_BYTES_MAX)]
    TooLarge {
        /// The event's name.
        name: String,
        /// Its size as JSON, in bytes.
        size: usize,
    },
}

impl OutgoingEvent {
    /// An event of a type; the same as `.into()`.
    #[must_use]
    pub fn new<E: Event>(event: &E) -> Self {
        let name = E::NAME.to_owned();
        let (data, problem) = match serde_json::to_value(event) {
            Ok(data) => (data, None),
            Err(error) => {
                let reason = error.to_string();
                let problem = EventError::Serialize {
                    name: name.clone(),
                    reason,
                };
                (Value::Null, Some(problem))
            }
        };
        let problem = problem.or_else(|| {
            let issues = event.validate().err()?;
            Some(EventError::Invalid {
                name: name.clone(),
                issues,
            })
        });
        Self {
            wire: WireEvent {
                name,
                data,
                v: E::VERSION.map(str::to_owned),
                ..WireEvent::default()
            },
            problem,
        }
    }

    /// An event of any name and data, a JSON object. Nothing but the limits of the protocol is checked.
    #[must_use]
    pub fn untyped(name: impl Into<String>, data: Value) -> Self {
        Self {
            wire: WireEvent {
                name: name.into(),
                data,
                ..WireEvent::default()
            },
            problem: None,
        }
    }

    /// The idempotency key: a function runs once for it within 24 hours.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.wire.id = Some(id.into());
        self
    }

    /// When it happened. One in the future delays the runs that it starts.
    #[must_use]
    pub fn at(mut self, moment: impl Into<Moment>) -> Self {
        self.wire.ts = Some(moment.into().unix_ms());
        self
    }

    /// The version of the data's shape.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.wire.v = Some(version.into());
        self
    }

    /// Ties the event, and the runs that it starts, to a session: other events and runs of the same key and id. An
    /// event has up to five; a server refuses more.
    ///
    /// An event that a step sends belongs to its run's sessions besides, unless it says otherwise for a key.
    #[must_use]
    pub fn session(mut self, key: impl Into<String>, id: impl Into<String>) -> Self {
        let sessions = &mut self.meta()["sessions"];
        if !sessions.is_object() {
            *sessions = json!({});
        }
        sessions[key.into()] = Value::from(id.into());
        self
    }

    /// Keeps the event out of the sessions of the run that sends it.
    #[must_use]
    pub fn without_sessions(mut self) -> Self {
        self.meta()["sessions"] = Value::Null;
        self
    }

    /// Ties the event to the sessions of its run, unless it says already what it inherits.
    pub(crate) fn inherit(&mut self, sessions: &BTreeMap<String, String>) {
        let inherited = &mut self.meta()["propagated_sessions"];
        if inherited.is_null() {
            *inherited = json!(sessions);
        }
    }

    fn meta(&mut self) -> &mut Value {
        let meta = self.wire.meta.get_or_insert_with(|| json!({}));
        if !meta.is_object() {
            *meta = json!({});
        }
        meta
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.wire.name
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.wire.data
    }

    /// Its data, to change.
    pub fn data_mut(&mut self) -> &mut Value {
        &mut self.wire.data
    }

    /// With the keys of all objects in order: a `HashMap` is walked in another one in each process.
    pub(crate) fn sorted(mut self) -> Self {
        let WireEvent {
            data, user, meta, ..
        } = &mut self.wire;
        for value in [Some(data), user.as_mut(), meta.as_mut()] {
            value.into_iter().for_each(Value::sort_all_objects);
        }
        self
    }

    /// Fills the time in, checks all and writes the JSON that goes out.
    pub(crate) fn render(mut self, now: Moment) -> Result<String, EventError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let name = self.wire.name.clone();
        check_name(&name)?;
        if self.wire.data.is_null() {
            self.wire.data = Value::Object(serde_json::Map::new());
        }
        if !self.wire.data.is_object() {
            return Err(EventError::NotAnObject { name });
        }
        self.wire.ts.get_or_insert(now.unix_ms());
        let text = serde_json::to_string(&self.wire).expect("an event of JSON values serialises");
        if text.len() > limits::EVENT_BYTES_MAX {
            let size = text.len();
            return Err(EventError::TooLarge { name, size });
        }
        Ok(text)
    }
}

fn check_name(name: &str) -> Result<(), EventError> {
    let reserved = name
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX));
    let reason = if name.is_empty() {
        "is empty: give the event a name".to_owned()
    } else if reserved {
        format!("starts with {RESERVED_PREFIX}, which belongs to the server")
    } else if name.len() > limits::EVENT_NAME_BYTES_MAX {
        let max = limits::EVENT_NAME_BYTES_MAX;
        format!("has {} bytes; at most {max} are taken", name.len())
    } else {
        return Ok(());
    };
    Err(EventError::Name {
        name: name.chars().take(64).collect(),
        reason,
    })
}

impl<E: Event> From<E> for OutgoingEvent {
    fn from(event: E) -> Self {
        Self::new(&event)
    }
}
