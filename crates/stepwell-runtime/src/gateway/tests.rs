//! Against a server of this machine. The rule of these tests lets requests through to its first loopback address only,
//! so that both what is allowed and what is refused can be reached.

mod fetches;
mod inferences;
mod limits;
mod redirects;
mod refusals;

use super::*;
use axum::body::{Body, to_bytes};
use futures::future::BoxFuture;
use http::Response as Answer;
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use stepwell_protocol::StepId;
use stepwell_protocol::op::{Op, Opcode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What came in.
#[derive(Debug, Clone)]
struct Seen {
    method: String,
    target: String,
    headers: http::HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// A server that answers as it is told and keeps what it saw.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Fn(&Seen) -> Answer<Body> + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (answer, keep) = (answer.clone(), Arc::clone(&keep));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let answer = answer(&seen);
                keep.lock().unwrap().push(seen);
                answer
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, task }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn last(&self) -> Seen {
        self.seen().pop().expect("the server saw a request")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer<Body> {
    let mut builder = Answer::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

/// Lets requests through to 127.0.0.1 and to public addresses.
fn first_loopback_only(address: IpAddr) -> Option<&'static str> {
    if address == Ipv4Addr::LOCALHOST {
        return None;
    }
    address::not_public(address)
}

/// A resolver of made-up names.
fn names(host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    let addresses: &[[u8; 4]] = match host.as_str() {
        "here.test" | "also-here.test" => &[[127, 0, 0, 1]],
        "inside.test" => &[[10, 0, 0, 7]],
        "mixed.test" => &[[127, 0, 0, 1], [127, 0, 0, 2]],
        other => {
            let error = io::Error::new(io::ErrorKind::NotFound, format!("no name {other}"));
            return Box::pin(async move { Err(error) });
        }
    };
    let found = addresses
        .iter()
        .map(|address| SocketAddr::from((*address, 0)))
        .collect::<Vec<_>>();
    Box::pin(async move { Ok(found) })
}

fn gateway() -> Gateway {
    Gateway::build(Some(first_loopback_only), names, REQUEST_TIMEOUT).unwrap()
}

fn request(op: Opcode, opts: Value) -> Request {
    let Value::Object(opts) = opts else {
        panic!("options are an object");
    };
    let op = Op {
        opts: Some(opts),
        ..Op::new(op, StepId::parse("a"), "a")
    };
    Request::from_op(&op).unwrap()
}

fn fetch(opts: Value) -> Request {
    request(Opcode::Gateway, opts)
}

fn infer(opts: Value) -> Request {
    request(Opcode::AiGateway, opts)
}

async fn value_of(request: Request) -> Value {
    let value = gateway().perform(&request).await.unwrap();
    serde_json::from_str(value.get()).unwrap()
}

async fn failure_of(request: Request) -> Failure {
    gateway().perform(&request).await.unwrap_err()
}
