//! Errors of user code as they travel.

use crate::decode::null_as_default;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How deep causes nest on the wire; deeper ones are cut off.
pub const CAUSE_DEPTH_MAX: usize = 5;
/// A JSON text in an `error` or `body` field longer than this is not looked into.
const INNER_TEXT_BYTES_MAX: usize = 32 * 1024;

/// An error that user code raised, as SDKs serialise it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UserError {
    /// The error's class, e.g. `TypeError`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// What went wrong, for people.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
    /// Where, as the language prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What led to it: another error or any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Value>,
    /// What the user attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Whether the SDK asked not to retry.
    #[serde(default, rename = "noRetry", skip_serializing_if = "Option::is_none")]
    pub no_retry: Option<bool>,
    /// What else the SDK said, e.g. a `code`; it goes back to the function as it came.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl UserError {
    /// An error of this name and message.
    #[must_use]
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// Reads an error out of whatever a failed call answered: an error object, one in an `error` or `body`
    /// field (as an object or as JSON text), or, failing that, the text itself as the message.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value).unwrap_or_else(|| Self::from_text(&text)),
            Err(_) => Self::from_text(&text),
        }
    }

    /// Reads an error out of a JSON value; `None` when it holds none.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        if fields.contains_key("message") || fields.contains_key("name") {
            return Some(Self {
                name: text("name")
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "Error".to_owned()),
                message: text("message")
                    .filter(|message| !message.is_empty())
                    .unwrap_or_else(|| "Function execution error".to_owned()),
                stack: text("stack"),
                cause: fields
                    .get("cause")
                    .filter(|cause| !cause.is_null())
                    .cloned(),
                data: fields.get("data").filter(|data| !data.is_null()).cloned(),
                no_retry: fields.get("noRetry").and_then(Value::as_bool),
                more: Map::new(),
            });
        }
        for key in ["error", "body"] {
            match fields.get(key) {
                Some(inner @ Value::Object(_)) => {
                    if let Some(found) = Self::from_value(inner) {
                        return Some(found);
                    }
                }
                Some(Value::String(inner)) => {
                    let parsed = (inner.len() <= INNER_TEXT_BYTES_MAX)
                        .then(|| serde_json::from_str::<Value>(inner).ok())
                        .flatten();
                    return Some(
                        parsed
                            .as_ref()
                            .and_then(Self::from_value)
                            .unwrap_or_else(|| Self::from_text(inner)),
                    );
                }
                _ => {}
            }
        }
        None
    }

    fn from_text(text: &str) -> Self {
        let text = text.trim();
        let message = if text.is_empty() {
            "Function execution error"
        } else {
            text
        };
        Self::new("Error", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_wherever_sdks_put_them() {
        let cases: [(&str, &str, &str); 8] = [
            (r#"{"name":"TypeError","message":"no"}"#, "TypeError", "no"),
            (r#"{"error":{"name":"E","message":"inner"}}"#, "E", "inner"),
            (
                r#"{"body":"{\"name\":\"E\",\"message\":\"text\"}"}"#,
                "E",
                "text",
            ),
            (r#"{"error":"plain words"}"#, "Error", "plain words"),
            (r#"{"message":""}"#, "Error", "Function execution error"),
            ("Bad gateway", "Error", "Bad gateway"),
            ("", "Error", "Function execution error"),
            ("[1]", "Error", "[1]"),
        ];
        for (body, name, message) in cases {
            let error = UserError::from_body(body.as_bytes());
            assert_eq!(
                (error.name.as_str(), error.message.as_str()),
                (name, message),
                "{body}"
            );
        }
    }
}
