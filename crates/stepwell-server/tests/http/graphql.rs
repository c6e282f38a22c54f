//! GraphQL: what the protocol's tools ask for, as they ask for it.

mod bounds;
mod changes;
mod lists;
mod reads;
mod refusals;
mod workers;

use crate::app::{App, failed, ops, returned, sleep, step_run};
use crate::server::{Answer, Server, function};
use serde_json::{Value, json};
use std::collections::HashMap;

const PAGE: &str = "edges { node { id } } pageInfo { hasNextPage endCursor }";
const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

async fn post(server: &Server, question: impl Into<reqwest::Body>) -> Answer {
    let json = [("content-type", "application/json")];
    server
        .request(reqwest::Method::POST, "/v0/gql", &json, question)
        .await
}

async fn ask(server: &Server, query: &str, variables: Value) -> Value {
    let question = json!({"query": query, "variables": variables});
    post(server, question.to_string()).await.expect(200)
}

/// What is told when nothing goes wrong.
async fn told(server: &Server, query: &str, variables: Value) -> Value {
    let mut answer = ask(server, query, variables).await;
    assert_eq!(answer["errors"], Value::Null, "{answer:#}");
    answer["data"].take()
}

/// What stays the same from run to run. Fields come in any order: names are given in that of the alphabet.
fn tidied(answer: &mut Value) {
    answer.sort_all_objects();
    tidy(answer, &mut HashMap::new());
}

/// Puts names in the place of ids and moments, which differ from run to run; what was the same stays the same.
fn tidy(value: &mut Value, names: &mut HashMap<String, String>) {
    match value {
        Value::String(text) => {
            let is_id = match text.len() {
                26 => text
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || letter.is_ascii_uppercase()),
                16 | 32 => text.chars().all(|letter| letter.is_ascii_hexdigit()),
                36 => text.matches('-').count() == 4,
                _ => {
                    text.len() >= 40
                        && !text.contains(' ')
                        && !text.contains('"')
                        && !text.contains(':')
                }
            };
            let is_moment = text.starts_with("20") && text.ends_with('Z') && text.contains('T');
            if is_id {
                let count = names.len();
                let name = names
                    .entry(text.clone())
                    .or_insert_with(|| format!("<{count}>"));
                text.clone_from(name);
            } else if is_moment {
                *text = "<moment>".to_owned();
            } else {
                for (id, name) in &*names {
                    *text = text.replace(id, name);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| tidy(value, names)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if key == "duration" && value.is_number() {
                    *value = "<ms>".into();
                }
                tidy(value, names);
            }
        }
        _ => {}
    }
}

/// A server with the app `shop`: `good` runs a step and returns, `bad` fails, `slow` sleeps for long.
async fn shop() -> (Server, App) {
    let app = App::start(|call| match &*call.query["fnId"] {
        "shop-good" if call.has("count") => returned(&json!({"n": 1})),
        "shop-good" => ops(&[step_run("count", json!(7))]),
        "shop-bad" => failed("no luck"),
        _ => ops(&[sleep("long", "300d")]),
    })
    .await;
    let server = Server::start().await;
    let functions =
        ["good", "bad", "slow"].map(|name| function(&format!("shop-{name}"), name, &app.url, 0));
    server.register("shop", &app, &functions).await;
    (server, app)
}

async fn run_of(server: &Server, event: &str) -> String {
    let run = &server.runs(event).await[0];
    run["run_id"].as_str().expect("an id").to_owned()
}

/// Holds an answer to its snapshot. The order of fields says nothing.
#[track_caller]
fn check(name: &str, answer: &Value) {
    insta::with_settings!({sort_maps => true}, {
        insta::assert_json_snapshot!(name, answer);
    });
}
