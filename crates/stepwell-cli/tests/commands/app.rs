//! An app that registers by its answer, and whose function takes one step.

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

/// The id of the step `charge`.
const CHARGE: &str = "4e8fe96f5ae63c3ab07d35c1a3a9f7a0d6d2a0f5";

/// An app on a free port. It is there until the test ends.
pub(crate) struct App {
    pub(crate) port: u16,
    pub(crate) url: String,
}

impl App {
    /// An app with the function `invoice`, which listens to `shop/order.placed`.
    pub(crate) async fn start() -> Self {
        Self::with(|url| {
            json!([{
                "id": "shop-invoice", "name": "Invoice",
                "triggers": [{"event": "shop/order.placed", "expression": "event.data.cents > 100"}],
                "steps": {"step": {"id": "step", "name": "step", "retries": {"attempts": 0},
                                   "runtime": {"type": "http", "url": url}}},
            }])
        })
        .await
    }

    /// An app that registers these functions.
    pub(crate) async fn with(functions: impl FnOnce(&str) -> Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://localhost:{port}/api/inngest");
        let registration = json!({
            "app_id": "shop", "framework": "test", "sdk": "rust:v0.1.0", "url": url, "functions": functions(&url),
        });
        let register = async move || sdk(200, &registration);
        let introspect = async || sdk(200, &json!({"mode": "dev"}));
        let routes = get(introspect).put(register).post(call);
        let router = Router::new().route("/api/inngest", routes);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, url }
    }
}

/// The first call runs the step, the second returns.
async fn call(body: Bytes) -> Response {
    let call: Value = serde_json::from_slice(&body).unwrap();
    if call["steps"].get(CHARGE).is_some() {
        return sdk(200, &json!({"paid": call["event"]["data"]["cents"]}));
    }
    let step = json!({"op": "StepRun", "id": CHARGE, "name": "charge", "displayName": "charge", "data": 42});
    sdk(206, &json!([step]))
}

fn sdk(status: u16, body: &Value) -> Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let headers = [
        ("x-inngest-sdk", "test:v0.1.0"),
        ("x-inngest-sync-kind", "in_band"),
        ("x-inngest-req-version", "2"),
        ("content-type", "application/json"),
    ];
    (status, headers, body.to_string()).into_response()
}
