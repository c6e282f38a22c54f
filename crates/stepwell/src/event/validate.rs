//! Checks by garde, told in the names of the JSON.

use super::{Event, ValidationIssue};
use garde::Validate;
use serde_json::Value;

/// Runs a type's garde rules. Paths are those of Rust fields; the schema knows what the JSON calls them.
#[doc(hidden)]
pub fn validate_with_garde<E>(event: &E) -> Result<(), Vec<ValidationIssue>>
where
    E: Event + Validate<Context: Default>,
{
    let Err(report) = event.validate_with(&Default::default()) else {
        return Ok(());
    };
    let schema = E::schema();
    let issues = report.iter().map(|(path, error)| ValidationIssue {
        path: wire_path(&path.to_string(), schema.as_value()),
        message: error.message().to_owned(),
    });
    Err(issues.collect())
}

/// `nodes[3].plugin_id` → `nodes[3].pluginId`, by the property that the schema has there.
fn wire_path(path: &str, schema: &Value) -> String {
    let mut output = String::new();
    let mut place = Some(schema);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (field, indices) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        let property = place.and_then(|place| property(place, schema, field));
        if !field.is_empty() {
            if !output.is_empty() {
                output.push('.');
            }
            output.push_str(property.map_or(field, |(name, _)| name));
            place = property.map(|(_, schema)| schema);
        }
        output.push_str(indices);
        for _ in indices.matches('[') {
            place = place.and_then(|place| element(place, schema));
        }
    }
    output
}

/// The places that `place` may stand for: behind references and in alternatives (`Option<T>`).
fn alternatives<'s>(place: &'s Value, root: &'s Value) -> Vec<&'s Value> {
    let mut found = vec![place];
    // A bound, for schemas that refer to themselves.
    let mut at = 0;
    while at < found.len() && found.len() < 64 {
        let here = found[at];
        let reference = here.get("$ref").and_then(Value::as_str);
        found.extend(reference.and_then(|reference| root.pointer(reference.strip_prefix('#')?)));
        for key in ["anyOf", "oneOf", "allOf"] {
            found.extend(
                here.get(key)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        at += 1;
    }
    found
}

fn property<'s>(place: &'s Value, root: &'s Value, field: &str) -> Option<(&'s str, &'s Value)> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    alternatives(place, root).into_iter().find_map(|place| {
        let properties = place.get("properties")?.as_object()?;
        let exact = properties.get_key_value(field);
        let similar = || {
            properties
                .iter()
                .find(|(name, _)| plain(name) == plain(field))
        };
        exact
            .or_else(similar)
            .map(|(name, schema)| (name.as_str(), schema))
    })
}

fn element<'s>(place: &'s Value, root: &'s Value) -> Option<&'s Value> {
    alternatives(place, root).into_iter().find_map(|place| {
        place
            .get("items")
            .or_else(|| place.get("additionalProperties"))
    })
}
