//! What is recorded of a step.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use stepwell_protocol::{SharedJson, UserError};

/// What is recorded of a step.
#[derive(Debug, Clone)]
pub(crate) enum Memo {
    /// Its result.
    Data(SharedJson),
    /// Its error.
    Failed(Box<UserError>),
}

impl Memo {
    pub(crate) fn into_result(self) -> Result<SharedJson, Box<UserError>> {
        match self {
            Self::Data(data) => Ok(data),
            Self::Failed(error) => Err(error),
        }
    }
}

/// Reads a recorded value; `None` when it only carries inputs, so that the step is still to run.
pub(crate) fn read(value: &SharedJson) -> Option<Memo> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapper<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        error: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        input: Option<&'a RawValue>,
        #[serde(default, rename = "type")]
        _type: Option<Value>,
    }
    let bare = || Some(Memo::Data(SharedJson::clone(value)));
    if !value.get().trim_start().starts_with('{') {
        return bare();
    }
    let Ok(wrapper) = serde_json::from_str::<Wrapper<'_>>(value.get()) else {
        return bare();
    };
    match (wrapper.error, wrapper.data, wrapper.input) {
        (Some(error), ..) if error.get() != "null" => Some(Memo::Failed(Box::new(
            UserError::from_body(error.get().as_bytes()),
        ))),
        (_, Some(data), _) => Some(Memo::Data(SharedJson::from(data.to_owned()))),
        (_, None, Some(_)) => None,
        _ => bare(),
    }
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_values_come_wrapped_or_bare() {
        for (text, expected) in [
            (r#"{"data":{"a":1}}"#, Some(r#"{"a":1}"#)),
            (r#"{"data":null}"#, Some("null")),
            (r#"{"type":"data","data":3}"#, Some("3")),
            ("null", Some("null")),
            (
                r#"{"name":"e","data":{}}"#,
                Some(r#"{"name":"e","data":{}}"#),
            ),
            ("{}", Some("{}")),
            (r#"{"error":{"name":"E","message":"m"}}"#, Some("E: m")),
            (r#"{"error":"plain"}"#, Some("Error: \"plain\"")),
            (r#"{"input":[1]}"#, None),
        ] {
            let memo = read(&stepwell_protocol::shared_json(text.to_owned()).unwrap());
            let shown = memo.map(|memo| match memo {
                Memo::Data(data) => data.get().to_owned(),
                Memo::Failed(error) => format!("{}: {}", error.name, error.message),
            });
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
