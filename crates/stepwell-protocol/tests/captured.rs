//! What the official SDKs really sent reads as our types, and nothing of it gets lost on the way back.

use serde_json::Value;
use std::path::{Path, PathBuf};
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::op::parse_ops;
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::{Outcome, RawReply, ReplyHeaders, interpret};
use stepwell_protocol::signing::{SigningKey, verify};

/// One recorded request and its response.
struct Exchange {
    place: String,
    value: Value,
}

fn exchanges() -> Vec<Exchange> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<PathBuf> = ["typescript", "python"]
        .iter()
        .flat_map(|sdk| std::fs::read_dir(root.join(sdk)).expect("the recordings are there"))
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(files.len() > 40, "only {} recordings found", files.len());
    let mut found = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a recording can be read");
        let recording: Value = serde_json::from_str(&text).expect("a recording is JSON");
        for (index, value) in recording["exchanges"]
            .as_array()
            .expect("it has exchanges")
            .iter()
            .enumerate()
        {
            found.push(Exchange {
                place: format!("{} #{index}", path.display()),
                value: value.clone(),
            });
        }
    }
    found
}

/// The body of a recorded request or response: its exact text where it was signed, else its JSON.
fn body_of(message: &Value) -> Vec<u8> {
    match message["bodyText"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => serde_json::to_vec(&message["body"]).expect("a recorded body is JSON"),
    }
}

/// Every key and value of `part` is in `whole`; what `part` leaves out must be null or empty there.
fn assert_kept(place: &str, sent: &Value, kept: &Value) {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            for (key, value) in sent {
                match kept.get(key) {
                    Some(kept) => assert_kept(&format!("{place}.{key}"), value, kept),
                    None => assert!(value.is_null(), "{place}.{key} was lost: {value}"),
                }
            }
        }
        (Value::Array(sent), Value::Array(kept)) => {
            assert_eq!(sent.len(), kept.len(), "{place}");
            for (index, (sent, kept)) in sent.iter().zip(kept).enumerate() {
                assert_kept(&format!("{place}[{index}]"), sent, kept);
            }
        }
        (Value::Number(sent), Value::Number(kept)) => {
            assert_eq!(sent.as_f64(), kept.as_f64(), "{place}")
        }
        (Value::Null, kept) => {
            assert!(kept.is_null() || kept == "" || kept == 0, "{place}: {kept}")
        }
        (sent, kept) => assert_eq!(sent, kept, "{place}"),
    }
}

#[test]
fn every_answer_of_a_function_is_understood() {
    let mut seen = 0;
    for exchange in exchanges() {
        let response = &exchange.value["response"];
        let is_call = exchange.value["from"] == "server"
            && exchange.value["request"]["method"] == "POST"
            && !response["headers"]["x-inngest-sdk"].is_null()
            && exchange.value["request"]["url"]
                .as_str()
                .is_some_and(|url| url.contains("fnId="));
        if !is_call {
            continue;
        }
        seen += 1;
        let status = response["status"].as_u64().expect("a status is a number");
        let body = body_of(response);
        let raw = RawReply {
            status: u16::try_from(status).expect("a status is small"),
            headers: ReplyHeaders::read(|name| response["headers"][name].as_str()),
            body: body.clone(),
        };
        match (status, interpret(raw).outcome) {
            (206, Outcome::Ops(ops)) => {
                let kept = serde_json::to_value(&ops).expect("ops serialise");
                let sent: Value = serde_json::from_slice(&body).expect("the body is JSON");
                for (index, sent) in sent.as_array().expect("a list of ops").iter().enumerate() {
                    for key in [
                        "id",
                        "op",
                        "name",
                        "displayName",
                        "data",
                        "error",
                        "opts",
                        "userland",
                    ] {
                        if !sent[key].is_null() {
                            assert_kept(
                                &format!("{} op {index} {key}", exchange.place),
                                &sent[key],
                                &kept[index][key],
                            );
                        }
                    }
                }
                assert_eq!(
                    parse_ops(&serde_json::to_vec(&kept).unwrap())
                        .unwrap()
                        .len(),
                    ops.len()
                );
            }
            (200, Outcome::Returned(_)) | (400.., Outcome::Failed(_)) => {}
            (status, outcome) => panic!("{}: {status} was read as {outcome:?}", exchange.place),
        }
    }
    assert!(seen > 60, "only {seen} answers found");
}

#[test]
fn every_registration_is_understood() {
    let mut seen = 0;
    for exchange in exchanges() {
        let request = &exchange.value["request"];
        if exchange.value["from"] == "server"
            || !request["url"]
                .as_str()
                .is_some_and(|url| url.contains("/fn/register"))
        {
            continue;
        }
        seen += 1;
        let body = body_of(request);
        let registration = Registration::parse(&body)
            .unwrap_or_else(|error| panic!("{}: {error}", exchange.place));
        assert!(!registration.functions.is_empty(), "{}", exchange.place);
        let sent = request["body"]["functions"]
            .as_array()
            .expect("functions are a list");
        assert_eq!(sent.len(), registration.functions.len());
        for (sent, function) in sent.iter().zip(&registration.functions) {
            assert_eq!(sent["id"], function.id.as_str());
            assert_eq!(
                sent["triggers"].as_array().map_or(0, Vec::len),
                function.triggers.len()
            );
        }
    }
    assert!(seen >= 2, "only {seen} registrations found");
}

#[test]
fn every_call_that_the_sdks_took_is_one_of_ours() {
    for exchange in exchanges() {
        let request = &exchange.value["request"];
        if exchange.value["from"] == "server" && request["body"]["ctx"].is_object() {
            let body = body_of(request);
            let call = CallRequest::parse(&body)
                .unwrap_or_else(|error| panic!("{}: {error}", exchange.place));
            let kept: Value = serde_json::from_slice(&call.to_json()).expect("a call is JSON");
            assert_kept(&exchange.place, &request["body"], &kept);
        }
    }
}

#[test]
fn signatures_of_the_sdks_verify() {
    let key = SigningKey::new("signkey-test-00112233445566778899aabbccddeeff");
    let mut seen = 0;
    for exchange in exchanges() {
        for message in [&exchange.value["request"], &exchange.value["response"]] {
            let Some(header) = message["headers"]["x-inngest-signature"].as_str() else {
                continue;
            };
            if message["bodyText"].is_null() {
                continue;
            }
            let time = header
                .trim_start_matches("t=")
                .split('&')
                .next()
                .and_then(|time| time.parse().ok());
            let verified = verify(
                [&key],
                Some(header),
                &body_of(message),
                time.expect("a signature has a time"),
            );
            assert!(verified.is_ok(), "{}: {verified:?}", exchange.place);
            seen += 1;
        }
    }
    assert!(seen >= 2, "only {seen} signatures found");
}
