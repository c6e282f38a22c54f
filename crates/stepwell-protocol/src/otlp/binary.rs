//! The binary form. Fields that are of no use here are left out; the reader skips them.

use super::{Export, ExportError, Raw, bounded, short};
use prost::{Message, Oneof};
use serde_json::{Map, Value};

/// Levels of lists in an attribute. The reader itself stops at 100.
const DEPTH_MAX: usize = 8;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    List(ListValue),
    #[prost(message, tag = "6")]
    Pairs(Pairs),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListValue {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pairs {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<KeyValue>,
}

pub(super) fn read(body: &[u8]) -> Result<Export, ExportError> {
    let request = Request::decode(body).map_err(|error| ExportError(error.to_string()))?;
    let mut export = Export::default();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let resource = bounded(map(resource.attributes, DEPTH_MAX));
        for of_scope in of_resource.scope_spans {
            let scope = of_scope.scope.unwrap_or_default();
            let (scope, version) = (short(Some(scope.name)), short(Some(scope.version)));
            for span in of_scope.spans {
                export.add(|| Raw {
                    id: hex::encode(&span.span_id),
                    parent: Some(hex::encode(&span.parent_span_id))
                        .filter(|parent| !parent.is_empty()),
                    name: span.name,
                    kind: i64::from(span.kind),
                    started_ns: span.start_time_unix_nano,
                    ended_ns: span.end_time_unix_nano,
                    failed: span.status.is_some_and(|status| status.code == 2),
                    scope: scope.clone(),
                    scope_version: version.clone(),
                    attributes: map(span.attributes, DEPTH_MAX),
                    resource: resource.clone(),
                });
            }
        }
    }
    Ok(export)
}

fn map(attributes: Vec<KeyValue>, depth: usize) -> Map<String, Value> {
    let pairs = attributes.into_iter();
    pairs
        .map(|pair| (pair.key, plain(pair.value, depth)))
        .collect()
}

/// A value as plain JSON, bytes in hex; what is nested too deep is null.
fn plain(value: Option<AnyValue>, depth: usize) -> Value {
    match value.and_then(|value| value.value) {
        Some(_) if depth == 0 => Value::Null,
        None => Value::Null,
        Some(Any::Text(text)) => text.into(),
        Some(Any::Flag(flag)) => flag.into(),
        Some(Any::Integer(number)) => number.into(),
        Some(Any::Number(number)) => number.into(),
        Some(Any::Bytes(bytes)) => hex::encode(bytes).into(),
        Some(Any::List(list)) => {
            let values = list.values.into_iter();
            values.map(|one| plain(Some(one), depth - 1)).collect()
        }
        Some(Any::Pairs(pairs)) => Value::Object(map(pairs.values, depth - 1)),
    }
}
