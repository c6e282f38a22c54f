//! What publishers send, and what reaches subscribers.

use super::client::{Events, Socket};
use crate::server::{Answer, Server, soon};
use futures::StreamExt;
use futures::channel::mpsc;
use reqwest::Method;
use serde_json::{Value, json};
use std::convert::Infallible;

async fn publish(server: &Server, query: &str, body: impl Into<reqwest::Body>) {
    let answer = server
        .post(&format!("/v1/realtime/publish?{query}"), body)
        .await;
    assert_eq!((answer.status, &*answer.text), (200, ""));
}

#[tokio::test]
async fn a_message_reaches_the_subscribers_of_its_topic_over_both_transports() {
    let server = Server::start().await;
    let mut socket = Socket::subscribe(&server, "user:1", &["news", "tips"]).await;
    let mut events = Events::subscribe(&server, "user:1", &["news", "tips"]).await;
    publish(&server, "channel=user:1&topic=secret", "0").await;
    publish(&server, "channel=user:2&topic=news", "0").await;
    let run = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let metadata = "%7B%22a%22%3A1%7D";
    publish(
        &server,
        &format!("channel=user:1&topic=news&run_id={run}&metadata={metadata}"),
        r#"{"größe": [1, null]}"#,
    )
    .await;
    publish(
        &server,
        "channel=user%3A1&topic=tips&topic=news",
        "plain \"text\"",
    )
    .await;
    for next in [socket.next().await, events.next().await] {
        assert!(
            next["created_at"].as_str().unwrap().ends_with('Z'),
            "{next}"
        );
        let mut rest = next.clone();
        rest.as_object_mut().unwrap().remove("created_at");
        assert_eq!(
            rest,
            json!({
                "kind": "data", "channel": "user:1", "topic": "news", "run_id": run, "metadata": {"a": 1},
                "env_id": "00000000-0000-4000-b000-000000000000", "data": {"größe": [1, null]},
            })
        );
    }
    for topic in ["tips", "news"] {
        for next in [socket.next().await, events.next().await] {
            assert_eq!(
                (&next["topic"], &next["data"]),
                (&json!(topic), &json!("plain \"text\""))
            );
        }
    }
}

#[tokio::test]
async fn without_a_channel_the_runs_is_meant() {
    let server = Server::start().await;
    let run = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut socket = Socket::subscribe(&server, run, &["progress"]).await;
    publish(
        &server,
        &format!("channel=&run_id={run}&topic=progress"),
        "",
    )
    .await;
    let next = socket.next().await;
    assert_eq!((&next["channel"], &next["data"]), (&json!(run), &json!("")));
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let server = Server::start().await;
    let long = "x".repeat(1025);
    let check = async |query: &str, body: Vec<u8>, why: &str| {
        let answer = server
            .post(&format!("/v1/realtime/publish?{query}"), body)
            .await;
        assert_eq!(answer.refusal(400), format!("Invalid request: {why}"));
    };
    let one = || b"1".to_vec();
    check("topic=t", one(), "channel is missing").await;
    check("channel=c", one(), "topic is missing").await;
    check("channel=c&topic=t&topic=", one(), "topic is missing").await;
    check(
        "channel=c&topic=$run",
        one(),
        "only the server publishes to the topic $run",
    )
    .await;
    check(
        "channel=c&topic=$step",
        one(),
        "only the server publishes to the topic $step",
    )
    .await;
    check(
        &format!("channel={long}&topic=t"),
        one(),
        "channel has more than 1024 bytes",
    )
    .await;
    let large = vec![b'x'; 512 * 1024 + 1];
    check(
        "channel=c&topic=t",
        large,
        "a message has at most 524288 bytes",
    )
    .await;
    check(
        "channel=c&topic=t",
        vec![0xff],
        "the body is not text (UTF-8)",
    )
    .await;
    let answer = server
        .post("/v1/realtime/publish?channel=c&topic=t&metadata=%7B", "1")
        .await;
    assert!(
        answer
            .refusal(400)
            .starts_with("Invalid request: metadata is not JSON")
    );
    let answer = server.post("/v1/realtime/publish/tee", "1").await;
    assert_eq!(answer.refusal(400), "Invalid request: channel is missing");
    publish(&server, "channel=c&topic=t", vec![b'x'; 512 * 1024]).await;
}

/// A body that a test writes bit by bit.
fn written() -> (mpsc::UnboundedSender<&'static str>, reqwest::Body) {
    let (write, parts) = mpsc::unbounded();
    let parts = parts.map(Ok::<_, Infallible>);
    (write, reqwest::Body::wrap_stream(parts))
}

async fn post(server: &Server, path: String, kind: &str, body: reqwest::Body) -> Answer {
    let headers = [("content-type", kind)];
    server.request(Method::POST, &path, &headers, body).await
}

#[tokio::test]
async fn a_stream_arrives_in_chunks_while_it_is_written() {
    let server = Server::start().await;
    let mut socket = Socket::subscribe(&server, "c", &["t"]).await;
    let (write, body) = written();
    let path = "/v1/realtime/publish?channel=c&topic=t&run_id=r".to_owned();
    let read = async {
        let start = socket.next().await;
        assert_eq!(start["kind"], "datastream-start");
        let id = start["data"].as_str().unwrap().to_owned();
        for part in ["first", "größe"] {
            write.unbounded_send(part).unwrap();
            assert_eq!(
                socket.next().await,
                json!({
                    "kind": "chunk", "stream_id": id, "data": part, "channel": "c", "topic": "t", "run_id": "r",
                })
            );
        }
        let long: &str = Box::leak("é".repeat(1000).into_boxed_str());
        write.unbounded_send(long).unwrap();
        drop(write);
        let (one, two) = (socket.next().await, socket.next().await);
        assert_eq!(one["data"].as_str().unwrap().len(), 1024);
        assert_eq!(two["data"].as_str().unwrap().len(), 976);
        let end = socket.next().await;
        assert_eq!(
            (&end["kind"], &end["data"]),
            (&json!("datastream-end"), &json!(id))
        );
    };
    let (answer, ()) = tokio::join!(
        post(&server, path, "text/stream; charset=utf-8", body),
        read
    );
    assert_eq!((answer.status, &*answer.text), (200, ""));
}

