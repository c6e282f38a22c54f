//! Event sessions: up to five `key: id` pairs that tie events and runs together.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Pairs per event.
pub const ENTRIES_MAX: usize = 5;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 128;
/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 512;

/// Sessions that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// More than [`ENTRIES_MAX`] were given by hand.
    #[error("event sessions can include at most {ENTRIES_MAX} entries")]
    TooMany,
    /// A key is empty or too long.
    #[error("event session keys must have 1 to {KEY_BYTES_MAX} bytes")]
    Key,
    /// An id is not a string or number, or too long.
    #[error("event session '{0}' must be a string or a number of at most {ID_BYTES_MAX} bytes")]
    Id(String),
    /// `sessions` or `propagated_sessions` is not an object.
    #[error("event {0} must be an object")]
    Shape(&'static str),
}

/// Resolves an event's `meta` into the sessions to store.
///
/// `sessions` wins over `propagated_sessions`; what room is left up to [`ENTRIES_MAX`] is filled with propagated
/// ones in the order of their keys. `sessions: null` drops all inherited ones, a `null` id drops that key.
///
/// # Errors
/// [`SessionError`] when the pairs given by hand break a limit; propagated ones that do are left out.
pub fn resolve(meta: &Map<String, Value>) -> Result<BTreeMap<String, String>, SessionError> {
    let mut resolved = BTreeMap::new();
    let mut removed = Vec::new();
    match meta.get("sessions") {
        None => {}
        Some(Value::Null) => return Ok(resolved),
        Some(Value::Object(manual)) => {
            for (key, id) in manual {
                if key.is_empty() || key.len() > KEY_BYTES_MAX {
                    return Err(SessionError::Key);
                }
                if id.is_null() {
                    removed.push(key.clone());
                    continue;
                }
                let id = id_text(id).ok_or_else(|| SessionError::Id(key.clone()))?;
                resolved.insert(key.clone(), id);
            }
        }
        Some(_) => return Err(SessionError::Shape("sessions")),
    }
    if resolved.len() > ENTRIES_MAX {
        return Err(SessionError::TooMany);
    }
    match meta.get("propagated_sessions") {
        None | Some(Value::Null) => {}
        Some(Value::Object(propagated)) => {
            let sorted: BTreeMap<_, _> = propagated.iter().collect();
            for (key, id) in sorted {
                let usable = !key.is_empty() && key.len() <= KEY_BYTES_MAX;
                if resolved.len() < ENTRIES_MAX
                    && usable
                    && !removed.contains(key)
                    && !resolved.contains_key(key)
                    && let Some(id) = id_text(id)
                {
                    resolved.insert(key.clone(), id);
                }
            }
        }
        Some(_) => return Err(SessionError::Shape("propagated_sessions")),
    }
    Ok(resolved)
}

fn id_text(id: &Value) -> Option<String> {
    let text = match id {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (text.len() <= ID_BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(meta: Value, expected: Result<&[(&str, &str)], SessionError>) {
        let resolved = resolve(meta.as_object().unwrap());
        let expected = expected.map(|pairs| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        });
        assert_eq!(resolved, expected, "{meta}");
    }

    #[test]
    fn manual_sessions_win_and_propagated_ones_fill_up() {
        check(json!({}), Ok(&[]));
        check(
            json!({"sessions": {"a": 1}, "propagated_sessions": {"a": "x", "b": "y"}}),
            Ok(&[("a", "1"), ("b", "y")]),
        );
        check(
            json!({"sessions": null, "propagated_sessions": {"b": "y"}}),
            Ok(&[]),
        );
        check(
            json!({"sessions": {"b": null}, "propagated_sessions": {"b": "y", "c": "z"}}),
            Ok(&[("c", "z")]),
        );
        check(
            json!({"sessions": {"z": "0"}, "propagated_sessions": {"a":"1","b":"2","c":"3","d":"4","e":"5"}}),
            Ok(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("z", "0")]),
        );
        check(
            json!({"sessions": {"a": true}}),
            Err(SessionError::Id("a".into())),
        );
        check(
            json!({"sessions": {"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}}),
            Err(SessionError::TooMany),
        );
        check(
            json!({"sessions": []}),
            Err(SessionError::Shape("sessions")),
        );
    }
}
