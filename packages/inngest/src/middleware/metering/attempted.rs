//! What a metered step records.

use crate::middleware::budget::Held;
use serde::de::{DeserializeOwned, Error};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The one key of the object that is recorded for a step that was held.
const HELD: &str = "heldByBudget";

/// What came of a step that spends: what its code returned, and nothing else, or why it was held.
#[derive(Debug, PartialEq)]
pub(super) enum Attempted<T> {
    Done(T),
    Held(Held),
}

impl<T: Serialize> Serialize for Attempted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Done(value) => value.serialize(serializer),
            Self::Held(held) => {
                let mut object = serializer.serialize_map(Some(1))?;
                object.serialize_entry(HELD, held)?;
                object.end()
            }
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Attempted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let recorded = Value::deserialize(deserializer)?;
        if let Some(held) = held_by(&recorded) {
            return Ok(Self::Held(held));
        }
        let value = serde_json::from_value(recorded);
        value.map(Self::Done).map_err(D::Error::custom)
    }
}

/// Why a metered step was held, if what it recorded says so.
#[must_use]
pub fn held_by(recorded: &Value) -> Option<Held> {
    let object = recorded.as_object()?;
    let held = object.get(HELD).filter(|_| object.len() == 1)?;
    Held::deserialize(held).ok()
}
