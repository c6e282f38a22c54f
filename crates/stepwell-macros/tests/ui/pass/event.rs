use serde::{Deserialize, Serialize};
use stepwell::{Event, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct Plain {
    id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, garde::Validate, Event)]
#[event(name = "shop/order.paid", version = "2")]
struct Checked {
    #[garde(length(min = 1))]
    id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, garde::Validate, Event)]
#[garde(allow_unvalidated)]
#[event(name = "shop/order.sent", validate)]
struct Flagged {
    id: String,
}

fn main() {
    assert_eq!((Plain::NAME, Plain::VERSION), ("shop/order.placed", None));
    assert_eq!((Checked::NAME, Checked::VERSION), ("shop/order.paid", Some("2")));
    assert!(Plain { id: String::new() }.validate().is_ok());
    assert_eq!(Checked { id: String::new() }.validate().unwrap_err()[0].path, "id");
    assert!(Flagged { id: String::new() }.validate().is_ok());
    assert_eq!(Plain::schema().as_value()["required"][0], "id");
}