#[tokio::test]
async fn a_stream_whose_publisher_goes_away_ends() {
    let server = Server::start().await;
    let mut socket = Socket::subscribe(&server, "c", &["t"]).await;
    let (write, body) = written();
    write.unbounded_send("half").unwrap();
    let path = "/v1/realtime/publish?channel=c&topic=t".to_owned();
    let kinds = {
        let sending = std::pin::pin!(post(&server, path, "text/stream", body));
        let read = async { [socket.next().await, socket.next().await] };
        match futures::future::select(sending, std::pin::pin!(read)).await {
            futures::future::Either::Right((read, _)) => read.map(|next| next["kind"].clone()),
            futures::future::Either::Left((answer, _)) => panic!("{answer:?}"),
        }
    };
    assert_eq!(kinds, ["datastream-start", "chunk"]);
    // The request is given up by now.
    assert_eq!(socket.next().await["kind"], "datastream-end");
}

#[tokio::test]
async fn what_a_run_streams_is_passed_on_as_it_is_to_those_who_follow_it() {
    let server = Server::start().await;
    let mut events = Events::subscribe(&server, "c", &["$stream"]).await;
    let mut socket = Socket::subscribe(&server, "c", &["$stream"]).await;
    let mut other = Events::subscribe(&server, "c", &["t"]).await;
    let (write, body) = written();
    let path = "/v1/realtime/publish/tee?channel=c".to_owned();
    let read = async {
        write.unbounded_send("event: a\nda").unwrap();
        publish(&server, "channel=c&topic=$stream", "1").await;
        assert_eq!(
            events.next().await["data"],
            1,
            "nothing ends up within an event"
        );
        assert_eq!(socket.next().await["data"], 1);
        write.unbounded_send("ta: {\"x\":1}\n\n").unwrap();
        assert_eq!(
            events.next_raw().await.unwrap(),
            "event: a\ndata: {\"x\":1}"
        );
        assert_eq!(socket.next_text().await, "event: a\ndata: {\"x\":1}\n\n");
        drop(write);
    };
    let (answer, ()) = tokio::join!(post(&server, path, "application/octet-stream", body), read);
    assert_eq!((answer.status, &*answer.text), (200, ""));
    publish(&server, "channel=c&topic=t", "2").await;
    assert_eq!(other.next().await["data"], 2, "it was not told the stream");
}

#[tokio::test]
async fn a_stream_has_its_limit() {
    let server = Server::start().await;
    let part = "x".repeat(1024 * 1024);
    let part: &'static str = Box::leak(part.into_boxed_str());
    for path in ["publish/tee?channel=c", "publish?channel=c&topic=t"] {
        let parts = futures::stream::iter((0..17).map(move |_| Ok::<_, Infallible>(part)));
        let body = reqwest::Body::wrap_stream(parts);
        let answer = post(&server, format!("/v1/realtime/{path}"), "text/stream", body).await;
        assert_eq!(
            answer.refusal(400),
            "Invalid request: a stream has at most 16777216 bytes"
        );
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off_and_others_hear_everything() {
    let server = Server::start().await;
    let slow = Socket::subscribe(&server, "c", &["t"]).await;
    let mut fast = Socket::subscribe(&server, "c", &["t"]).await;
    let mut fast_events = Events::subscribe(&server, "c", &["t"]).await;
    // More than its queue and the buffers of both kernels hold.
    let large = "x".repeat(500 * 1024);
    for number in 0..60 {
        let body = json!({"number": number, "large": large}).to_string();
        publish(&server, "channel=c&topic=t", body).await;
        assert_eq!(fast.next().await["data"]["number"], number);
        assert_eq!(fast_events.next().await["data"]["number"], number);
    }
    // What it can still read ends with the reason, or breaks off if not even that got through.
    if let Some(close) = slow.closed().await {
        assert_eq!(u16::from(close.code), 1013);
        assert!(close.reason.as_str().starts_with("too slow"), "{close:?}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_not_waited_for() {
    let server = Server::start().await;
    let socket = Socket::subscribe(&server, "c", &["t"]).await;
    assert!(socket.announce(1024 * 1024).await);
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let server = Server::start().await;
    let mut socket = Socket::subscribe(&server, "c", &["t"]).await;
    let mut events = Events::subscribe(&server, "c", &["t"]).await;
    publish(&server, "channel=c&topic=t", "1").await;
    let told = async {
        assert_eq!(socket.next().await["data"], 1);
        assert_eq!(
            socket.next().await,
            json!({"kind": "closing", "data": Value::Null})
        );
        let close = socket.closed().await.expect("there is a reason");
        assert_eq!(
            (u16::from(close.code), close.reason.as_str()),
            (1001, "closing")
        );
        assert_eq!(events.next().await["data"], 1);
        assert_eq!(events.next_raw().await, None);
    };
    soon("it stops", async { tokio::join!(server.stop(), told) }).await;
}
