use std::fmt;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Object;

mod shape;

/// One bad place of a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Where, e.g. `args[2]`; empty for the config as a whole.
    pub path: String,
    /// What was expected, and what is there.
    pub message: String,
}

impl ConfigProblem {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// A config that a plugin does not take, with every bad place, in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the config of {plugin} is wrong: {}", joined(.problems))]
pub struct ConfigError {
    pub plugin: String,
    /// Never empty.
    pub problems: Vec<ConfigProblem>,
}

fn joined(problems: &[ConfigProblem]) -> String {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// The JSON Schema of a config, without references. A property that says `writeOnly` is a secret.
pub(crate) fn schema<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<C>().into()
}

/// Reads a config that its schema describes. An absent one is an empty one.
pub(crate) fn read<C: DeserializeOwned>(
    config: Option<&Object>,
    schema: &Value,
) -> Result<C, Vec<ConfigProblem>> {
    let value = Value::Object(config.cloned().unwrap_or_default());
    let problems = shape::check(&value, schema);
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        // What serde says may show the value; its place must do, for it may be a secret.
        vec![ConfigProblem::new(path, "cannot be read")]
    })
}

/// The config as it may be stored and shown: secrets are replaced.
pub(crate) fn redacted(config: &Object, schema: &Value) -> Object {
    let mut redacted = config.clone();
    for (name, value) in &mut redacted {
        if schema["properties"][name.as_str()]["writeOnly"] == true && !value.is_null() {
            *value = Value::from("***");
        }
    }
    redacted
}
