use super::*;
use crate::http_client::{HttpClient, HttpError};
use crate::moment::{Delay, Moment};
use crate::{BoxFuture, Error, EventError};
use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use stepwell_protocol::headers;

/// A status and a body, or why there is none.
type ScriptedAnswer = Result<(u16, Value), &'static str>;

/// Answers requests from a script, then as the last line of it; keeps what was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<ScriptedAnswer>>>,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
    delays: Arc<Mutex<Vec<Duration>>>,
}

impl HttpClient for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        let events: usize =
            serde_json::from_slice::<Vec<Value>>(request.body()).map_or(0, |events| events.len());
        self.requests.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 => {
                let ids: Vec<String> = (0..events)
                    .map(|n| format!("01KDW0000000000000000000{n:02}"))
                    .collect();
                Ok((200, json!({"ids": ids, "status": 200})))
            }
            1 => answers[0].clone(),
            _ => answers.remove(0),
        };
        let answer = answer
            .map_err(|reason| HttpError {
                reason: reason.to_owned(),
            })
            .map(|(status, body)| {
                Response::builder()
                    .status(status)
                    .body(Bytes::from(body.to_string()))
                    .unwrap()
            });
        Box::pin(std::future::ready(answer))
    }
}

impl Clock for Script {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_767_225_600_000)
    }

    fn delay(&self, duration: Duration) -> Delay {
        self.delays.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

fn client(script: &Script) -> Client {
    Client::builder("app", Config::dev())
        .http_client(script.clone())
        .clock(script.clone())
        .build()
}

fn event(n: u64) -> OutgoingEvent {
    OutgoingEvent::untyped("app/told", json!({"n": n}))
}

#[tokio::test]
async fn events_are_posted_with_a_seed() {
    let script = Script::default();
    let client = Client::builder(
        "app",
        Config {
            environment: Some("blue".into()),
            ..Config::dev()
        },
    )
    .http_client(script.clone())
    .clock(script.clone())
    .event_key("key")
    .build();
    let ids = client
        .send_all([event(1), event(2).id("second")])
        .await
        .unwrap();
    assert_eq!(ids.len(), 2);
    let requests = script.requests.lock().unwrap();
    let header = |name: &str| requests[0].headers()[name].to_str().unwrap();
    assert_eq!(requests[0].uri(), "http://localhost:8288/e/key");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header(headers::ENVIRONMENT), "blue");
    let seed = IdSeed::parse(header(headers::EVENT_ID_SEED)).unwrap();
    assert_eq!(seed.event_id(0).timestamp_ms(), 1_767_225_600_000);
    let body: Value = serde_json::from_slice(requests[0].body()).unwrap();
    assert_eq!(
        body,
        json!([
            {"name": "app/told", "data": {"n": 1}, "ts": 1_767_225_600_000_i64},
            {"id": "second", "name": "app/told", "data": {"n": 2}, "ts": 1_767_225_600_000_i64},
        ])
    );
}

#[tokio::test]
async fn a_send_without_answer_is_tried_again_with_the_same_seed() {
    let script = Script::default();
    *script.answers.lock().unwrap() = vec![
        Err("connection refused"),
        Ok((503, json!({"error": "full"}))),
        Ok((429, json!({}))),
        Ok((
            200,
            json!({"ids": ["01KDW000000000000000000001"], "status": 200}),
        )),
    ];
    let id = client(&script).send(event(1)).await.unwrap();
    assert_eq!(id.to_string(), "01KDW000000000000000000001");
    let requests = script.requests.lock().unwrap();
    let seeds: Vec<_> = requests
        .iter()
        .map(|request| &request.headers()[headers::EVENT_ID_SEED])
        .collect();
    assert!(seeds.len() == 4 && seeds.iter().all(|seed| *seed == seeds[0]));
    let delays = script.delays.lock().unwrap();
    for (delay, base_ms) in delays.iter().zip([100, 200, 400]) {
        let base = Duration::from_millis(base_ms);
        assert!((base..base * 2).contains(delay), "{delay:?}");
    }
}

