//! A request, what the app asked of the API while it answered, and the answer; all as text.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::{
    App, BoxFuture, Client, Clock, Config, Delay, Function, HttpClient, HttpError, Moment, serve,
};
use stepwell_protocol::signing::{SigningKey, verify};
use stepwell_protocol::{StepId, headers};

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";
const NOW_MS: i64 = 1_767_225_600_000;

/// Time stands still.
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(NOW_MS)
    }

    fn delay(&self, _: Duration) -> Delay {
        Box::pin(std::future::ready(()))
    }
}

/// Takes whatever is reported, sent or published, and keeps it as text.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<String>>);

impl HttpClient for Api {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let answer = match path {
            "/v1/signals" => json!({"data": {"run_id": "01KDW000000000000000000009"}}),
            "/fn/register" => json!({"ok": true, "modified": true}),
            _ if path.ends_with("/batch") => json!([event(&json!({"late": true}))]),
            _ if path.ends_with("/actions") => {
                json!({StepId::of("one", 0).to_string(): {"data": 1}})
            }
            _ => {
                let events = serde_json::from_slice::<Vec<Value>>(&body).unwrap_or_default();
                let ids = (0..events.len()).map(|n| format!("01KDW00000000000000000000{n}"));
                json!({"ids": ids.collect::<Vec<_>>(), "status": 200})
            }
        };
        let mut asked = self.0.lock().expect("no test panicked");
        let _ = writeln!(asked, "── asked of the server ──");
        let line = format!("{} {}", parts.method, parts.uri);
        asked.push_str(&written(&line, &parts.headers, &body));
        let answer = Response::new(Bytes::from(answer.to_string()));
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn event(data: &Value) -> Value {
    json!({"id": "e-1", "name": "app/asked", "data": data, "ts": 1_767_225_599_000_i64})
}

/// A request that the function, or the app, has to answer.
pub(crate) struct Exchange {
    name: &'static str,
    functions: Vec<Function>,
    config: Config,
    method: Method,
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    call: Map<String, Value>,
    signed: bool,
}

impl Exchange {
    /// A call of the function, as a server makes it.
    pub(crate) fn call(name: &'static str, function: Function) -> Self {
        let ctx = json!({
            "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
            "step_id": "step", "attempt": 0, "max_attempts": 3, "qi_id": "item-1", "request_id": "request-1",
            "generation_id": 7, "stack": {"stack": [], "current": 0},
            "disable_immediate_execution": false,
        });
        let event = event(&json!({"n": 4}));
        let call =
            json!({"ctx": ctx, "event": event, "events": [event], "steps": {}, "version": 2});
        let uri = format!("/api/inngest?fnId=app-{}&stepId=step", function.id());
        let Value::Object(call) = call else {
            unreachable!("it is written as an object");
        };
        Self {
            call,
            ..Self::request(name, Method::POST, &uri, [function])
        }
    }

