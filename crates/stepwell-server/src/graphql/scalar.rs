//! Scalars of the protocol's own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use std::fmt::Display;
use std::str::FromStr;
use stepwell_engine::Timestamp;
use stepwell_protocol::span;

/// A moment, in RFC 3339.
pub(super) struct Time(pub(super) Timestamp);

#[Scalar(name = "Time")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        let ms = match &value {
            Value::String(text) => span::parse_moment_ms(text),
            _ => None,
        };
        let ms = ms.ok_or_else(|| InputValueError::custom("expected a moment in RFC 3339"))?;
        Ok(Self(Timestamp::from_ms(u64::try_from(ms).unwrap_or(0))))
    }

    fn to_value(&self) -> Value {
        let ms = i64::try_from(self.0.ms()).unwrap_or(i64::MAX);
        Value::String(span::format_moment_ms(ms))
    }
}

/// An id of a run or an event.
pub(super) struct Ulid(pub(super) ulid::Ulid);

#[Scalar(name = "ULID")]
impl ScalarType for Ulid {
    fn parse(value: Value) -> InputValueResult<Self> {
        let id = parse(&value).map(Self);
        id.ok_or_else(|| InputValueError::custom("expected a ULID"))
    }

    fn to_value(&self) -> Value {
        text(&self.0)
    }
}

/// An id of an app or a function.
pub(super) struct Uuid(pub(super) uuid::Uuid);

#[Scalar(name = "UUID")]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        let id = parse(&value).map(Self);
        id.ok_or_else(|| InputValueError::custom("expected a UUID"))
    }

    fn to_value(&self) -> Value {
        text(&self.0)
    }
}

/// JSON, as text.
pub(super) struct Bytes(pub(super) String);

#[Scalar(name = "Bytes")]
impl ScalarType for Bytes {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        text(&self.0)
    }
}

/// A JSON object.
pub(super) struct Map(pub(super) serde_json::Value);

#[Scalar(name = "Map")]
impl ScalarType for Map {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value.into_json() {
            Ok(json @ serde_json::Value::Object(_)) => Ok(Self(json)),
            _ => Err(InputValueError::custom("expected an object")),
        }
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

fn text(value: &impl Display) -> Value {
    Value::String(value.to_string())
}

fn parse<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
