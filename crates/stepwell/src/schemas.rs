//! The shapes of an app's events, for programs in other languages: JSON Schema and TypeScript.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use stepwell::{App, Client, Context, Error, Event, Function, schemars::JsonSchema};
//!
//! /// Someone has placed an order.
//! #[derive(Serialize, Deserialize, JsonSchema, Event)]
//! #[event(name = "shop/order.placed")]
//! struct OrderPlaced {
//!     order_id: String,
//!     note: Option<String>,
//! }
//!
//! async fn ship(_: Context<OrderPlaced>) -> Result<(), Error> {
//!     Ok(())
//! }
//!
//! let app = App::new(Client::dev("shop")).function(Function::new("ship").on::<OrderPlaced>().handler(ship));
//! let schemas = app.schemas()?;
//! assert!(schemas.typescript().contains("export const orderPlaced = eventType(\"shop/order.placed\""));
//! # let folder = std::env::temp_dir().join(format!("stepwell-schemas-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! schemas.write_to(&folder)?; // events.schema.json and events.ts
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program on the official TypeScript SDK imports `events.ts`, and sends what these functions take, checked by its
//! compiler. Write the files in a build step or a test, and keep them in version control:
//! [`Schemas::differs_from`] tells whether they are current.

mod definitions;
mod typescript;

use crate::event::Member;
use definitions::Definitions;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The file of the JSON Schema.
pub const JSON_FILE: &str = "events.schema.json";
/// The file of the TypeScript types.
pub const TYPESCRIPT_FILE: &str = "events.ts";

/// The shapes of an app's events.
#[derive(Debug, Clone)]
pub struct Schemas {
    app_id: String,
    events: Vec<Described>,
    definitions: Definitions,
}

/// One event, as it is described.
#[derive(Debug, Clone)]
struct Described {
    name: &'static str,
    version: Option<&'static str>,
    /// The name of its data's definition.
    data: String,
}

/// The events of an app contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two types stand for one event.
    #[error("event '{0}' has two shapes: two types of different fields have its name")]
    TwoShapes(String),
}

impl Schemas {
    /// The shapes of these events; patterns have none.
    pub(crate) fn of(
        app_id: &str,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<Self, SchemaError> {
        let mut known: BTreeMap<&'static str, (Option<&'static str>, Value)> = BTreeMap::new();
        for member in members {
            let Some(schema) = member.schema else {
                continue;
            };
            let described = (member.version, schema.to_value());
            match known.get(member.name) {
                Some(before) if *before != described => {
                    return Err(SchemaError::TwoShapes(member.name.to_owned()));
                }
                Some(_) => {}
                None => {
                    known.insert(member.name, described);
                }
            }
        }
        let mut definitions = Definitions::default();
        let mut events = Vec::new();
        for (name, (version, schema)) in known {
            let data = definitions.add(name, schema);
            events.push(Described {
                name,
                version,
                data,
            });
        }
        Ok(Self {
            app_id: app_id.to_owned(),
            events,
            definitions,
        })
    }

    /// The names of the events, in order.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.name)
    }

    /// A JSON Schema (2020-12) that an event of the app fulfils: with its name and, under `data`, the data.
    #[must_use]
    pub fn json_schema(&self) -> Value {
        let events = self.events.iter().map(|event| {
            let mut properties = Map::from_iter([
                ("name".to_owned(), json!({"const": event.name})),
                (
                    "data".to_owned(),
                    json!({"$ref": format!("#/$defs/{}", event.data)}),
                ),
            ]);
            if let Some(version) = event.version {
                properties.insert("v".to_owned(), json!({"const": version}));
            }
            json!({"type": "object", "properties": properties, "required": ["name", "data"]})
        });
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": format!("Events of {}", self.app_id),
            "oneOf": events.collect::<Vec<_>>(),
            "$defs": self.definitions.schemas(),
        })
    }

    /// TypeScript: a type for the data of each event, a map of all, and an `eventType` of the official SDK for each.
    #[must_use]
    pub fn typescript(&self) -> String {
        typescript::render(&self.app_id, &self.events, &self.definitions)
    }

    fn files(&self) -> [(&'static str, String); 2] {
        let json = serde_json::to_string_pretty(&self.json_schema())
            .expect("a schema has only string keys");
        [
            (JSON_FILE, format!("{json}\n")),
            (TYPESCRIPT_FILE, self.typescript()),
        ]
    }

    /// Writes [`JSON_FILE`] and [`TYPESCRIPT_FILE`] into a folder, which must be there. Files that say the same already
    /// are left alone, so that nothing is built anew for them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_to(&self, folder: impl AsRef<Path>) -> io::Result<()> {
        for (name, text) in self.files() {
            let path = folder.as_ref().join(name);
            if !std::fs::read_to_string(&path).is_ok_and(|before| before == text) {
                std::fs::write(path, text)?;
            }
        }
        Ok(())
    }

    /// The files of a folder that [`write_to`](Schemas::write_to) would change, by name.
    #[must_use]
    pub fn differs_from(&self, folder: impl AsRef<Path>) -> Vec<&'static str> {
        let changed = self.files().into_iter().filter(|(name, text)| {
            let before = std::fs::read_to_string(folder.as_ref().join(name));
            !before.is_ok_and(|before| before == *text)
        });
        changed.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests;