    /// Any other request.
    pub(crate) fn request(
        name: &'static str,
        method: Method,
        uri: &str,
        functions: impl IntoIterator<Item = Function>,
    ) -> Self {
        Self {
            name,
            functions: functions.into_iter().collect(),
            config: Config::dev(),
            method,
            uri: uri.to_owned(),
            headers: Vec::new(),
            body: None,
            call: Map::new(),
            signed: false,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// A deferral that an earlier call has reported.
    pub(crate) fn deferred(mut self, id: &str) -> Self {
        let defers = self.call.entry("defers").or_insert_with(|| json!({}));
        defers[StepId::of(id, 0).to_string()] = json!({"abortable": true});
        self
    }

    /// A step that is recorded already.
    pub(crate) fn recorded(self, id: &str, value: Value) -> Self {
        self.recorded_again(id, 0, value)
    }

    /// The same for one whose id was used before.
    pub(crate) fn recorded_again(mut self, id: &str, index: usize, value: Value) -> Self {
        let hash = StepId::of(id, index).to_string();
        let stack = self.call["ctx"]["stack"]["stack"].as_array_mut();
        let stack = stack.expect("a call has a stack");
        stack.push(hash.clone().into());
        let current = stack.len();
        self.call["ctx"]["stack"]["current"] = current.into();
        self.call["steps"][hash] = value;
        self
    }

    /// The call is for this step.
    pub(crate) fn target(mut self, id: &str) -> Self {
        let hash = StepId::of(id, 0).to_string();
        self.uri = self.uri.replace("stepId=step", &format!("stepId={hash}"));
        self.call["ctx"]["step_id"] = hash.into();
        self.ctx("disable_immediate_execution", true)
    }

    pub(crate) fn ctx(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.call["ctx"][key] = value.into();
        self
    }

    /// A field of the call besides its context.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.call.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn uri(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.uri);
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The app is not in development: it has a key, and the request is signed with it.
    pub(crate) fn signed(mut self) -> Self {
        self.signed = true;
        self.in_cloud()
    }

    /// The app is not in development.
    pub(crate) fn in_cloud(self) -> Self {
        self.config(|config| {
            config.mode = stepwell::Mode::Cloud;
            config.signing_key = Some(SigningKey::new(KEY));
            config.event_key = Some("event-key".to_owned());
            config.api_url = "https://api.example".to_owned();
            config.event_url = "https://events.example".to_owned();
        })
    }

    /// Makes the request; tells all that went over the wire.
    pub(crate) async fn told(self) -> String {
        let api = Api::default();
        let client = Client::builder("app", self.config)
            .http_client(api.clone())
            .clock(StillClock)
            .build();
        let app = App::new(client).version("7").functions(self.functions);
        let handler = serve::Handler::new(app).expect("the app is sound");
        let body = match (self.body, self.call.is_empty()) {
            (Some(body), _) => body.to_string(),
            (None, false) => Value::Object(self.call).to_string(),
            (None, true) => String::new(),
        };
        let mut request = Request::builder().method(self.method).uri(&self.uri);
        request = request.header("host", "localhost:3000");
        if self.signed {
            let seconds = u64::try_from(NOW_MS / 1_000).expect("it is after 1970");
            let signature = SigningKey::new(KEY).sign(body.as_bytes(), seconds);
            request = request.header("x-inngest-signature", signature);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(body)).expect("it is complete");
        let mut told = String::from("── request ──\n");
        let line = format!("{} {}", request.method(), request.uri());
        told.push_str(&written(&line, request.headers(), request.body()));
        let response = handler.handle(request).await;
        told.push_str(&api.0.lock().expect("no test panicked"));
        told.push_str("── response ──\n");
        let line = response.status().as_u16().to_string();
        told.push_str(&written(&line, response.headers(), response.body()));
        told
    }
}

/// A first line, headers by name, a body; JSON on several lines. How long steps took is left out, and so is the version.
fn written(line: &str, fields: &HeaderMap, body: &[u8]) -> String {
    let mut text = format!("{line}\n");
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| (name, value.to_str().expect("they are ASCII")))
        .map(|(name, value)| match name == headers::SIGNATURE {
            true => format!("{name}: {}", signature(value, body)),
            false => format!("{name}: {value}"),
        })
        .collect();
    lines.sort();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    let body = match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            untimed(&mut value);
            format!("{value:#}")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    if !body.is_empty() {
        let _ = writeln!(text, "\n{body}");
    }
    text.push('\n');
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

/// The signature of a body, with a word for the part that depends on what is left out of the snapshot.
fn signature(signature: &str, body: &[u8]) -> String {
    let key = SigningKey::new(KEY);
    let now_s = u64::try_from(NOW_MS / 1_000).expect("it is after 1970");
    verify([&key], Some(signature), body, now_s).expect("it is the body's");
    let (time, _) = signature.split_once('&').expect("it has two parts");
    format!("{time}&s=OF_THE_BODY")
}

/// `timing` is when a step began and how long it took, in nanoseconds.
fn untimed(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(timing) = fields.get_mut("timing") {
                assert!(timing["b"].is_number(), "{timing}");
                timing["b"] = "DURATION".into();
            }
            fields.values_mut().for_each(untimed);
        }
        Value::Array(values) => values.iter_mut().for_each(untimed),
        _ => {}
    }
}
