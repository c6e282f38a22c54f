//! A server that answers what it is told to, in order, and keeps what it was asked.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use image::{ImageFormat, Rgba, RgbaImage};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use studio233_ai::EncodedImage;

/// The key of every test; it must show up nowhere.
pub(crate) const KEY: &str = "k3y-that-nobody-may-see";

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) delay: Duration,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::text(status, body.to_string())
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Longer than any test waits.
    pub(crate) fn never() -> Self {
        Self {
            delay: Duration::from_secs(3600),
            ..Self::text(200, "")
        }
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request's body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    script: Script,
}

impl Server {
    /// Answers these in order, then 410.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let server = Self::idle().await;
        server.then(replies);
        server
    }

    pub(crate) async fn idle() -> Self {
        let script = Script::default();
        let app = Router::new()
            .fallback(answer)
            // As the services take them.
            .layer(DefaultBodyLimit::max(20 * 1024 * 1024))
            .with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    pub(crate) fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.replies.lock().unwrap().extend(replies);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    /// `POST /path` of every request, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        let asked = self.asked();
        let lines = asked
            .iter()
            .map(|asked| format!("{} {}", asked.method, asked.target));
        lines.collect()
    }
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    script.asked.lock().unwrap().push(Asked {
        method,
        target: uri.to_string(),
        headers,
        body,
    });
    let reply = script.replies.lock().unwrap().pop_front();
    let reply = reply.unwrap_or_else(|| Reply::text(410, "the script is over"));
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

/// A small image, opaque or with a transparent half.
pub(crate) fn png(half_transparent: bool) -> EncodedImage {
    let pixels = RgbaImage::from_fn(8, 8, |x, _| match half_transparent && x < 4 {
        true => Rgba([0, 0, 0, 0]),
        false => Rgba([200, 40, 60, 255]),
    });
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, ImageFormat::Png).unwrap();
    EncodedImage::new(file.into_inner()).unwrap()
}

/// An error with its sources, as logs and histories show it; fails if the key is in it, in either form.
pub(crate) fn shown(error: &(dyn std::error::Error + 'static)) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        source = error.source();
    }
    assert!(!chain.contains(KEY), "{chain}");
    assert!(!format!("{error:?}").contains(KEY), "{error:?}");
    chain
}

/// More than any answer takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lets so much time pass once so many calls have come in. It runs as always in between: what is answered is answered in time.
pub(crate) async fn wait_for(server: &Server, calls: usize) {
    while server.asked().len() < calls {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(PATIENCE).await;
    tokio::time::resume();
}
