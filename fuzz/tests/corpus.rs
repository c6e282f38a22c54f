//! Everything that a fuzzer has found interesting, or has broken something with, again.

use std::fs;
use std::path::Path;

#[expect(
    clippy::print_stdout,
    reason = "shown when a test fails: the input that did it comes last"
)]
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut tried = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("the folder can be read").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("the file can be read"));
        tried += 1;
    }
    assert!(tried > 0, "{} is empty", folder.display());
}

#[test]
fn events() {
    replay("events", stepwell_fuzz::events::check);
}

#[test]
fn registrations() {
    replay("registrations", stepwell_fuzz::registrations::check);
}

#[test]
fn replies() {
    replay("replies", stepwell_fuzz::replies::check);
}

#[test]
fn expressions() {
    replay("expressions", stepwell_fuzz::expressions::check);
}

#[test]
fn signatures() {
    replay("signatures", stepwell_fuzz::signatures::check);
}

#[test]
fn requests() {
    replay("requests", stepwell_fuzz::requests::check);
}

#[test]
fn connect() {
    replay("connect", stepwell_fuzz::connect::check);
}