#[tokio::test]
async fn a_send_fails_with_what_the_server_means() {
    type Case = (ScriptedAnswer, usize, &'static str);
    let cases: [Case; 8] = [
        (
            Err("connection refused"),
            5,
            "no answer from http://localhost:8288 after 5 attempts: connection refused",
        ),
        (
            Ok((500, json!("?"))),
            5,
            "the server refused the events: 500 internal server error",
        ),
        (
            Ok((401, json!({}))),
            1,
            "the server refused the events: 401 event key not found",
        ),
        (
            Ok((413, json!({}))),
            1,
            "the server refused the events: 413 event payload too large",
        ),
        (
            Ok((
                400,
                json!({"error": "event name is empty", "ids": [""], "status": 400}),
            )),
            1,
            "the server refused the events: 400 event name is empty",
        ),
        (
            Ok((418, json!("teapot"))),
            1,
            "the server refused the events: 418 \"teapot\"",
        ),
        (
            Ok((200, json!({"ids": ["x"]}))),
            1,
            "the server's answer is not understood: an id is not a ULID: invalid length",
        ),
        (
            Ok((200, json!({"ids": []}))),
            1,
            "the server's answer is not understood: no id for the event",
        ),
    ];
    for (answer, attempts, expected) in cases {
        let script = Script::default();
        *script.answers.lock().unwrap() = vec![answer];
        let error = client(&script).send(event(1)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(
            script.requests.lock().unwrap().len(),
            attempts,
            "{expected}"
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_key_or_when_one_event_is_not_valid() {
    let script = Script::default();
    let config = Config {
        mode: Mode::Cloud,
        ..Config::dev()
    };
    let cloud = Client::builder("app", config)
        .http_client(script.clone())
        .build();
    assert!(matches!(
        cloud.send(event(1)).await,
        Err(SendError::NoEventKey)
    ));
    let bad = OutgoingEvent::untyped("", json!({}));
    let error = client(&script).send_all([event(1), bad]).await.unwrap_err();
    assert!(
        matches!(error, SendError::Event(EventError::Name { .. })),
        "{error}"
    );
    assert!(
        client(&script)
            .send_all(Vec::<OutgoingEvent>::new())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(script.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_key_stays_one_segment_of_the_path_whatever_is_in_it() {
    let script = Script::default();
    let client = Client::builder("app", Config::dev())
        .http_client(script.clone())
        .event_key("a/b?c#d %é~_-.Z9")
        .build();
    client.send(event(1)).await.unwrap();
    let requests = script.requests.lock().unwrap();
    assert_eq!(
        requests[0].uri(),
        "http://localhost:8288/e/a%2Fb%3Fc%23d%20%25%C3%A9~_-.Z9"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_made_fails_at_once_and_says_why() {
    let cases = [
        (
            Config {
                environment: Some("blue\ngreen".into()),
                ..Config::dev()
            },
            "the request cannot be made: failed to parse header value; check the event URL and the environment",
        ),
        (
            Config {
                event_url: "http://not a host".into(),
                ..Config::dev()
            },
            "the request cannot be made: invalid uri character; check the event URL and the environment",
        ),
        (
            Config {
                event_url: String::new(),
                ..Config::dev()
            },
            "the request cannot be made: the event URL has no host; check the event URL and the environment",
        ),
    ];
    for (config, expected) in cases {
        let script = Script::default();
        let client = Client::builder("app", config)
            .http_client(script.clone())
            .clock(script.clone())
            .event_key("the-event-key")
            .build();
        let error = client.send(event(1)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(script.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn many_events_go_out_in_requests_within_the_limits() {
    let many = split((0..12_000).map(|n| n.to_string()).collect());
    assert_eq!(
        many.iter().map(Vec::len).collect::<Vec<_>>(),
        [5_000, 5_000, 2_000]
    );
    assert_eq!(many[2][1_999], "11999");
    let mebibyte = 1024 * 1024;
    let large = split(
        [1, 1, 1, 3, 1]
            .map(|n| "x".repeat(n * mebibyte - 10))
            .into(),
    );
    assert_eq!(large.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1]);

    let script = Script::default();
    let answer = json!({"ids": vec!["01KDW000000000000000000001"; 5_000], "status": 200});
    *script.answers.lock().unwrap() = vec![Ok((200, answer))];
    client(&script)
        .send_all((0..10_000).map(event))
        .await
        .unwrap();
    let requests = script.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_ne!(
        requests[0].headers()[headers::EVENT_ID_SEED],
        requests[1].headers()[headers::EVENT_ID_SEED]
    );
}

#[tokio::test]
async fn middleware_may_change_what_is_sent_and_refuse_it() {
    struct Stamp;
    impl Middleware for Stamp {
        fn transform_send_event(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
            for event in events {
                if event.name() == "app/secret" {
                    return Err("not to be sent".into());
                }
                event.data_mut()["stamped"] = true.into();
            }
            Ok(())
        }
    }
    let script = Script::default();
    let client = Client::builder("app", Config::dev())
        .http_client(script.clone())
        .middleware(Stamp)
        .build();
    client.send(event(1)).await.unwrap();
    let body = script.requests.lock().unwrap()[0].body().clone();
    assert!(
        std::str::from_utf8(&body)
            .unwrap()
            .contains("\"stamped\":true")
    );
    let error = client
        .send(OutgoingEvent::untyped("app/secret", json!({})))
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::Middleware(_)), "{error}");
}

#[tokio::test]
async fn api_calls_are_made_again_with_the_fallback_key() {
    let script = Script::default();
    *script.answers.lock().unwrap() = vec![Ok((401, json!({}))), Ok((200, json!([])))];
    let client = Client::builder("app", Config::dev())
        .http_client(script.clone())
        .signing_key("signkey-test-00112233445566778899aabbccddeeff")
        .signing_key_fallback("signkey-test-ff")
        .build();
    let run = "01KDW000000000000000000002".parse().unwrap();
    assert!(client.run_events(run).await.unwrap().is_empty());
    let requests = script.requests.lock().unwrap();
    assert_eq!(
        requests[0].uri(),
        "http://localhost:8288/v0/runs/01KDW000000000000000000002/batch"
    );
    let bearers: Vec<_> = requests
        .iter()
        .map(|request| &request.headers()[header::AUTHORIZATION])
        .collect();
    assert_eq!(
        bearers[0],
        "Bearer signkey-test-a8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"
    );
    assert_ne!(bearers[0], bearers[1]);
}
