//! What the SDK says over HTTP, word for word: each snapshot is a request, what the app asked of the server's API
//! meanwhile, and the answer, with all headers.
//!
//! Whether these are the right words is for other tests to tell (`recorded.rs`, `conformance/`). These show every change.

mod exchange;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use stepwell_protocol::op::Opcode;

#[tokio::test]
async fn every_exchange_is_what_it_was() {
    let mut names = BTreeSet::new();
    let mut told = String::new();
    for exchange in table::all() {
        let name = exchange.name();
        assert!(names.insert(name), "two exchanges are named {name}");
        let text = exchange.told().await;
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(name, text);
        });
        told.push_str(&text);
    }

    for opcode in OPCODES {
        let op = format!("\"op\": \"{opcode}\"");
        assert!(told.contains(&op), "no exchange has {op}");
    }
    for header in WRITTEN {
        assert!(
            told.contains(&format!("\n{header}: ")),
            "no exchange has {header}"
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots");
    for file in fs::read_dir(folder).expect("the snapshots are there") {
        let file = file.expect("it can be read").file_name();
        let name = file.to_string_lossy();
        let name = name.trim_end_matches(".new").trim_end_matches(".snap");
        assert!(names.contains(name), "{name} is a snapshot of nothing");
    }
}

/// The ops that the SDK reports; the others are those of other SDKs.
const OPCODES: [Opcode; 13] = [
    Opcode::StepRun,
    Opcode::StepError,
    Opcode::StepFailed,
    Opcode::StepPlanned,
    Opcode::Sleep,
    Opcode::WaitForEvent,
    Opcode::WaitForSignal,
    Opcode::InvokeFunction,
    Opcode::AiGateway,
    Opcode::Gateway,
    Opcode::RunComplete,
    Opcode::DeferAdd,
    Opcode::DeferAbort,
];

/// The headers that the SDK writes.
const WRITTEN: [&str; 13] = [
    "authorization",
    "content-type",
    "retry-after",
    "user-agent",
    "x-inngest-env",
    "x-inngest-event-id-seed",
    "x-inngest-expected-server-kind",
    "x-inngest-framework",
    "x-inngest-no-retry",
    "x-inngest-req-version",
    "x-inngest-sdk",
    "x-inngest-signature",
    "x-inngest-sync-kind",
];
