use serde::{Deserialize, Serialize};
use stepwell::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "a/b")]
struct NoSchema {
    id: String,
}

fn main() {}
