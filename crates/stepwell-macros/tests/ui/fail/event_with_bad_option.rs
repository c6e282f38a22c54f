use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b", vresion = "1")]
struct Misspelt {
    id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b")]
#[event(name = "a/c")]
struct Twice {
    id: String,
}

fn main() {}
