//! TypeScript of JSON Schemas, as schemars writes them for Rust types.

use super::Described;
use super::definitions::Definitions;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Deeper schemas are `unknown`.
const DEPTH_MAX: usize = 64;

pub(super) fn render(app_id: &str, events: &[Described], definitions: &Definitions) -> String {
    let mut text = format!(
        "// The events of the app {}. Made by stepwell from its Rust types: change those, not this.\n\n",
        one_line(app_id)
    );
    if !events.is_empty() {
        text.push_str("import { eventType, staticSchema } from \"inngest\";\n\n");
    }
    for (name, schema) in definitions.iter() {
        document(&mut text, schema, "");
        // No interface: the SDK wants data that is a record, which an open interface is not.
        let _ = writeln!(text, "export type {name} = {};\n", of(schema, "", 0));
    }
    text.push_str("/** The data of each event, by its name. */\nexport type Events = {\n");
    for event in events {
        let _ = writeln!(text, "  {}: {};", quoted(event.name), event.data);
    }
    text.push_str("};\n");
    let mut taken: Vec<String> = Vec::new();
    for event in events {
        let constant = constant_name(&event.data, &taken);
        let version = event.version.map_or(String::new(), |version| {
            format!(", version: {}", quoted(version))
        });
        let _ = writeln!(
            text,
            "\nexport const {constant} = eventType({}, {{ schema: staticSchema<{}>(){version} }});",
            quoted(event.name),
            event.data
        );
        taken.push(constant);
    }
    text
}

/// `OrderPlaced` → `orderPlaced`; a type that two events share gives two constants.
fn constant_name(data: &str, taken: &[String]) -> String {
    let (first, rest) = data.split_at(1);
    let wanted = format!("{}{rest}", first.to_ascii_lowercase());
    let numbered = (2..).map(|number| format!("{wanted}{number}"));
    let mut names = std::iter::once(wanted.clone()).chain(numbered);
    names
        .find(|name| !taken.contains(name) && !RESERVED.contains(&&**name))
        .expect("numbers do not end")
}

/// What no constant may be called.
const RESERVED: [&str; 14] = [
    "default",
    "delete",
    "eventType",
    "export",
    "function",
    "import",
    "new",
    "null",
    "package",
    "private",
    "public",
    "return",
    "staticSchema",
    "void",
];

/// The type of a schema.
fn of(schema: &Value, indent: &str, depth: usize) -> String {
    let Some(fields) = schema.as_object().filter(|_| depth < DEPTH_MAX) else {
        return match schema {
            Value::Bool(false) => "never".to_owned(),
            _ => "unknown".to_owned(),
        };
    };
    if let Some(constant) = fields.get("const") {
        return literal(constant);
    }
    if let Some(Value::Array(allowed)) = fields.get("enum") {
        return union(allowed.iter().map(literal).collect());
    }
    // Parts that all have to hold: a reference, alternatives, the fields themselves.
    let mut parts = Vec::new();
    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
        parts.push(match target.strip_prefix("#/$defs/") {
            Some(name) => name.to_owned(),
            None => "unknown".to_owned(),
        });
    }
    if let Some(Value::Array(all)) = fields.get("allOf") {
        parts.extend(all.iter().map(|part| within(of(part, indent, depth + 1))));
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(branches)) = fields.get(key) {
            let branches = branches.iter().map(|branch| of(branch, indent, depth + 1));
            parts.push(union(branches.collect()));
        }
    }
    let types: Vec<&str> = match fields.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let only_says_object = types == ["object"]
        && !parts.is_empty()
        && !fields.contains_key("properties")
        && !fields.contains_key("additionalProperties");
    if !types.is_empty() && !only_says_object {
        let types = types.iter().map(|name| match *name {
            "string" => "string".to_owned(),
            "number" | "integer" => "number".to_owned(),
            "boolean" => "boolean".to_owned(),
            "null" => "null".to_owned(),
            "array" => array(fields, indent, depth),
            "object" => object(fields, indent, depth),
            _ => "unknown".to_owned(),
        });
        parts.push(union(types.collect()));
    }
    match parts.len() {
        0 => "unknown".to_owned(),
        1 => parts.remove(0),
        _ => {
            let parts: Vec<String> = parts.into_iter().map(within).collect();
            parts.join(" & ")
        }
    }
}

