//! Holds a value to its schema: the part of JSON Schema that configs are described in. What it does not know (formats,
//! patterns) is left to the plugin.

use serde_json::Value;

use super::ConfigProblem;

/// Enough to mend a config by; more is a list nobody reads.
const PROBLEMS_MAX: usize = 50;
/// Configs are flat; a deeper value is not looked into.
const DEPTH_MAX: usize = 8;
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Every place where `value` is not what `schema` says, ordered by path.
pub(super) fn check(value: &Value, schema: &Value) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    walk(value, schema, "", 0, &mut problems);
    problems.sort();
    problems.truncate(PROBLEMS_MAX);
    problems
}

fn walk(
    value: &Value,
    schema: &Value,
    path: &str,
    depth: usize,
    problems: &mut Vec<ConfigProblem>,
) {
    if depth > DEPTH_MAX || problems.len() > PROBLEMS_MAX {
        return;
    }
    let mut report = |message: String| problems.push(ConfigProblem::new(path, message));
    let secret = schema["writeOnly"] == true;
    if let Some(choices) = choices(schema) {
        if !choices.contains(&value) {
            let expected: Vec<String> = choices.iter().map(ToString::to_string).collect();
            report(format!(
                "expected {}, found {}",
                expected.join(" or "),
                shown(value, secret)
            ));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of_type(value, name)) {
        let expected: Vec<&str> = types.iter().map(|name| with_article(name)).collect();
        report(format!(
            "expected {}, found {}",
            expected.join(" or "),
            kind(value)
        ));
        return;
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema[name].as_f64();
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            report(format!("expected at least {least}, found {value}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            report(format!("expected at most {most}, found {value}"));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"]
            .as_u64()
            .is_some_and(|least| length < least)
        {
            report("expected a text, found an empty one".to_owned());
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            report(format!(
                "expected at most {most} characters, found {length}"
            ));
        }
    }
    if let Some(items) = value.as_array() {
        if let Some(most) = schema["maxItems"]
            .as_u64()
            .filter(|most| items.len() as u64 > *most)
        {
            report(format!(
                "expected at most {most} items, found {}",
                items.len()
            ));
        }
        for (at, item) in items.iter().enumerate() {
            walk(
                item,
                &schema["items"],
                &format!("{path}[{at}]"),
                depth + 1,
                problems,
            );
        }
    }
    if let Some(object) = value.as_object() {
        let inner = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if let Some(name) = name.as_str().filter(|name| !object.contains_key(*name)) {
                let expected = schema["properties"][name]["type"].as_str();
                let expected = expected.map_or("a value", with_article);
                let message = format!("expected {expected}, but it is missing");
                problems.push(ConfigProblem::new(inner(name), message));
            }
        }
        for (name, value) in object {
            let property = &schema["properties"][name.as_str()];
            let property = match property {
                Value::Null => &schema["additionalProperties"],
                property => property,
            };
            walk(value, property, &inner(name), depth + 1, problems);
        }
    }
}

/// The only values that are allowed, if a schema lists them in any of the ways that enums are written.
fn choices(schema: &Value) -> Option<Vec<&Value>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    let mut all = Vec::new();
    for branch in branches.as_array()? {
        if branch["type"] == "null" {
            all.push(&Value::Null);
        } else {
            all.extend(choices(branch)?);
        }
    }
    Some(all)
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn with_article(name: &str) -> &str {
    match name {
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        "object" => "an object",
        other => other,
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) => return number.to_string(),
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
    .to_owned()
}

fn shown(value: &Value, secret: bool) -> String {
    match value {
        Value::String(_) if secret => "a string".to_owned(),
        Value::String(text) => {
            let cut: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
            format!("{cut:?}")
        }
        value => kind(value),
    }
}
