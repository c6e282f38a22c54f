use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
struct Nameless {
    id: String,
}

fn main() {}
