//! Definitions of several schemas, as one set with names that are told apart.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Named schemas, which refer to each other as `#/$defs/<name>`.
#[derive(Debug, Clone, Default)]
pub(super) struct Definitions {
    known: BTreeMap<String, Value>,
}

impl Definitions {
    /// Adds the schema of an event's data with what it refers to; returns its name.
    pub(super) fn add(&mut self, event: &str, schema: Value) -> String {
        let Value::Object(mut root) = schema else {
            return self.insert(type_name(event), schema);
        };
        root.remove("$schema");
        let title = root.remove("title");
        let title = title.as_ref().and_then(Value::as_str);
        let wanted = type_name(title.unwrap_or(event));
        let parts = match root.remove("$defs") {
            Some(Value::Object(parts)) => parts,
            _ => Map::new(),
        };
        // Names first: parts refer to each other, and to the whole as `#`.
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut taken = Vec::new();
        for (name, part) in &parts {
            let chosen = self.free(&type_name(name), &taken, part, &parts);
            names.insert(format!("#/$defs/{name}"), chosen.clone());
            taken.push(chosen);
        }
        let whole = Value::Object(root);
        let root_name = self.free(&wanted, &taken, &whole, &parts);
        names.insert("#".to_owned(), root_name.clone());
        for (name, mut part) in parts {
            rename(&mut part, &names);
            let chosen = names[&format!("#/$defs/{name}")].clone();
            self.known.entry(chosen).or_insert(part);
        }
        let mut whole = whole;
        rename(&mut whole, &names);
        self.known.entry(root_name.clone()).or_insert(whole);
        root_name
    }

    fn insert(&mut self, name: String, schema: Value) -> String {
        let name = self.free(&name, &[], &schema, &Map::new());
        self.known.entry(name.clone()).or_insert(schema);
        name
    }

    /// A name that is free, or stands for the same already.
    fn free(
        &self,
        wanted: &str,
        taken: &[String],
        schema: &Value,
        parts: &Map<String, Value>,
    ) -> String {
        let names = std::iter::once(wanted.to_owned())
            .chain((2..).map(|number| format!("{wanted}{number}")));
        let mut usable = names.filter(|name| {
            !taken.contains(name)
                && self
                    .known
                    .get(name)
                    .is_none_or(|known| self.same(known, schema, parts, 0))
        });
        usable.next().expect("numbers do not end")
    }

    /// Whether a known schema and a new one say the same, looking through references of both.
    fn same(&self, known: &Value, new: &Value, parts: &Map<String, Value>, depth: usize) -> bool {
        /// Deeper, they count as the same: only types that refer to themselves get there.
        const DEPTH_MAX: usize = 32;
        if depth > DEPTH_MAX {
            return true;
        }
        match (known, new) {
            (Value::Object(known), Value::Object(new)) => {
                let target = |fields: &Map<String, Value>| {
                    fields
                        .get("$ref")
                        .and_then(Value::as_str)
                        .and_then(|target| target.strip_prefix("#/$defs/"))
                        .map(str::to_owned)
                };
                known.len() == new.len()
                    && known.iter().all(|(key, known)| {
                        new.get(key).is_some_and(|new| {
                            key == "$ref" || self.same(known, new, parts, depth + 1)
                        })
                    })
                    && match (target(known), target(new)) {
                        (Some(known), Some(new)) => {
                            match (self.known.get(&known), parts.get(&new)) {
                                (Some(known), Some(new)) => self.same(known, new, parts, depth + 1),
                                // The whole, which refers to itself.
                                _ => true,
                            }
                        }
                        _ => true,
                    }
            }
            (Value::Array(known), Value::Array(new)) => {
                known.len() == new.len()
                    && known
                        .iter()
                        .zip(new)
                        .all(|(known, new)| self.same(known, new, parts, depth + 1))
            }
            _ => known == new,
        }
    }

    /// All, by name.
    pub(super) fn schemas(&self) -> Map<String, Value> {
        self.known.clone().into_iter().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.known.iter()
    }
}

fn rename(schema: &mut Value, names: &BTreeMap<String, String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = names.get(target)
            {
                *target = format!("#/$defs/{name}");
            }
            fields.values_mut().for_each(|value| rename(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

/// A name as types have it: `shop/order.placed` → `ShopOrderPlaced`.
fn type_name(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let mut name = String::with_capacity(text.len());
    for word in words.filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'T');
    }
    name
}
