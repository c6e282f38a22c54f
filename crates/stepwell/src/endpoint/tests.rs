//! Requests in, answers out. What the server says is scripted.

use super::*;
use crate::http_client::{HttpClient, HttpError};
use crate::moment::{Clock, Delay, Moment};
use crate::{Config, NonRetriable, State};
use http::{Method, StatusCode};
use serde_json::Value;
use stepwell_protocol::StepId;
use tokio::sync::Notify;

const RUN: &str = "01KDW000000000000000000002";
const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";
const ORIGIN: &str = "https://shop.example";
const NOW_MS: i64 = 1_767_225_600_000;

/// A server's API: takes all reports, or answers with this instead.
#[derive(Clone, Default)]
struct Server {
    reports: Arc<Mutex<Vec<Value>>>,
    /// Of each report.
    reported: Arc<Notify>,
    refusals: Arc<Mutex<Vec<Result<u16, &'static str>>>>,
    steps: Arc<Mutex<Value>>,
}

impl HttpClient for Server {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpError>> {
        let answer = |status: u16, body: &Value| {
            let response = http::Response::builder().status(status);
            Ok(response.body(Bytes::from(body.to_string())).unwrap())
        };
        let answered = if request.method() == Method::GET {
            assert!(request.uri().path().ends_with("/actions"));
            answer(200, &self.steps.lock().unwrap())
        } else {
            let refusal = {
                let mut refusals = self.refusals.lock().unwrap();
                // The last one stays.
                (!refusals.is_empty()).then(|| match refusals.len() {
                    1 => refusals[0],
                    _ => refusals.remove(0),
                })
            };
            match refusal {
                Some(Err(reason)) => Err(HttpError {
                    reason: reason.to_owned(),
                }),
                Some(Ok(status)) if status != 200 => answer(status, &json!({"error": "no"})),
                _ => {
                    let body = serde_json::from_slice(request.body()).unwrap();
                    self.reports.lock().unwrap().push(body);
                    self.reported.notify_one();
                    let data =
                        json!({"fn_id": "f-1", "app_id": "a-1", "run_id": RUN, "token": "t+1"});
                    answer(200, &json!({ "data": data }))
                }
            }
        };
        Box::pin(std::future::ready(answered))
    }
}

impl Clock for Server {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(NOW_MS)
    }

    fn delay(&self, _: Duration) -> Delay {
        Box::pin(std::future::ready(()))
    }
}

impl Server {
    fn client(&self, config: Config) -> Client {
        Client::builder("shop", config)
            .http_client(self.clone())
            .clock(self.clone())
            .build()
    }

    /// What was reported, a line each.
    fn told(&self) -> Vec<String> {
        let reports = self.reports.lock().unwrap();
        let lines = reports.iter().map(|report| {
            let ops = report["steps"].as_array().unwrap().iter();
            let ops: Vec<String> = ops
                .map(|op| {
                    format!(
                        "{} {}",
                        op["op"].as_str().unwrap(),
                        op["name"].as_str().unwrap()
                    )
                })
                .collect();
            ops.join(", ")
        });
        lines.collect()
    }
}

/// How often steps ran.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<Vec<&'static str>>>);

async fn two_steps(request: Request, count: State<Count>) -> Result<Response, Error> {
    let (step, ran) = (request.step(), |id| count.0.0.lock().unwrap().push(id));
    let one: u32 = step
        .run("one", || async {
            ran("one");
            Ok(1)
        })
        .await?;
    if let Some(nap) = request.query_value("nap") {
        step.sleep("nap", Duration::from_secs(nap.parse().unwrap()))
            .await;
    }
    let two: u32 = step
        .run("two", || async {
            ran("two");
            Ok(one + 1)
        })
        .await?;
    Ok(Response::json(&json!({ "two": two }))?
        .status(201)
        .header("X-Mine", "yes"))
}

fn request(method: &str, uri: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "shop.example")
        .header("x-forwarded-proto", "https")
}

