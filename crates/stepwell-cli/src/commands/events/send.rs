//! `stepwell events send`.

use crate::client::Client;
use crate::printing;
use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use stepwell_protocol::limits;

/// Events of one request; more go in several.
const REQUEST_EVENTS_MAX: usize = 500;
/// Bytes of one request, beyond those of its first event.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest file: its events are in memory at once.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The standard input, as a file.
const STDIN: &str = "-";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The event's name. Without one, --file has whole events: an object, an array, or one object a line.
    name: Option<String>,
    /// The event's data, a JSON object; - reads the standard input.
    data: Option<String>,
    /// Read the data, or whole events, from this file; - is the standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// An id of your own: within 24 hours, an event of the same id starts a function once.
    #[arg(long, requires = "name")]
    id: Option<String>,
    /// When it happened, in milliseconds since 1970; one in the future delays the runs.
    #[arg(long, value_name = "MILLISECONDS", requires = "name")]
    ts: Option<i64>,
    /// The event key.
    #[arg(
        long,
        env = "STEPWELL_EVENT_KEY",
        value_delimiter = ',',
        default_value = "dev",
        value_name = "KEY",
        hide_env_values = true,
        help_heading = "Server"
    )]
    event_key: Vec<String>,
}

pub(super) fn run(client: &Client, arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let events = events(arguments)?;
    if events.is_empty() {
        bail!("there are no events to send");
    }
    let key = arguments.event_key.first().map_or("dev", String::as_str);
    if key != "dev" {
        client.check_channel()?;
    }
    let mut ids = Vec::with_capacity(events.len());
    for request in requests(&events) {
        let body = Value::Array(request.to_vec()).to_string();
        let answer = client.ask(Method::POST, &["e", key], &[], Some(body), false)?;
        let accepted = answer.body["ids"].as_array().cloned().unwrap_or_default();
        ids.extend(accepted);
        if !answer.status.is_success() {
            let error = if answer.status == 401 {
                anyhow::anyhow!(
                    "the server refuses the event key: give one of its own with --event-key or STEPWELL_EVENT_KEY"
                )
            } else {
                client.refused(&answer)
            };
            // What was accepted stays so.
            return Err(error.context(format!(
                "{} of {} events were sent",
                ids.len(),
                events.len()
            )));
        }
    }
    if json {
        return printing::value(&json!({"ids": ids}));
    }
    for id in &ids {
        printing::line(id.as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn events(arguments: &Arguments) -> anyhow::Result<Vec<Value>> {
    let Some(name) = &arguments.name else {
        let Some(file) = &arguments.file else {
            bail!(
                "name an event, as in `stepwell events send shop/order.placed '{{\"id\": 7}}'`, or give whole events with --file"
            );
        };
        return whole(&read(file)?, &place(file));
    };
    let (text, place) = match (&arguments.data, &arguments.file) {
        (None, None) => ("{}".to_owned(), String::new()),
        (Some(data), _) if data != STDIN => (data.clone(), "the data".to_owned()),
        (_, Some(file)) => (read(file)?, place(file)),
        (Some(_), None) => (read(Path::new(STDIN))?, place(Path::new(STDIN))),
    };
    let data: Value =
        serde_json::from_str(&text).with_context(|| format!("{place} is not JSON"))?;
    if !data.is_object() {
        bail!("{place} is not a JSON object, which an event's data must be");
    }
    let mut event = Map::new();
    event.insert("name".to_owned(), name.clone().into());
    event.insert("data".to_owned(), data);
    if let Some(id) = &arguments.id {
        event.insert("id".to_owned(), id.clone().into());
    }
    if let Some(ts) = arguments.ts {
        event.insert("ts".to_owned(), ts.into());
    }
    Ok(vec![Value::Object(event)])
}

/// Events in a text: objects and arrays of objects, one after the other.
fn whole(text: &str, place: &str) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.with_context(|| format!("{place} is not JSON"))? {
            Value::Array(values) => events.extend(values),
            value => events.push(value),
        }
    }
    for (index, event) in events.iter().enumerate() {
        if !event["name"].is_string() {
            bail!(
                "event {} of {place} is not an object with a name",
                index + 1
            );
        }
    }
    Ok(events)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", place(path));
    let mut text = String::new();
    if path == Path::new(STDIN) {
        let mut input = std::io::stdin().lock().take(FILE_BYTES_MAX);
        input.read_to_string(&mut text).with_context(cannot)?;
    } else {
        let file = std::fs::File::open(path).with_context(cannot)?;
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .with_context(cannot)?;
    }
    Ok(text)
}

fn place(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "the standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// The events in portions that the server takes.
fn requests(events: &[Value]) -> Vec<&[Value]> {
    const { assert!(REQUEST_EVENTS_MAX <= limits::EVENTS_PER_REQUEST_MAX) };
    let mut portions = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let more = event.to_string().len();
        let full = index - first >= REQUEST_EVENTS_MAX || bytes + more > REQUEST_BYTES_MAX;
        if full && index > first {
            portions.push(&events[first..index]);
            (first, bytes) = (index, 0);
        }
        bytes += more;
    }
    portions.push(&events[first..]);
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_objects_arrays_or_lines() {
        let names = |text: &str| -> Vec<String> {
            let events = whole(text, "x.json").expect("it reads");
            let names = events.iter().map(|event| event["name"].as_str());
            names
                .map(|name| name.expect("it has one").to_owned())
                .collect()
        };
        assert_eq!(names(r#"{"name":"a"}"#), ["a"]);
        assert_eq!(names(r#"[{"name":"a"},{"name":"b"}]"#), ["a", "b"]);
        assert_eq!(names("{\"name\":\"a\"}\n{\"name\":\"b\"}\n"), ["a", "b"]);
        assert_eq!(names(""), [""; 0]);
        for (text, expected) in [
            (
                "{\"name\":\"a\"}\n{\"data\":1}",
                "event 2 of x.json is not an object with a name",
            ),
            ("[1]", "event 1 of x.json is not an object with a name"),
            ("{", "x.json is not JSON"),
        ] {
            let error = whole(text, "x.json").expect_err(text).to_string();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn many_events_go_in_portions() {
        let events: Vec<Value> = (0..1_201)
            .map(|number| json!({"name": "a", "data": {"n": number}}))
            .collect();
        let portions: Vec<usize> = requests(&events)
            .iter()
            .map(|portion| portion.len())
            .collect();
        assert_eq!(portions, [500, 500, 201]);
        let large = vec![json!({"name": "a", "data": {"x": "x".repeat(3_000_000)}}); 3];
        let portions: Vec<usize> = requests(&large)
            .iter()
            .map(|portion| portion.len())
            .collect();
        assert_eq!(portions, [1, 1, 1]);
    }
}
