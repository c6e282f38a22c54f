//! One event, as a sender wrote it.

use serde_json::Value;
use stepwell_protocol::EventId;
use stepwell_protocol::event::accept;

const NOW_MS: i64 = 1_767_225_600_000;

/// An event that is taken in is JSON of a known form, and is taken in again as the same.
///
/// # Panics
/// When it is not.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let event = match accept(text, NOW_MS) {
        Ok(event) => event,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let id = EventId::from_bytes([7; 16]);
    let rendered = event.render(id);
    let value: Value = serde_json::from_str(rendered.get()).expect("what is rendered is JSON");
    for (key, is_right) in [
        ("data", Value::is_object as fn(&Value) -> bool),
        ("id", Value::is_string),
        ("name", Value::is_string),
        ("ts", Value::is_i64),
        ("user", Value::is_object),
    ] {
        assert!(is_right(&value[key]), "{key} of {rendered}");
    }
    assert!(
        value["data"].get("_inngest").is_none(),
        "_inngest of {rendered}"
    );
    let again = accept(rendered.get(), NOW_MS).expect("what was taken in is taken in again");
    assert_eq!(again.render(id).get(), rendered.get());
}