fn get(uri: &str) -> http::Request<Bytes> {
    request("GET", uri).body(Bytes::new()).unwrap()
}

fn json_of(response: &http::Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn an_endpoint_answers_by_itself_with_each_step_recorded_before_the_next() {
    let (server, count) = (Server::default(), Count::default());
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count.clone(), two_steps).name("checkout");
    let mut asked = request("POST", "/checkout?a=b").header("content-type", "text/plain");
    asked = asked.header("x-forwarded-for", "1.2.3.4, 5.6.7.8");
    let response = endpoint.handle(asked.body("body".into()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["x-mine"], "yes");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(json_of(&response), json!({"two": 2}));
    assert_eq!(
        server.told(),
        ["StepRun one", "StepRun two", "RunComplete "]
    );
    let reports = server.reports.lock().unwrap();
    let event = json!({
        "name": "inngest/http.request", "ts": NOW_MS,
        "data": {
            "domain": "https://shop.example", "method": "POST", "path": "/checkout", "fn": "checkout", "ip": "1.2.3.4",
            "content_type": "text/plain", "query_params": "a=b", "body": "Ym9keQ==",
        },
    });
    assert_eq!(
        (&reports[0]["event"], &reports[0]["retries"]),
        (&event, &json!(3))
    );
    assert_eq!(reports[0]["run_id"], reports[1]["run_id"]);
    assert_eq!(
        (&reports[1]["fn_id"], &reports[1]["app_id"]),
        (&json!("f-1"), &json!("a-1"))
    );
    let mut end = reports[2]["steps"][0]["data"].clone();
    assert!(end["duration"].take().is_u64());
    let headers = json!({"content-type": "application/json", "x-mine": "yes"});
    let expected =
        json!({"status": 201, "headers": headers, "body": "{\"two\":2}", "duration": null});
    assert_eq!(end, expected);
}

#[tokio::test]
async fn what_takes_its_time_goes_on_without_the_requester() {
    let (server, count) = (Server::default(), Count::default());
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count.clone(), two_steps);
    let response = endpoint.handle(get("/nap?nap=5")).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    let location = response.headers()["location"].to_str().unwrap();
    let run = server.reports.lock().unwrap()[0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let expected = format!("http://localhost:8288/v1/checkpoint/{run}/output?token=t%2B1");
    assert_eq!(location, expected);
    assert_eq!(server.told(), ["StepRun one", "Sleep 5s"]);
    assert_eq!(*count.0.lock().unwrap(), ["one"]);

    let by_token = endpoint.handover(Handover::Token);
    let response = by_token.handle(get("/nap?nap=5")).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(json_of(&response)["token"], "t+1");
}

#[tokio::test]
async fn nothing_runs_after_a_step_that_could_not_be_recorded() {
    let (server, count) = (Server::default(), Count::default());
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count.clone(), two_steps);
    *server.refusals.lock().unwrap() = vec![Err("connection refused")];
    let response = endpoint.handle(get("/quick")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(*count.0.lock().unwrap(), ["one"]);

    // Of a run that the server knows of, it makes the rest.
    *server.refusals.lock().unwrap() = vec![Ok(200), Ok(400)];
    let response = endpoint.handle(get("/quick")).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(*count.0.lock().unwrap(), ["one", "one", "two"]);
}

#[tokio::test]
async fn a_handler_without_steps_answers_though_the_server_is_away() {
    let server = Server::default();
    *server.refusals.lock().unwrap() = vec![Ok(503)];
    let plain = |_: Request| async { Ok::<_, Error>("hello") };
    let endpoint = Endpoint::new(server.client(Config::dev()), plain);
    let response = endpoint.handle(get("/")).await;
    assert_eq!(
        (response.status(), &response.body()[..]),
        (StatusCode::OK, &b"hello"[..])
    );
}

#[tokio::test]
async fn a_first_report_whose_answer_was_lost_is_not_made_again() {
    let (server, count) = (Server::default(), Count::default());
    *server.refusals.lock().unwrap() = vec![Err("connection reset"), Ok(409), Ok(200)];
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count, two_steps);
    let response = endpoint.handle(get("/quick")).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(server.told(), ["StepRun two", "RunComplete "]);
}

