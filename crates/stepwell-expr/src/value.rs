//! The values of the language. What comes from an event is borrowed from it; copies are cheap.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

/// A value: of an attribute, of a literal, or of a whole expression.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// An attribute that does not exist.
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    List(List<'a>),
    Map(Map<'a>),
}

/// A string, of the event or made by the expression.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Made(Arc<str>),
}

/// A list, of the event or made by the expression.
#[derive(Debug, Clone)]
pub enum List<'a> {
    Json(&'a [Json]),
    Made(Arc<[Value<'a>]>),
}

/// A map, of the event or made by the expression.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>),
    Made(Arc<[(Value<'a>, Value<'a>)]>),
}

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::from_json),
            Self::Made(items) => items.get(index).cloned(),
        }
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json(entries) => entries.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a string key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(entries) => entries.get(key).map(Value::from_json),
            Self::Made(entries) => entries
                .iter()
                .find(|(candidate, _)| candidate.as_str() == Some(key))
                .map(|(_, value)| value.clone()),
        }
    }

    /// The value at a key of any scalar type; JSON has string keys only.
    pub(crate) fn get_value(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (_, Value::String(key)) => self.get(key.as_str()),
            (Self::Json(_), _) => None,
            (Self::Made(entries), _) => entries
                .iter()
                .find(|(candidate, _)| candidate.scalar_cmp(key) == Some(Ordering::Equal))
                .map(|(_, value)| value.clone()),
        }
    }

    pub(crate) fn keys(&self) -> List<'a> {
        let keys = match self {
            Self::Json(entries) => entries
                .keys()
                .map(|key| Value::String(Text::Borrowed(key)))
                .collect(),
            Self::Made(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        };
        List::Made(keys)
    }
}

impl<'a> Value<'a> {
    /// Borrows from `json`.
    pub fn from_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::from_number(number),
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(entries) => Self::Map(Map::Json(entries)),
        }
    }

    /// As [`Value::from_json`], of JSON nobody else keeps. Recurses as deep as `json` is, which was parsed with serde's limit.
    pub(crate) fn from_owned_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::from_number(&number),
            Json::String(text) => Self::made(text),
            Json::Array(items) => Self::List(List::Made(
                items.into_iter().map(Self::from_owned_json).collect(),
            )),
            Json::Object(entries) => Self::Map(Map::Made(
                entries
                    .into_iter()
                    .map(|(key, value)| (Self::made(key), Self::from_owned_json(value)))
                    .collect(),
            )),
        }
    }

    fn from_number(number: &serde_json::Number) -> Self {
        if let Some(value) = number.as_i64() {
            Self::Int(value)
        } else if let Some(value) = number.as_u64() {
            Self::Uint(value)
        } else {
            number.as_f64().map_or(Self::Null, Self::Double)
        }
    }

    pub(crate) fn made(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Made(text.into()))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The name of the type, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "a missing value",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Uint(_) => "an unsigned integer",
            Self::Double(_) => "a double",
            Self::String(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "a timestamp",
            Self::Duration(_) => "a duration",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Missing or null.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// JavaScript truthiness: missing, null, `false`, the empty string, zero and not-a-number are false.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Missing | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Double(value) => *value != 0.0 && !value.is_nan(),
            Self::String(text) => !text.as_str().is_empty(),
            Self::Bytes(_)
            | Self::Timestamp(_)
            | Self::Duration(_)
            | Self::List(_)
            | Self::Map(_) => true,
        }
    }

    /// The order of two values that have one: numbers of any type, and scalars of the same type.
    pub(crate) fn scalar_cmp(&self, other: &Self) -> Option<Ordering> {
        use Value::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
        match (self, other) {
            (Int(a), Int(b)) => Some(a.cmp(b)),
            (Uint(a), Uint(b)) => Some(a.cmp(b)),
            (Double(a), Double(b)) => a.partial_cmp(b),
            (Int(a), Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Uint(a), Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Int(a), Double(b)) => compare_with_double(i128::from(*a), *b),
            (Uint(a), Double(b)) => compare_with_double(i128::from(*a), *b),
            (Double(a), Int(b)) => compare_with_double(i128::from(*b), *a).map(Ordering::reverse),
            (Double(a), Uint(b)) => compare_with_double(i128::from(*b), *a).map(Ordering::reverse),
            (Bool(a), Bool(b)) => Some(a.cmp(b)),
            (String(a), String(b)) => Some(a.as_str().cmp(b.as_str())),
            (Bytes(a), Bytes(b)) => Some(a.cmp(b)),
            (Timestamp(a), Timestamp(b)) => Some(a.cmp(b)),
            (Duration(a), Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// What null stands for beside this value in an ordering; a value without a zero has none.
    pub(crate) fn zero(&self) -> Option<Value<'static>> {
        match self {
            Self::Bool(_) => Some(Value::Bool(false)),
            Self::Int(_) => Some(Value::Int(0)),
            Self::Uint(_) => Some(Value::Uint(0)),
            Self::Double(_) => Some(Value::Double(0.0)),
            Self::String(_) => Some(Value::String(Text::Borrowed(""))),
            Self::Bytes(_) => Some(Value::Bytes(Arc::from([]))),
            Self::Timestamp(_) => Some(Value::Timestamp(Timestamp::MIN)),
            Self::Duration(_) => Some(Value::Duration(SignedDuration::ZERO)),
            Self::Missing | Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// Exact: a conversion of the integer to a double would call neighbours beyond 2^53 equal.
fn compare_with_double(integer: i128, double: f64) -> Option<Ordering> {
    /// Beyond every `i64` and `u64`, and far inside `i128`.
    const BEYOND: f64 = 1e20;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double <= -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| {
        0.0_f64
            .partial_cmp(&double.fract())
            .unwrap_or(Ordering::Equal)
    }))
}
