//! `POST /e/{key}`: what is taken in, what is refused, and how.

use crate::app::{App, returned};
use crate::server::{Answer, Server, Setup, function, soon};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::mpsc;
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_store::{Pruned, Slice, Store, StoreError, Writer, memory};

const SHAPE: &str = "Request body must contain an event object or an array of event objects";
const EVENT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The events that the server has, oldest first.
async fn stored(server: &Server) -> Vec<Value> {
    let answer = server.get("/v1/events?limit=51").await.expect(200);
    let mut events = answer["data"].as_array().expect("it is a list").clone();
    events.reverse();
    events
}

fn ids(answer: &Answer) -> Vec<String> {
    serde_json::from_value(answer.json()["ids"].clone()).expect("ids are a list of texts")
}

/// Sends a body that must be refused with this text, after this many events of it were taken in.
async fn refused(body: impl Into<Vec<u8>>, taken_in: usize, error: &str) {
    let server = Server::start().await;
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let answer = server.post("/e/test", body).await;
    assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
    let ids = ids(&answer);
    assert_eq!(
        answer.json(),
        json!({"ids": ids, "status": 400, "error": error}),
        "{shown}"
    );
    let stored = stored(&server).await;
    let stored: Vec<&str> = stored
        .iter()
        .filter_map(|event| event["internal_id"].as_str())
        .collect();
    assert_eq!(stored, ids, "{shown}");
    assert_eq!(ids.len(), taken_in, "{shown}");
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_its_reason() {
    for (body, error) in [
        (r#"{"data":{}}"#, "event name is empty"),
        (r#"{"name":"","data":{}}"#, "event name is empty"),
        (r#"{"name":null}"#, "event name is empty"),
        (
            r#"{"name":"inngest/function.finished"}"#,
            "event name is reserved for internal use: inngest/function.finished",
        ),
        (
            r#"{"name":"InnGest/x"}"#,
            "event name is reserved for internal use: InnGest/x",
        ),
        (
            r#"{"name":"a","data":[1]}"#,
            "invalid event: data: expected an object",
        ),
        (
            r#"{"name":"a","data":"text"}"#,
            "invalid event: data: expected an object",
        ),
        (
            r#"{"name":"a","ts":"soon"}"#,
            r#"invalid event: ts: expected milliseconds since 1970 as an integer, found "soon""#,
        ),
        (r#"{"name":"a","ts":1}"#, "timestamp is before Jan 1, 1980"),
        (
            r#"{"name":"a","ts":5000000000000}"#,
            "timestamp is after Jan 1, 2100",
        ),
        ("", SHAPE),
        ("not json", SHAPE),
        (r#""a text""#, SHAPE),
        ("17", SHAPE),
        ("null", SHAPE),
        ("name=shop%2Forder&total=3", SHAPE),
        (
            "--x\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\nshop/order\r\n--x--",
            SHAPE,
        ),
    ] {
        if body.is_empty() {
            continue;
        }
        refused(body, 0, error).await;
    }
    refused([b'{', 0xff, b'}'], 0, SHAPE).await;
}

#[tokio::test]
async fn a_wrong_type_is_named_with_its_place() {
    let server = Server::start().await;
    for (body, place) in [
        (r#"{"name":17}"#, "invalid event: name: "),
        (r#"{"name":"a","id":17}"#, "invalid event: id: "),
        (r#"{"name":"a","v":{}}"#, "invalid event: v: "),
        (r#"{"name":"a","meta":[]}"#, "invalid event: meta: "),
        (r#"{"name":"a","#, "invalid event: "),
        (r#"{"name":"a"} trailing"#, "invalid event: "),
        ("[17]", "invalid event: "),
        (r#"[["a"]]"#, "invalid event: "),
    ] {
        let answer = server.post("/e/test", body).await.expect(400);
        let error = answer["error"].as_str().unwrap();
        assert!(error.starts_with(place), "{body}: {error}");
        assert!(error.len() > place.len(), "{body}: {error}");
    }
    assert_eq!(stored(&server).await, [Value::Null; 0]);
}

#[tokio::test]
async fn what_comes_before_the_first_bad_event_is_taken_in() {
    refused(
        r#"[{"name":"a"},{"name":"b"},{"data":{}},{"name":"c"}]"#,
        2,
        "event name is empty",
    )
    .await;
    let server = Server::start().await;
    let answer = server
        .post("/e/test", r#"[{"name":"a"}, {"name":"b", oops"#)
        .await;
    let error = answer.expect(400)["error"].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("the body is not a JSON array of events: "),
        "{error}"
    );
    assert_eq!(ids(&answer).len(), 1);
    assert_eq!(stored(&server).await.len(), 1);
}

#[tokio::test]
async fn nothing_sent_is_nothing_wrong() {
    let server = Server::start().await;
    for (body, ids) in [("", json!([""])), (" \n", json!([""])), ("[]", json!([]))] {
        let answer = server.post("/e/test", body).await.expect(200);
        assert_eq!(answer, json!({"ids": ids, "status": 200}), "{body:?}");
    }
    assert_eq!(stored(&server).await, [Value::Null; 0]);
}

#[tokio::test]
async fn an_event_is_kept_as_functions_will_get_it() {
    let server = Server::start().await;
    let event = json!({
        "name": "shop/order.placed", "id": "order-1", "ts": 1_700_000_000_000_i64, "v": "2", "user": {"id": 7},
        "data": {"total": 3, "_inngest": {"forged": true}}, "unknown": true,
    });
    let id = server.send(event).await;
    let kept = server.get(&format!("/v1/events/{id}")).await.expect(200)["data"].take();
    assert_eq!(kept["internal_id"], id);
    for (field, value) in [
        ("name", json!("shop/order.placed")),
        ("id", json!("order-1")),
        ("ts", json!(1_700_000_000_000_i64)),
        ("v", json!("2")),
        ("user", json!({"id": 7})),
        ("data", json!({"total": 3})),
        ("unknown", Value::Null),
    ] {
        assert_eq!(kept[field], value, "{field}");
    }
    let id = server.send(json!({"name": "bare"})).await;
    let kept = server.get(&format!("/v1/events/{id}")).await.expect(200)["data"].take();
    assert_eq!(
        (&kept["id"], &kept["data"], &kept["user"]),
        (&json!(id), &json!({}), &json!({}))
    );
    assert!(kept["ts"].as_i64().unwrap() > 1_700_000_000_000);
}

/// An event of exactly this many bytes.
fn event_of(bytes: usize) -> String {
    let frame = json!({"name": "a", "data": {"text": ""}}).to_string().len();
    json!({"name": "a", "data": {"text": "x".repeat(bytes - frame)}}).to_string()
}

#[tokio::test]
async fn an_event_has_a_largest_size() {
    let server = Server::start().await;
    server
        .post("/e/test", event_of(EVENT_BYTES_MAX))
        .await
        .expect(200);
    let over = EVENT_BYTES_MAX + 1;
    let error =
        format!("Event is over the max size: Max {EVENT_BYTES_MAX} bytes / Size {over} bytes");
    refused(event_of(over), 0, &error).await;
    refused(format!("[{},{}]", event_of(100), event_of(over)), 1, &error).await;
    let name = "n".repeat(513);
    server.send(json!({"name": &name[..512]})).await;
    refused(
        json!({"name": name}).to_string(),
        0,
        "event name is over the max size: Max 512 bytes / Size 513 bytes",
    )
    .await;
}

#[tokio::test]
async fn a_request_has_a_largest_number_of_events() {
    let events = |count: usize| {
        let events: Vec<Value> = (0..count)
            .map(|n| json!({"name": "a", "data": {"n": n}}))
            .collect();
        Value::from(events).to_string()
    };
    let server = Server::start().await;
    let answer = server.post("/e/test", events(5_000)).await;
    answer.expect(200);
    let ids = ids(&answer);
    assert_eq!(ids.len(), 5_000);
    assert!(
        ids.is_sorted_by(|a, b| a < b),
        "ids are in order, and none comes twice"
    );
    let last = server
        .get(&format!("/v1/events/{}", ids[4_999]))
        .await
        .expect(200);
    assert_eq!(last["data"]["data"]["n"], 4_999);
    refused(
        events(5_001),
        0,
        "Cannot have more than 5000 events in a batch",
    )
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    for (path, bytes_max) in [
        ("/e/test", 64 * 1024 * 1024),
        ("/fn/register", 16 * 1024 * 1024),
        (
            "/v1/checkpoint/01JZXQ2M5N1V8Q7T7Q0000000A/async",
            10 * 1024 * 1024,
        ),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let length = bytes_max + 1;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("the server answers", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let expected = json!({
            "error": format!("the request's body is larger than {bytes_max} bytes; send it in parts"),
            "data": null, "status": 413,
        });
        assert!(answer.ends_with(&expected.to_string()), "{answer}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_up_to_the_limit() {
    let server = Server::start().await;
    let chunk = bytes::Bytes::from(vec![b' '; 1024 * 1024]);
    let chunks = |count| {
        futures::stream::iter((0..count).map({
            let chunk = chunk.clone();
            move |_| Ok::<_, std::io::Error>(chunk.clone())
        }))
    };
    let answer = server
        .post("/fn/register", reqwest::Body::wrap_stream(chunks(16)))
        .await;
    assert_eq!(answer.status, 400);
    let answer = server
        .post("/fn/register", reqwest::Body::wrap_stream(chunks(17)))
        .await;
    answer.refusal(413);
}

#[tokio::test]
async fn a_seed_makes_the_same_ids_again_and_no_second_run() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let server = Server::start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let body = r#"[{"name":"go","data":{"n":1}},{"name":"go","data":{"n":2}}]"#;
    let seed = ("x-inngest-event-id-seed", "1743130137367,eii2YKXRVTJPuA==");
    let mut sent = Vec::new();
    for _ in 0..2 {
        let answer = server.request(Method::POST, "/e/test", &[seed], body).await;
        answer.expect(200);
        sent.push(ids(&answer));
    }
    assert_eq!(sent[0], sent[1]);
    assert_ne!(sent[0][0], sent[0][1]);
    for id in &sent[0] {
        let made_at = id
            .parse::<stepwell_protocol::EventId>()
            .unwrap()
            .timestamp_ms();
        assert_eq!(made_at, 1_743_130_137_367);
        server.ended(id).await;
    }
    assert_eq!(app.count(), 2);
    assert_eq!(stored(&server).await.len(), 2);

    for seed in [
        "",
        "x",
        "1743130137367",
        "1743130137367,eii2",
        "-1,eii2YKXRVTJPuA==",
    ] {
        let seed = ("x-inngest-event-id-seed", seed);
        let answer = server
            .request(Method::POST, "/e/test", &[seed], r#"{"name":"other"}"#)
            .await;
        answer.expect(200);
        assert!(!sent[0].contains(&ids(&answer)[0]), "{seed:?}");
    }
}

#[tokio::test]
async fn an_event_sent_again_with_its_id_starts_nothing_more() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let server = Server::start().await;
    let functions = [
        function("app-f", "go", &app.url, 0),
        function("app-g", "go", &app.url, 0),
    ];
    server.register("app", &app, &functions).await;
    let event = json!({"name": "go", "id": "order-1"});
    let first = server.send(event.clone()).await;
    let second = server.send(event.clone()).await;
    assert_ne!(first, second);
    let both = server
        .post(
            "/e/test",
            json!([event, {"name": "go", "id": "order-2"}]).to_string(),
        )
        .await;
    let both = ids(&both);
    assert_eq!(server.all_ended(&first).await.len(), 2);
    assert_eq!(server.all_ended(&both[1]).await.len(), 2);
    assert!(server.runs(&second).await.is_empty() && server.runs(&both[0]).await.is_empty());
    assert_eq!(app.count(), 4);
    assert_eq!(stored(&server).await.len(), 4, "every event is kept");
}

/// Holds commits that bring events until it is let go.
#[derive(Debug)]
struct Gate {
    writer: Box<dyn Writer>,
    entered: tokio::sync::mpsc::UnboundedSender<()>,
    go: mpsc::Receiver<()>,
}

impl Writer for Gate {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes
            .iter()
            .any(|change| matches!(change, Change::EventPut(_)))
        {
            self.entered.send(()).expect("the test listens");
            self.go.recv().expect("the test lets it go");
        }
        self.writer.commit(changes)
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.writer.probe(bytes)
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.writer.load(now)
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.writer.prune(slice)
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        self.writer.bytes_used()
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.writer.give_back()
    }
}

#[tokio::test]
async fn an_event_is_acknowledged_and_acted_on_only_once_it_is_durable() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let Store { writer, reader } = memory::open();
    let ((entered, mut commits), (let_go, go)) =
        (tokio::sync::mpsc::unbounded_channel(), mpsc::channel());
    let server = Setup {
        store: Store {
            writer: Box::new(Gate {
                writer,
                entered,
                go,
            }),
            reader,
        },
        ..Setup::default()
    };
    let server = server.start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let mut sent = Box::pin(server.send(json!({"name": "go"})));
    let commit = soon("the commit begins", async {
        tokio::select! {
            biased;
            _ = &mut sent => panic!("it was acknowledged before its commit began"),
            commit = commits.recv() => commit,
        }
    });
    commit.await.expect("the writer is there");
    // The server answers others meanwhile, and by then would have answered this one.
    for _ in 0..20 {
        server.get("/health").await.expect(200);
        assert!(
            futures::poll!(&mut sent).is_pending(),
            "it was acknowledged before it was durable"
        );
    }
    assert_eq!(
        app.count(),
        0,
        "a function was called before its event was durable"
    );
    assert_eq!(stored(&server).await, [Value::Null; 0]);
    let_go.send(()).expect("the writer waits");
    let event = sent.await;
    server.ended(&event).await;
}
