use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b")]
enum Choice {
    A { id: String },
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b")]
struct Tuple(String);

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b")]
struct Generic<T> {
    id: T,
}

fn main() {}
