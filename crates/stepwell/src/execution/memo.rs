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

/// What a call says of a step.
pub(crate) enum Recorded {
    /// It has ended.
    Ended(Memo),
    /// It is still to run, with these inputs, a JSON array.
    Input(SharedJson),
}

/// Reads a recorded value.
pub(crate) fn read(value: &SharedJson) -> Recorded {
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
    let bare = || Recorded::Ended(Memo::Data(SharedJson::clone(value)));
    if !value.get().trim_start().starts_with('{') {
        return bare();
    }
    let Ok(wrapper) = serde_json::from_str::<Wrapper<'_>>(value.get()) else {
        return bare();
    };
    match (wrapper.error, wrapper.data, wrapper.input) {
        (Some(error), ..) if error.get() != "null" => Recorded::Ended(Memo::Failed(Box::new(
            UserError::from_body(error.get().as_bytes()),
        ))),
        (_, Some(data), _) => Recorded::Ended(Memo::Data(SharedJson::from(data.to_owned()))),
        (_, None, Some(input)) => Recorded::Input(SharedJson::from(input.to_owned())),
        _ => bare(),
    }
}

/// What is recorded of a step that has ended.
#[cfg(feature = "testing")]
pub(crate) fn ended(value: &SharedJson) -> Option<Memo> {
    match read(value) {
        Recorded::Ended(memo) => Some(memo),
        Recorded::Input(_) => None,
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
            (r#"{"data":{"a":1}}"#, r#"{"a":1}"#),
            (r#"{"data":null}"#, "null"),
            (r#"{"type":"data","data":3}"#, "3"),
            ("null", "null"),
            (r#"{"name":"e","data":{}}"#, r#"{"name":"e","data":{}}"#),
            ("{}", "{}"),
            (r#"{"error":{"name":"E","message":"m"}}"#, "E: m"),
            (r#"{"error":"plain"}"#, "Error: \"plain\""),
            (r#"{"input":[1]}"#, "[1] to run with"),
        ] {
            let recorded = read(&stepwell_protocol::shared_json(text.to_owned()).unwrap());
            let shown = match recorded {
                Recorded::Ended(Memo::Data(data)) => data.get().to_owned(),
                Recorded::Ended(Memo::Failed(error)) => {
                    format!("{}: {}", error.name, error.message)
                }
                Recorded::Input(input) => format!("{} to run with", input.get()),
            };
            assert_eq!(shown, expected, "{text}");
        }
    }
}
