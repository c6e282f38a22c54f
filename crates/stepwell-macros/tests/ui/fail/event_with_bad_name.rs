use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "inngest/function.failed")]
struct Reserved {
    id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/*")]
struct Pattern {
    id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "")]
struct Empty {
    id: String,
}

fn main() {}
