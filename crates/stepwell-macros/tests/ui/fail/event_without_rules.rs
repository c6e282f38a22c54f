use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "a/b", validate)]
struct NoRules {
    id: String,
}

fn main() {}
