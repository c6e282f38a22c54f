//! What a verdict says, in words.

use crate::table::text;
use serde_json::Value;
use stepwell_protocol::span::format_moment_ms;

/// Why an event did, or did not, start a function.
pub(super) fn explain(row: &Value) -> String {
    let run = || text(row, "/run");
    match text(row, "/verdict").as_str() {
        "started" => {
            let standing = waits(&row["waits"]);
            format!("run {} is {}{standing}", run(), text(row, "/status"))
        }
        "filtered" => {
            let read = row["values"].as_array().into_iter().flatten();
            let read: Vec<String> = read
                .map(|pair| format!("{} is {}", text(pair, "/0"), text(pair, "/1")))
                .collect();
            let read = if read.is_empty() {
                String::new()
            } else {
                format!(": {}", read.join(", "))
            };
            format!("`{}` is not met{read}", text(row, "/part"))
        }
        "debounced" => format!("waits for others to stop coming{}", until(row)),
        "superseded" => "another event of its debounce window took its place".to_owned(),
        "batched" => format!("waits to share a run with others{}", until(row)),
        "batch-key-invalid" => "the batch's key fails for it".to_owned(),
        "rate-limited" => format!("one too many for '{}'", text(row, "/key")),
        "duplicate" => format!("the function had an event of this id before, run {}", run()),
        "skipped" => format!(
            "made run {}, which was skipped: {}",
            run(),
            text(row, "/cause")
        ),
        _ => row.to_string(),
    }
}

fn until(row: &Value) -> String {
    let ms = row["closesMs"].as_i64();
    ms.map_or_else(String::new, |ms| {
        format!(", until {} at the latest", format_moment_ms(ms))
    })
}

/// What an unfinished run waits for, after a comma.
pub(in crate::commands) fn waits(standing: &Value) -> String {
    match text(standing, "/for").as_str() {
        "time" => format!(", waits until {}", text(standing, "/until")),
        "event" => format!(", waits for an event until {}", text(standing, "/until")),
        "call" => ", a call is in flight".to_owned(),
        "worker" => {
            let again = text(standing, "/until");
            let app = text(standing, "/app");
            let waits = format!(", waits for a worker of {app} with room");
            match again.as_str() {
                "" => waits,
                again => format!("{waits}, looks again at {again}"),
            }
        }
        "turn" if standing["paused"] == true => ", its function is paused".to_owned(),
        "turn" => {
            let ahead = standing["ahead"].as_u64().unwrap_or(0);
            let throttled = text(standing, "/throttled_until");
            if throttled.is_empty() {
                format!(", waits for its turn behind {ahead}")
            } else {
                format!(", throttled until {throttled}")
            }
        }
        _ => String::new(),
    }
}
