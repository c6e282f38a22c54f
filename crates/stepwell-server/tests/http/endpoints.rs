//! Durable endpoints, with the test in the place of the app's SDK: it reports runs, and answers re-entries.

mod re_entries;
mod reports;
mod requests;

use crate::app::{App, Call, id, page};
use crate::server::{Answer, Server, Setup, soon};
use reqwest::Method;
use serde_json::{Value, json};
use stepwell_runtime::HttpOptions;
use stepwell_runtime::gateway::PrivateAddresses;

/// A server that may re-enter endpoints on this machine.
pub(crate) fn setup() -> Setup {
    Setup {
        http: HttpOptions {
            private_addresses: PrivateAddresses::Allow,
            ..HttpOptions::default()
        },
        ..Setup::default()
    }
}

/// A request to an endpoint of an app, as its SDK sees it.
pub(crate) struct Endpoint {
    pub(crate) run: String,
    data: Value,
}

impl Endpoint {
    pub(crate) fn requested(server: &Server, app: &App) -> Self {
        let domain = app.url.trim_end_matches("/api/inngest");
        Self {
            run: server.handle.new_event_id().to_string(),
            data: json!({
                "domain": domain, "method": "GET", "path": "/orders/7", "query_params": "a=1&b=%20c",
                "ip": "203.0.113.7", "content_type": "", "body": "", "fn": "",
            }),
        }
    }

    fn with(mut self, field: &str, value: &str) -> Self {
        self.data[field] = value.into();
        self
    }

    fn report(&self, steps: Value) -> Value {
        json!({
            "run_id": self.run, "event": {"name": "inngest/http.request", "data": self.data}, "steps": steps,
            "ts": 1_800_000_000_000_u64, "request_version": 2, "retries": 1,
        })
    }

    /// The first report; returns what the server answers.
    pub(crate) async fn start(&self, server: &Server, steps: Value) -> Value {
        let headers = [("x-inngest-sdk", "inngest-js:v4.24.0")];
        let body = self.report(steps).to_string();
        let answer = server
            .request(Method::POST, "/v1/checkpoint", &headers, body)
            .await;
        answer.expect(200)["data"].clone()
    }

    pub(crate) async fn report_more(&self, server: &Server, steps: Value) {
        let path = format!("/v1/checkpoint/{}/steps", self.run);
        let body = json!({"run_id": self.run, "steps": steps}).to_string();
        let answer = server.post(&path, body).await;
        assert_eq!((answer.status, &*answer.text), (200, ""));
    }

    pub(crate) async fn output(&self, server: &Server, started: &Value) -> Answer {
        let token = started["token"].as_str().expect("there is a token");
        let path = format!("/v1/http/runs/{}/output?token={token}", self.run);
        soon("the run ends", server.get(&path)).await
    }

    async fn shown(&self, server: &Server) -> Value {
        let shown = server.get(&format!("/v1/runs/{}", self.run)).await;
        shown.expect(200)["data"].clone()
    }
}

pub(crate) fn ended(response: Value) -> Value {
    json!({"op": "RunComplete", "id": id("complete"), "data": response})
}

/// An app that is never re-entered.
pub(crate) async fn bystander() -> App {
    App::start(|_| page(500, "nobody calls this app")).await
}

fn header<'c>(call: &'c Call, name: &str) -> &'c str {
    call.headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}
