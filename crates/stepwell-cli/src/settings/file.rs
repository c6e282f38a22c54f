//! The configuration file: keys with a value or a list of values, in YAML, JSON or TOML. Every key knows its line.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::path::Path;

/// A file of settings has a few lines.
const BYTES_MAX: u64 = 1024 * 1024;

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a key has; numbers and truths as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// As if the key were not there.
    Nothing,
    One(String),
    Many(Vec<String>),
    /// Something that no setting takes.
    Nested,
}

/// Reads a file; an error names it and the line.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let name = path.display();
    let cannot = |error: &dyn fmt::Display| format!("cannot read {name}: {error}");
    let bytes = std::fs::metadata(path)
        .map_err(|error| cannot(&error))?
        .len();
    if bytes > BYTES_MAX {
        return Err(cannot(&"it has more than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let read = match extension {
        Some("json") => json(text),
        Some("toml") => toml(text),
        // JSON is YAML, too.
        _ => yaml(text),
    };
    read.map_err(|Problem { line, message }| match line {
        Some(line) => format!("{name}:{line}: {message}"),
        None => format!("{name}: {message}"),
    })
}

#[derive(Debug)]
struct Problem {
    line: Option<usize>,
    message: String,
}

const SHAPE: &str = "expected keys with values, such as `port: 8288`";

fn yaml(text: &str) -> Result<Vec<Entry>, Problem> {
    let mut reader = Yaml {
        events: Parser::new_from_str(text),
    };
    let mut entries = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(entries),
            (Event::MappingStart(..), _) => break,
            (Event::Scalar(text, style, ..), _) if is_nothing(&text, style) => {}
            (_, line) => return Err(at(line, SHAPE)),
        }
    }
    loop {
        match reader.next()? {
            (Event::MappingEnd, _) => return Ok(entries),
            (Event::Scalar(key, ..), line) => {
                let key = key.into_owned();
                let value = reader.value()?;
                entries.push(Entry { key, line, value });
            }
            (_, line) => return Err(at(line, SHAPE)),
        }
    }
}

struct Yaml<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Yaml<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Problem> {
        match self.events.next() {
            None => Ok((Event::StreamEnd, 0)),
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(at(error.marker().line(), error.info())),
        }
    }

    fn value(&mut self) -> Result<Value, Problem> {
        match self.next()? {
            (Event::Scalar(text, style, ..), _) if is_nothing(&text, style) => Ok(Value::Nothing),
            (Event::Scalar(text, ..), _) => Ok(Value::One(text.into_owned())),
            (Event::SequenceStart(..), _) => {
                let mut values = Vec::new();
                let mut nested = false;
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (Event::Scalar(text, ..), _) => values.push(text.into_owned()),
                        (event, _) => {
                            nested = true;
                            self.skip(&event)?;
                        }
                    }
                }
                Ok(if nested {
                    Value::Nested
                } else {
                    Value::Many(values)
                })
            }
            (Event::Alias(_), line) => {
                Err(at(line, "aliases (*name) are not read; repeat the value"))
            }
            (event, _) => {
                self.skip(&event)?;
                Ok(Value::Nested)
            }
        }
    }

    /// Passes over the rest of what an event has begun.
    fn skip(&mut self, first: &Event<'_>) -> Result<(), Problem> {
        let opens =
            |event: &Event<'_>| matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        let mut depth = usize::from(opens(first));
        while depth > 0 {
            let (event, _) = self.next()?;
            if opens(&event) {
                depth += 1;
            } else if matches!(event, Event::MappingEnd | Event::SequenceEnd) {
                depth -= 1;
            }
        }
        Ok(())
    }
}

fn is_nothing(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn at(line: usize, message: impl Into<String>) -> Problem {
    Problem {
        line: Some(line),
        message: message.into(),
    }
}

fn json(text: &str) -> Result<Vec<Entry>, Problem> {
    /// The keys of an object with their values' texts, in order.
    struct Pairs<'a>(Vec<(String, &'a RawValue)>);
    impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Pairs<'de>;
                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str("an object, such as {\"port\": 8288}")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }
    let Pairs(pairs) =
        serde_json::from_str(text).map_err(|error| at(error.line(), error.to_string()))?;
    let entries = pairs.into_iter().map(|(key, value)| {
        // A value is a part of the text, so where it begins says in which line it is.
        let offset = value.get().as_ptr().addr() - text.as_ptr().addr();
        let line = line_of(text, offset);
        let value = serde_json::from_str(value.get()).map(|value: serde_json::Value| match value {
            serde_json::Value::Null => Value::Nothing,
            serde_json::Value::Array(values) => {
                let values: Option<Vec<String>> = values.iter().map(json_scalar).collect();
                values.map_or(Value::Nested, Value::Many)
            }
            other => json_scalar(&other).map_or(Value::Nested, Value::One),
        });
        let value = value.map_err(|error| at(line, error.to_string()))?;
        Ok(Entry { key, line, value })
    });
    entries.collect()
}

fn json_scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn toml(text: &str) -> Result<Vec<Entry>, Problem> {
    let table = ::toml::de::DeTable::parse(text).map_err(|error| Problem {
        line: error.span().map(|span| line_of(text, span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries: Vec<Entry> = table
        .get_ref()
        .iter()
        .map(|(key, value)| {
            use ::toml::de::DeValue;
            let line = line_of(text, key.span().start);
            let value = match value.get_ref() {
                DeValue::Array(values) => {
                    let values: Option<Vec<String>> = values
                        .iter()
                        .map(|value| toml_scalar(value.get_ref()))
                        .collect();
                    values.map_or(Value::Nested, Value::Many)
                }
                other => toml_scalar(other).map_or(Value::Nested, Value::One),
            };
            let key = key.get_ref().clone().into_owned();
            Entry { key, line, value }
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn toml_scalar(value: &::toml::de::DeValue<'_>) -> Option<String> {
    use ::toml::de::DeValue;
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}
