//! Finds every value of a JSON text that a JSON Schema does not allow.
//!
//! Serde stops at the first error; a person who fixes a payload wants them all. This knows the part of JSON
//! Schema that schemars writes for Rust types. It never decides whether a payload is taken: serde does.

use super::ValidationIssue;
use serde_json::Value;

/// More are not listed.
const ISSUES_MAX: usize = 100;
/// Deeper values are not looked into.
const DEPTH_MAX: usize = 64;

/// All that is wrong with `value`, in the order of the schema.
pub(super) fn check(value: &Value, schema: &Value) -> Vec<ValidationIssue> {
    let mut checker = Checker {
        root: schema,
        issues: Vec::new(),
    };
    checker.check(value, schema, "", 0);
    checker.issues
}

struct Checker<'s> {
    root: &'s Value,
    issues: Vec<ValidationIssue>,
}

impl<'s> Checker<'s> {
    fn report(&mut self, path: &str, message: impl Into<String>) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(ValidationIssue {
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }

    fn check(&mut self, value: &Value, schema: &'s Value, path: &str, depth: usize) {
        if depth > DEPTH_MAX || self.issues.len() >= ISSUES_MAX {
            return;
        }
        let Some(rules) = schema.as_object() else {
            if schema == &Value::Bool(false) {
                self.report(path, "is not allowed");
            }
            return;
        };
        if let Some(target) = rules
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| self.root.pointer(target.strip_prefix('#')?))
        {
            self.check(value, target, path, depth + 1);
        }
        for part in list(rules.get("allOf")) {
            self.check(value, part, path, depth + 1);
        }
        for key in ["anyOf", "oneOf"] {
            let branches = list(rules.get(key));
            if !branches.is_empty() {
                self.check_branches(value, branches, path, depth);
            }
        }
        if let Some(expected) = rules.get("type")
            && !types(expected).any(|name| is_of_type(value, name))
        {
            let names: Vec<&str> = types(expected).map(article).collect();
            self.report(
                path,
                format!("expected {}, found {}", names.join(" or "), kind(value)),
            );
            return;
        }
        let allowed = list(rules.get("enum"));
        if !allowed.is_empty() && !allowed.contains(value) {
            let texts: Vec<String> = allowed.iter().map(Value::to_string).collect();
            self.report(
                path,
                format!(
                    "expected one of {}, found {}",
                    texts.join(", "),
                    shown(value)
                ),
            );
        }
        if let Some(constant) = rules.get("const")
            && constant != value
        {
            self.report(path, format!("expected {constant}, found {}", shown(value)));
        }
        self.check_bounds(value, rules, path);
        match value {
            Value::Object(fields) => {
                let properties = rules.get("properties").and_then(Value::as_object);
                for name in list(rules.get("required")).iter().filter_map(Value::as_str) {
                    if !fields.contains_key(name) {
                        let expected = properties
                            .and_then(|properties| properties.get(name))
                            .and_then(|schema| schema.get("type"))
                            .and_then(|expected| types(expected).next())
                            .map_or("a value", article);
                        self.report(
                            &join(path, name),
                            format!("expected {expected}, but it is missing"),
                        );
                    }
                }
                for (name, value) in fields {
                    let place = join(path, name);
                    if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                        self.check(value, schema, &place, depth + 1);
                    } else if let Some(schema) = rules.get("additionalProperties") {
                        self.check(value, schema, &place, depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                let leading = list(rules.get("prefixItems"));
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = leading.get(index).or_else(|| rules.get("items")) {
                        self.check(item, schema, &format!("{path}[{index}]"), depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    /// Reports what the branch nearest to the value says, when none takes it.
    fn check_branches(&mut self, value: &Value, branches: &'s [Value], path: &str, depth: usize) {
        let mut nearest: Option<Vec<ValidationIssue>> = None;
        let mut mismatches = Vec::new();
        for branch in branches {
            let mut attempt = Checker {
                root: self.root,
                issues: Vec::new(),
            };
            attempt.check(value, branch, path, depth + 1);
            if attempt.issues.is_empty() {
                return;
            }
            // A branch for another type or another tag altogether says little of what is wrong within.
            let is_other = |issue: &ValidationIssue| {
                issue.path == path || issue.message.starts_with("expected \"")
            };
            if attempt.issues.iter().any(is_other) {
                mismatches.extend(attempt.issues.into_iter().filter(is_other));
            } else if nearest
                .as_ref()
                .is_none_or(|nearest| attempt.issues.len() < nearest.len())
            {
                nearest = Some(attempt.issues);
            }
        }
        match (nearest, mismatches.first()) {
            (Some(issues), _) => self.issues.extend(issues),
            (None, Some(first)) => {
                let place = first.path.clone();
                let expectations: Vec<&str> = mismatches
                    .iter()
                    .filter(|issue| issue.path == place)
                    .filter_map(|issue| issue.message.strip_prefix("expected "))
                    .filter_map(|message| message.rsplit_once(", found ").map(|(wanted, _)| wanted))
                    .collect();
                let found = first
                    .message
                    .rsplit_once(", found ")
                    .map(|(_, found)| found);
                match found {
                    Some(found) if !expectations.is_empty() => {
                        let message =
                            format!("expected {}, found {found}", expectations.join(" or "));
                        self.report(&place, message);
                    }
                    _ => self.report(path, "does not fit any of the allowed forms"),
                }
            }
            (None, None) => {}
        }
    }

    fn check_bounds(
        &mut self,
        value: &Value,
        rules: &'s serde_json::Map<String, Value>,
        path: &str,
    ) {
        let bound = |key: &str| rules.get(key).and_then(Value::as_f64);
        let (size, low, high, unit) = match value {
            Value::Number(number) => (number.as_f64(), "minimum", "maximum", ""),
            Value::String(text) => (
                Some(text.chars().count() as f64),
                "minLength",
                "maxLength",
                " characters",
            ),
            Value::Array(items) => (Some(items.len() as f64), "minItems", "maxItems", " items"),
            _ => return,
        };
        let Some(size) = size else { return };
        if let Some(low) = bound(low).filter(|low| size < *low) {
            self.report(path, format!("expected at least {low}{unit}, found {size}"));
        }
        if let Some(high) = bound(high).filter(|high| size > *high) {
            self.report(path, format!("expected at most {high}{unit}, found {size}"));
        }
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn types(expected: &Value) -> impl Iterator<Item = &str> {
    let one = expected.as_str();
    one.into_iter()
        .chain(list(Some(expected)).iter().filter_map(Value::as_str))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn article(name: &str) -> &'static str {
    match name {
        "null" => "null",
        "boolean" => "a boolean",
        "string" => "a string",
        "number" => "a number",
        "integer" => "an integer",
        "array" => "an array",
        "object" => "an object",
        _ => "another type",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A short scalar as it is, anything else by its kind: payloads may hold what should not be in a log.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 32 => format!("\"{text}\""),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => kind(value).to_owned(),
    }
}
