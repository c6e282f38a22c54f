//! A service on this machine that keeps what it is sent, for tests.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::UserError;
use stepwell::middleware::ErrorReport;
use tokio::sync::mpsc;

pub(super) struct Received {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How it answers, request by request; when that is used up, with 200.
pub(super) enum Answer {
    Status(u16),
    With(u16, &'static str, &'static str),
    Never,
}

type Shared = (
    Arc<Mutex<VecDeque<Answer>>>,
    mpsc::UnboundedSender<Received>,
);

pub(super) struct Collector {
    /// `127.0.0.1:<port>`
    pub(super) host: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Collector {
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let answers: VecDeque<Answer> = answers.into_iter().collect();
        let shared: Shared = (Arc::new(Mutex::new(answers)), sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(collect).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { host, received }
    }

    pub(super) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(30), self.received.recv());
        next.await.expect("a request comes").unwrap()
    }

    /// Requests that have come and were not looked at.
    pub(super) fn waiting(&self) -> usize {
        self.received.len()
    }
}

async fn collect(
    State((answers, received)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Received {
        method,
        path: uri.path().to_owned(),
        headers,
        body,
    };
    received.send(request).unwrap();
    let answer = answers.lock().unwrap().pop_front();
    let status = |status| StatusCode::from_u16(status).unwrap();
    match answer {
        None => StatusCode::OK.into_response(),
        Some(Answer::Status(code)) => status(code).into_response(),
        Some(Answer::With(code, name, value)) => {
            let header = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            let mut response = status(code).into_response();
            response.headers_mut().insert(header.0, header.1);
            response
        }
        Some(Answer::Never) => std::future::pending().await,
    }
}

pub(super) fn report(message: &str) -> ErrorReport {
    let mut error = UserError::new("FetchError", message);
    error.stack = Some("at archive".to_owned());
    error.cause = Some(serde_json::json!({
        "name": "IoError", "message": "connection reset", "cause": "the cable",
    }));
    ErrorReport {
        run_id: "01KDVDNA009M3RPEWH1YYRCM1V".parse().unwrap(),
        function_id: "studio-233-archive-vision-result".to_owned(),
        event_name: "vision.archive.requested".to_owned(),
        step: Some("archive-source-image".to_owned()),
        attempt: 3,
        is_final: true,
        error,
    }
}
