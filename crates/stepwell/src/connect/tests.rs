//! Leases and replies, without a connection.

use super::api::Flushed;
use super::calls::{Calls, response};
use super::replies::Replies;
use crate::execution::CallReply;
use crate::{App, Client, Context, Error, Function};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::{ExecutorRequest, ExtendLeaseAck, ResponseStatus, SdkResponse};
use tokio::runtime::Handle;
use tokio::time::Instant;

fn runner() -> crate::Runner {
    let waits = |_: Context| async { std::future::pending::<Result<(), Error>>().await };
    let function = Function::new("waits").on_event("go").handler(waits);
    App::new(Client::dev("app"))
        .function(function)
        .runner()
        .unwrap()
}

fn request(lease: &str) -> ExecutorRequest {
    let run = ulid(1);
    let body = json!({
        "event": {"name": "go", "data": {}}, "events": [{"name": "go", "data": {}}], "steps": {}, "version": 2,
        "ctx": {"fn_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "run_id": run, "attempt": 0, "max_attempts": 1, "stack": {"stack": [], "current": 0}},
    });
    ExecutorRequest {
        request_id: "r".to_owned(),
        app_name: "app".to_owned(),
        function_slug: "app-waits".to_owned(),
        step_id: Some("step".to_owned()),
        request_payload: body.to_string().into_bytes(),
        run_id: run,
        lease_id: lease.to_owned(),
        ..ExecutorRequest::default()
    }
}

fn ulid(number: u8) -> String {
    format!("01ARZ3NDEKTSV4RRFFQ69G5F{number:02}")
}

fn ack(lease: Option<&str>) -> ExtendLeaseAck {
    ExtendLeaseAck {
        request_id: "r".to_owned(),
        new_lease_id: lease.map(str::to_owned),
        ..ExtendLeaseAck::default()
    }
}

fn asked(calls: &mut Calls) -> Vec<String> {
    calls
        .extensions()
        .map(|extension| extension.lease_id)
        .collect()
}

#[tokio::test]
async fn a_lease_that_is_lost_over_its_own_connection_ends_the_call() {
    let mut calls = Calls::new(Handle::current(), 1);
    calls.start(runner(), request("l-1"), 1);
    assert_eq!(asked(&mut calls), ["l-1"]);
    calls.extended(ack(Some("l-2")), 1, Instant::now());
    assert_eq!(asked(&mut calls), ["l-2"]);
    calls.extended(ack(None), 1, Instant::now());
    assert!(calls.is_empty());
    let ended = calls.next_ended().await.expect("its task ends");
    assert!(calls.reply(ended).is_none(), "nobody wants a reply");
}

#[tokio::test]
async fn a_call_waits_a_while_for_a_server_that_was_restarted() {
    let mut calls = Calls::new(Handle::current(), 1);
    calls.start(runner(), request("l-1"), 1);
    assert_eq!(asked(&mut calls), ["l-1"]);
    let now = Instant::now();
    calls.extended(ack(None), 2, now);
    assert!(asked(&mut calls).is_empty(), "there is nothing to extend");
    assert!(calls.adopt(&request("l-9"), 2), "the server makes it again");
    assert_eq!(asked(&mut calls), ["l-9"]);
    calls.give_up_orphans(now + Duration::from_secs(3_600));
    assert_eq!(calls.len(), 1);

    calls.extended(ack(None), 3, now);
    let due = calls.due().expect("it does not wait for ever");
    calls.give_up_orphans(due);
    assert!(calls.is_empty());
}

#[tokio::test]
async fn a_lease_that_is_extended_after_all_keeps_its_call() {
    let mut calls = Calls::new(Handle::current(), 1);
    calls.start(runner(), request("l-1"), 1);
    assert_eq!(asked(&mut calls), ["l-1"]);
    let now = Instant::now();
    calls.extended(ack(None), 2, now);
    calls.extended(ack(Some("l-2")), 2, now);
    assert_eq!(calls.due(), None, "nothing is to be given up");
    assert_eq!(asked(&mut calls), ["l-2"]);
    calls.give_up_orphans(now + Duration::from_secs(3_600));
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn what_is_said_of_a_lease_that_was_replaced_does_not_count() {
    let mut calls = Calls::new(Handle::current(), 1);
    calls.start(runner(), request("l-1"), 1);
    assert_eq!(asked(&mut calls), ["l-1"]);
    assert!(calls.adopt(&request("l-2"), 1));
    calls.extended(ack(None), 1, Instant::now());
    assert_eq!(asked(&mut calls), ["l-2"]);
}

#[test]
fn a_reply_echoes_its_call_and_stays_within_the_limit() {
    let reply = response(request("l-1"), CallReply::plain(206, b"[]".to_vec()));
    assert_eq!((&*reply.request_id, &*reply.run_id), ("r", &*ulid(1)));
    assert_eq!(reply.status(), ResponseStatus::NotCompleted);
    assert_eq!(reply.system_trace_ctx, b"{}", "flushing insists on JSON");
    let large = CallReply::plain(206, vec![b'x'; 9 * 1024 * 1024]);
    let reply = response(request("l-1"), large);
    assert_eq!(reply.status(), ResponseStatus::Error);
    let body = String::from_utf8(reply.body).unwrap();
    assert!(body.contains("output_too_large"), "{body}");
}

#[test]
fn replies_are_brought_over_http_when_nobody_acknowledges_them() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut replies = Replies::new(start);
    let reply = |id: &str| {
        Arc::new(SdkResponse {
            request_id: id.to_owned(),
            ..SdkResponse::default()
        })
    };
    for id in ["a", "b", "c"] {
        replies.keep(reply(id), Some(1), start);
    }
    replies.acknowledged("a");
    assert!(replies.round(after(1)).is_empty());
    assert!(replies.awaits(1));
    assert_eq!(replies.round(after(5)).len(), 2, "their time is over");
    let results = [("b", Flushed::Taken), ("c", Flushed::Failed)];
    let results = results.map(|(id, flushed)| (id.to_owned(), flushed));
    replies.brought(results.to_vec(), after(6));
    assert!(replies.round(after(7)).is_empty(), "not at once again");
    replies.hurry(after(8));
    assert_eq!(replies.round(after(8)).len(), 1);
    replies.failed(after(8));
    assert!(replies.round(after(9)).is_empty(), "no round after another");
    replies.hurry(after(8));

    replies.keep(reply("d"), Some(2), after(8));
    replies.unlink(2);
    assert_eq!(replies.round(after(9)).len(), 2, "its connection is gone");
    assert!(replies.round(after(700)).is_empty(), "they are too old");
    assert!(replies.is_empty());
}
