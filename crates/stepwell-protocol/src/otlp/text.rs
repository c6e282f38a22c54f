//! The JSON form: ids in hex, 64-bit numbers as texts or numbers, enums as numbers or names.

use super::{Export, ExportError, Raw, bounded, short};
use crate::decode::null_as_default;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Levels of lists in an attribute.
const DEPTH_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default, deserialize_with = "null_as_default")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default, deserialize_with = "null_as_default")]
    resource: Resource,
    #[serde(default, deserialize_with = "null_as_default")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize, Default)]
struct Resource {
    #[serde(default, deserialize_with = "null_as_default")]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default, deserialize_with = "null_as_default")]
    scope: Scope,
    #[serde(default, deserialize_with = "null_as_default")]
    spans: Vec<Span>,
}

#[derive(Deserialize, Default)]
struct Scope {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    span_id: String,
    parent_span_id: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    start_time_unix_nano: Value,
    #[serde(default)]
    end_time_unix_nano: Value,
    #[serde(default, deserialize_with = "null_as_default")]
    attributes: Vec<Attribute>,
    #[serde(default, deserialize_with = "null_as_default")]
    status: Status,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Value,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: Value,
}

pub(super) fn read(body: &[u8]) -> Result<Export, ExportError> {
    let request: Request =
        crate::decode::from_slice(body).map_err(|error| ExportError(error.to_string()))?;
    let mut export = Export::default();
    for of_resource in request.resource_spans {
        let resource = bounded(map(of_resource.resource.attributes));
        for of_scope in of_resource.scope_spans {
            let (scope, version) = (short(of_scope.scope.name), short(of_scope.scope.version));
            for span in of_scope.spans {
                export.add(|| Raw {
                    id: span.span_id,
                    parent: span.parent_span_id.filter(|parent| !parent.is_empty()),
                    name: span.name,
                    kind: kind(&span.kind),
                    started_ns: number(&span.start_time_unix_nano),
                    ended_ns: number(&span.end_time_unix_nano),
                    failed: is_error(&span.status.code),
                    scope: scope.clone(),
                    scope_version: version.clone(),
                    attributes: map(span.attributes),
                    resource: resource.clone(),
                });
            }
        }
    }
    Ok(export)
}

fn kind(value: &Value) -> i64 {
    const NAMES: [&str; 6] = [
        "SPAN_KIND_UNSPECIFIED",
        "SPAN_KIND_INTERNAL",
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
        "SPAN_KIND_PRODUCER",
        "SPAN_KIND_CONSUMER",
    ];
    let named = NAMES.iter().position(|name| value == name);
    let named = named.and_then(|number| i64::try_from(number).ok());
    value.as_i64().or(named).unwrap_or(0)
}

fn is_error(value: &Value) -> bool {
    *value == 2 || value == "STATUS_CODE_ERROR"
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text).unwrap_or(0)
}

fn map(attributes: Vec<Attribute>) -> Map<String, Value> {
    let pairs = attributes.into_iter();
    pairs
        .map(|attribute| (attribute.key, plain(&attribute.value, DEPTH_MAX)))
        .collect()
}

/// An `AnyValue` as plain JSON; what is nested too deep is null.
fn plain(value: &Value, depth: usize) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|value| value.iter().next()) else {
        return Value::Null;
    };
    let values = |inner: &Value| inner["values"].as_array().cloned().unwrap_or_default();
    match &**kind {
        _ if depth == 0 => Value::Null,
        "intValue" => match inner.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => number.into(),
            None => inner.clone(),
        },
        "arrayValue" => {
            let entries = values(inner);
            entries.iter().map(|one| plain(one, depth - 1)).collect()
        }
        "kvlistValue" => {
            let entries = values(inner);
            let pairs = entries.iter().filter_map(|pair| {
                let key = pair["key"].as_str()?;
                Some((key.to_owned(), plain(&pair["value"], depth - 1)))
            });
            Value::Object(pairs.collect())
        }
        _ => inner.clone(),
    }
}
