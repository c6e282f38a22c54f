//! What the example writes is what the TypeScript producer is checked against.

#[path = "../examples/schemas.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod schemas;

#[test]
fn the_types_of_the_typescript_producer_are_current() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/typescript/producer"
    );
    let changed = schemas::app().schemas().unwrap().differs_from(folder);
    assert!(
        changed.is_empty(),
        "{changed:?}: run cargo run -p stepwell --example schemas -- conformance/typescript/producer"
    );
}