#[tokio::test]
async fn failures_are_tried_again_by_the_server_unless_they_are_final() {
    let server = Server::default();
    let endpoint = |code: fn() -> Result<(), Error>| {
        let handler = move |_: Request| async move { code() };
        Endpoint::new(server.client(Config::dev()), handler)
    };
    let passing = endpoint(|| Err(Error::new("Busy", "later")));
    assert_eq!(passing.handle(get("/")).await.status(), StatusCode::FOUND);
    let lasting = endpoint(|| Err(NonRetriable::new("never").into()));
    for endpoint in [lasting, passing.retries(0)] {
        let response = endpoint.handle(get("/")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(server.told(), ["StepError ", "StepFailed ", "StepFailed "]);
}

#[tokio::test]
async fn a_response_that_http_cannot_carry_fails_the_run() {
    let server = Server::default();
    let handler = |_: Request| async { Ok::<_, Error>(Response::empty().header("a b", "c")) };
    let endpoint = Endpoint::new(server.client(Config::dev()), handler);
    let response = endpoint.handle(get("/")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        json_of(&response)["message"],
        "'a b' cannot be a header's name"
    );
}

#[tokio::test]
async fn the_server_makes_the_request_again_with_what_is_recorded() {
    let (server, count) = (Server::default(), Count::default());
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count.clone(), two_steps);
    let again = async |recorded: &[(&str, Value)], header: (&'static str, String)| {
        let steps = recorded
            .iter()
            .map(|(id, value)| (StepId::of(id, 0).to_string(), value.clone()));
        *server.steps.lock().unwrap() = steps.collect::<serde_json::Map<_, _>>().into();
        let asked = request("GET", "/nap?nap=5").header(headers::RUN_ID, RUN);
        let asked = asked.header(header.0, header.1).body(Bytes::new()).unwrap();
        let response = endpoint.handle(asked).await;
        assert!(response.headers().contains_key(headers::SDK));
        let ops = json_of(&response);
        (
            response.status().as_u16(),
            ops[0]["op"].clone(),
            ops[0]["data"].clone(),
        )
    };
    let nothing = || ("x-nothing", String::new());
    let one = ("one", json!({"data": 1}));
    let nap = ("nap", Value::Null);
    let two = ("two", json!({"data": 2}));
    let recorded = [one.clone(), nap.clone(), two];
    assert_eq!(again(&recorded[..1], nothing()).await.1, "Sleep");
    let planned = again(
        &recorded[..2],
        (headers::FORCE_STEP_PLAN, "true".to_owned()),
    )
    .await;
    assert_eq!((planned.0, planned.1), (206, json!("StepPlanned")));
    let step = (headers::STEP_ID, StepId::of("two", 0).to_string());
    assert_eq!(
        again(&recorded[..2], step).await,
        (206, json!("StepRun"), json!(2))
    );
    let (status, op, end) = again(&recorded, nothing()).await;
    assert_eq!((status, op), (206, json!("RunComplete")));
    assert_eq!(
        (&end["status"], &end["body"]),
        (&json!(201), &json!("{\"two\":2}"))
    );
    assert_eq!(*count.0.lock().unwrap(), ["two"]);
    assert!(
        server.told().is_empty(),
        "a server's own request reports nothing beside its answer"
    );
}

#[tokio::test]
async fn only_a_server_with_the_key_moves_runs_on() {
    let server = Server::default();
    *server.steps.lock().unwrap() = json!({});
    let client = Client::builder("shop", Config::dev())
        .http_client(server.clone())
        .clock(server.clone())
        .signing_key(KEY)
        .build();
    let handler = |_: Request| async { Ok::<_, Error>("hello") };
    let endpoint = Endpoint::new(client, handler).origin(ORIGIN).unwrap();
    let ask = async |method: &str, signed: Option<&[u8]>| {
        let mut asked = request(method, "/").header(headers::RUN_ID, RUN);
        if let Some(part) = signed {
            let signature = SigningKey::new(KEY).sign(part, (NOW_MS / 1_000) as u64);
            asked = asked.header(headers::SIGNATURE, signature);
        }
        let body = Bytes::from_static(b"{ \"b\": 1, \"a\": 2 }");
        endpoint.handle(asked.body(body).unwrap()).await
    };
    // A user's header of the same name is no secret, and does nothing.
    let ordinary = ask("POST", None).await;
    assert_eq!(&ordinary.body()[..], b"hello");
    assert_eq!(server.told(), ["RunComplete "]);
    let canonical: &[u8] = b"{\"a\":2,\"b\":1}";
    for (method, part) in [
        ("POST", canonical),
        ("PUT", canonical),
        ("GET", b""),
        ("PATCH", b""),
    ] {
        let response = ask(method, Some(part)).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{method}");
        assert!(response.headers().contains_key(headers::SIGNATURE));
    }
    for (method, part) in [("POST", &b""[..]), ("POST", b"other"), ("GET", b"other")] {
        let response = ask(method, Some(part)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
    assert_eq!(server.told().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::default();
    let handler = |_: Request| async { Ok::<_, Error>(()) };
    let endpoint = Endpoint::new(server.client(Config::dev()), handler).body_limit(3);
    let ask = async |body: &'static str| {
        let asked = request("POST", "/").body(Bytes::from(body)).unwrap();
        endpoint.handle(asked).await.status().as_u16()
    };
    assert_eq!((ask("abc").await, ask("abcd").await), (200, 413));
}

fn signing(server: &Server) -> Client {
    Client::builder("shop", Config::dev())
        .http_client(server.clone())
        .clock(server.clone())
        .signing_key(KEY)
        .build()
}

#[tokio::test]
async fn where_the_server_sends_signed_requests_is_not_for_users_to_say() {
    let server = Server::default();
    let handler = |_: Request| async { Ok::<_, Error>("hello") };
    let nowhere = Endpoint::new(signing(&server), handler);
    let ask = async |endpoint: &Endpoint| {
        let asked = request("GET", "/").header("x-forwarded-host", "evil.example");
        let response = endpoint.handle(asked.body(Bytes::new()).unwrap()).await;
        response.status().as_u16()
    };
    assert_eq!(ask(&nowhere).await, 503);
    assert!(server.told().is_empty());

    let known = nowhere.clone().origin("https://own.example/").unwrap();
    let mut config = Config::dev();
    config.mode = Mode::Cloud;
    config.serve_origin = Some("https://own.example".to_owned());
    let configured = Endpoint::new(server.client(config), handler);
    for endpoint in [known, configured] {
        assert_eq!(ask(&endpoint).await, 200);
        let reports = std::mem::take(&mut *server.reports.lock().unwrap());
        assert_eq!(reports[0]["event"]["data"]["domain"], "https://own.example");
    }
    assert!(nowhere.origin("own.example").is_err());
}

#[tokio::test]
async fn only_users_that_are_let_in_begin_a_run() {
    let server = Server::default();
    *server.steps.lock().unwrap() = json!({});
    let handler = |_: Request| async { Ok::<_, Error>("hello") };
    let endpoint = Endpoint::new(signing(&server), handler)
        .origin(ORIGIN)
        .unwrap()
        .authorize(|request: http::Request<Bytes>| async move {
            match request.headers().contains_key("authorization") {
                true => Ok(()),
                false => Err(Response::text("who are you?").status(403)),
            }
        });
    let signature = SigningKey::new(KEY).sign(b"", (NOW_MS / 1_000) as u64);
    let token = ("authorization", "Bearer it");
    let run = (headers::RUN_ID, RUN);
    let signed = (headers::SIGNATURE, &*signature);
    let unsigned = (headers::SIGNATURE, "t=1&s=00");
    let cases: [(&[(&str, &str)], u16); 9] = [
        (&[], 403),
        (&[token], 200),
        (&[run], 403),
        (&[run, signed], 206),
        (&[run, unsigned], 401),
        // What a layer in front may have let through as a server's.
        (&[unsigned, token], 401),
        (&[signed, token, (headers::RUN_ID, "no run")], 401),
        (&[run, (headers::JOB_ID, "1"), token], 401),
        (&[run, (headers::GENERATION_ID, "1"), token], 401),
    ];
    for (sent, status) in cases {
        let asked = request("GET", "/");
        let asked = sent
            .iter()
            .fold(asked, |asked, (name, value)| asked.header(*name, *value));
        let response = endpoint.handle(asked.body(Bytes::new()).unwrap()).await;
        assert_eq!(response.status().as_u16(), status, "{sent:?}");
    }
    assert_eq!(server.told(), ["RunComplete "]);
}

#[tokio::test]
async fn a_conflict_is_an_earlier_report_only_when_there_was_one() {
    let (server, count) = (Server::default(), Count::default());
    *server.refusals.lock().unwrap() = vec![Ok(409)];
    let client = server.client(Config::dev());
    let endpoint = Endpoint::with_state(client, count.clone(), two_steps);
    let response = endpoint.handle(get("/quick")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(*count.0.lock().unwrap(), ["one"]);
}

#[tokio::test]
async fn a_report_that_no_server_would_take_fails_the_run() {
    let server = Server::default();
    let handler = |request: Request| async move {
        let step = request.step();
        let large = || json!({"text": "a".repeat(2 * 1024 * 1024)});
        let invoke = |id| step.invoke_named::<_, Value>(id, "shop-other", large());
        let ids = ["a", "b", "c", "d", "e", "f"];
        futures::future::try_join_all(ids.map(invoke).map(IntoFuture::into_future)).await?;
        Ok::<_, Error>(())
    };
    let endpoint = Endpoint::new(server.client(Config::dev()), handler);
    let response = endpoint.handle(get("/")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(json_of(&response)["name"], "ReportTooLarge");
    assert_eq!(server.told(), ["StepFailed "]);
}

#[tokio::test]
async fn whoever_made_the_request_does_not_see_what_led_to_a_failure() {
    let server = Server::default();
    let handler = |_: Request| async {
        let inner = std::io::Error::other("secret-host:5432 is away");
        Err::<(), _>(Error::from(NonRetriable::wrap(std::io::Error::other(
            inner,
        ))))
    };
    let endpoint = Endpoint::new(server.client(Config::dev()), handler);
    let response = endpoint.handle(get("/")).await;
    let keys: Vec<String> = json_of(&response)
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["name", "message"]);
    let reports = server.reports.lock().unwrap();
    assert!(reports[0]["steps"][0]["error"]["stack"].is_string());
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_step_that_takes_long_is_told_to_go_on() {
    let server = Server::default();
    async fn handler(request: Request, server: State<Server>) -> Result<&'static str, Error> {
        let step = request.step();
        // The server knows nothing of the run before there is something to report.
        step.run("first", || async { Ok(()) }).await?;
        let long = || async {
            while server.0.reports.lock().unwrap().len() < 4 {
                server.0.reported.notified().await;
            }
            Ok(())
        };
        step.run("second", long).await?;
        Ok("done")
    }
    let client = server.client(Config::dev());
    let mut endpoint = Endpoint::with_state(client, server.clone(), handler);
    endpoint.heartbeat = Duration::from_millis(1);
    let asked = request("POST", "/").body(Bytes::new()).unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(60), endpoint.handle(asked));
    let answered = answered.await.expect("signs of life are reported");
    assert_eq!(answered.status(), StatusCode::OK);
    let told = server.told();
    assert_eq!(told[..4], ["StepRun first", "", "", ""]);
    assert_eq!(told[told.len() - 2..], ["StepRun second", "RunComplete "]);
}