fn array(fields: &Map<String, Value>, indent: &str, depth: usize) -> String {
    if let Some(Value::Array(items)) = fields.get("prefixItems") {
        let mut items: Vec<String> = items
            .iter()
            .map(|item| of(item, indent, depth + 1))
            .collect();
        if let Some(rest) = fields
            .get("items")
            .filter(|rest| **rest != Value::Bool(false))
        {
            items.push(format!("...{}[]", within(of(rest, indent, depth + 1))));
        }
        return format!("[{}]", items.join(", "));
    }
    match fields.get("items") {
        Some(items) => format!("{}[]", within(of(items, indent, depth + 1))),
        None => "unknown[]".to_owned(),
    }
}

fn object(fields: &Map<String, Value>, indent: &str, depth: usize) -> String {
    let others = fields.get("additionalProperties");
    let properties = fields.get("properties").and_then(Value::as_object);
    let properties = properties.filter(|properties| !properties.is_empty());
    let Some(properties) = properties else {
        return match others {
            Some(Value::Bool(false)) => "Record<string, never>".to_owned(),
            Some(others) => format!("Record<string, {}>", of(others, indent, depth + 1)),
            None => "Record<string, unknown>".to_owned(),
        };
    };
    let required: Vec<&str> = match fields.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let deeper = format!("{indent}  ");
    let mut text = "{\n".to_owned();
    for (name, schema) in properties {
        document(&mut text, schema, &deeper);
        let optional = if required.contains(&&**name) { "" } else { "?" };
        let given = of(schema, &deeper, depth + 1);
        let _ = writeln!(text, "{deeper}{}{optional}: {given};", property(name));
    }
    if others.is_some_and(|others| *others != Value::Bool(false)) {
        // A narrower type would have to hold for the properties above, too.
        let _ = writeln!(text, "{deeper}[key: string]: unknown;");
    }
    text.push_str(indent);
    text.push('}');
    text
}

/// A description as a comment above.
fn document(text: &mut String, schema: &Value, indent: &str) {
    let Some(description) = schema.get("description").and_then(Value::as_str) else {
        return;
    };
    let safe = description.replace("*/", "* /");
    let lines: Vec<&str> = safe.lines().map(str::trim_end).collect();
    match lines[..] {
        [] => {}
        [line] => {
            let _ = writeln!(text, "{indent}/** {line} */");
        }
        _ => {
            let _ = writeln!(text, "{indent}/**");
            for line in lines {
                let _ = writeln!(
                    text,
                    "{indent} *{}{line}",
                    if line.is_empty() { "" } else { " " }
                );
            }
            let _ = writeln!(text, "{indent} */");
        }
    }
}

fn union(mut types: Vec<String>) -> String {
    let mut seen = Vec::new();
    types.retain(|name| {
        let new = !seen.contains(name);
        seen.push(name.clone());
        new
    });
    match types.len() {
        0 => "never".to_owned(),
        1 => types.remove(0),
        // What is unknown swallows the rest.
        _ if types.iter().any(|name| name == "unknown") => "unknown".to_owned(),
        _ => {
            let types: Vec<String> = types
                .into_iter()
                .map(
                    |name| match name.contains(" & ") && !name.starts_with('(') {
                        true => format!("({name})"),
                        false => name,
                    },
                )
                .collect();
            types.join(" | ")
        }
    }
}

/// A type that stands within another.
fn within(name: String) -> String {
    // Only what has an operator outside of its own brackets needs some.
    let mut depth = 0_i32;
    let mut in_text = false;
    let mut escaped = false;
    let mut bare = false;
    for c in name.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' | '[' | '(' | '<' => depth += 1,
            '}' | ']' | ')' | '>' => depth -= 1,
            '|' | '&' if depth == 0 => bare = true,
            _ => {}
        }
    }
    if bare { format!("({name})") } else { name }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
        Value::Array(_) | Value::Object(_) => "unknown".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn property(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next();
    let plain = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if plain { name.to_owned() } else { quoted(name) }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
