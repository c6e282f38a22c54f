//! Frames of workers that connect to a running server.

use crate::clock_of_the_corpus;
use axum::body::Body;
use axum::http::Request;
use futures::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
use stepwell_protocol::connect::{
    AppConfiguration, AuthData, ExecutorRequest, Frame, FrameKind, Message as _, RequestAck,
    SUBPROTOCOL, SdkResponse, StartRequest, StartResponse, WorkerConnect,
};
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_server::{ConnectOptions, Gateway, ServerOptions, router};
use stepwell_store::memory;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::ServiceExt as _;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that one server gets, so that what it holds is bounded.
const CONNECTIONS_MAX: usize = 2_000;

struct Server {
    tokio: tokio::runtime::Runtime,
    // Dropping it stops the engine.
    _runtime: Runtime,
    router: axum::Router,
    address: SocketAddr,
    left: usize,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// How a worker begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With frames of the fuzzer's only.
    Rudely,
    /// As it should, with the fuzzer's functions.
    WithFunctions,
    /// As it should, and it has a call when the fuzzer's frames come.
    WithCall,
}

/// Whatever a worker sends, the server either goes on or says why it closes the connection, and another worker gets in.
///
/// The first byte says how the worker begins. What follows is frames: a byte for the kind, two for the payload's
/// length, the payload.
///
/// # Panics
/// When it does not.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let start = match first % 3 {
        0 => Start::Rudely,
        1 => Start::WithFunctions,
        _ => Start::WithCall,
    };
    SERVER.with_borrow_mut(|server| {
        let mut at_work = server
            .take()
            .filter(|server| server.left > 0)
            .unwrap_or_else(Server::start);
        at_work.left -= 1;
        at_work.tokio.block_on(async {
            let talk = tokio::time::timeout(PATIENCE, at_work.talk(start, rest));
            talk.await.expect("the server answers in time");
        });
        *server = Some(at_work);
    });
}

impl Server {
    fn start() -> Self {
        let tokio = tokio::runtime::Runtime::new().expect("threads can be started");
        let inside = tokio.enter();
        let gateway = Gateway::new(ConnectOptions::default());
        let invokers = Invokers::none().with("wss", gateway.invoker());
        let options = Options {
            clock: clock_of_the_corpus(),
            ..Options::default()
        };
        let runtime = Runtime::start(memory::open(), invokers, options);
        let runtime = runtime.expect("the engine starts");
        let options = ServerOptions {
            connect: Some(gateway),
            ..ServerOptions::dev()
        };
        let router = router(runtime.handle(), options);
        let listener = tokio.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port is there");
        let address = listener.local_addr().expect("it has one");
        let routes = router.clone();
        tokio.spawn(async move { axum::serve(listener, routes).await });
        drop(inside);
        Self {
            tokio,
            _runtime: runtime,
            router,
            address,
            left: CONNECTIONS_MAX,
        }
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Vec<u8> {
        let request = Request::post(path).header("host", self.address.to_string());
        let request = request.body(Body::from(body)).expect("it is a request");
        let Ok(response) = self.router.clone().oneshot(request).await;
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        let body = response.into_body().collect().await;
        body.expect("a body in memory is whole").to_bytes().to_vec()
    }

    async fn talk(&self, start: Start, mut data: &[u8]) {
        let mut worker = Worker::open(self.address).await;
        let mut call = None;
        if start != Start::Rudely {
            // A worker that comes back undoes nobody's registration, so these are two apps.
            let (app, functions) = match start {
                Start::WithFunctions => ("any", cut(&mut data).unwrap_or_default().to_vec()),
                _ => ("fuzz", functions()),
            };
            let began = self.post("/v0/connect/start", StartRequest::default().encode_to_vec());
            let began = StartResponse::decode(&*began.await).expect("it is one");
            worker.introduce(began, app, functions).await;
        }
        if start == Start::WithCall {
            worker.next(FrameKind::GatewayConnectionReady).await;
            self.post("/e/key", br#"{"name":"x/y","data":{}}"#.to_vec())
                .await;
            let frame = worker.next(FrameKind::GatewayExecutorRequest).await;
            call = Some(ExecutorRequest::decode(&*frame.payload).expect("it is a call"));
        }
        while let Some((kind, rest)) = data.split_first() {
            data = rest;
            let Some(payload) = cut(&mut data) else {
                // What is left is no frame of ours; it may be one of the protocol's.
                worker.send(data.to_vec()).await;
                break;
            };
            let payload = match &call {
                Some(call) => addressed(i32::from(*kind), payload, call),
                None => payload.to_vec(),
            };
            let frame = Frame {
                kind: i32::from(*kind),
                payload,
            };
            worker.send(frame.encode_to_vec()).await;
        }
        worker.goes_on_or_is_closed().await;
    }
}

/// Two bytes of a length, and so many bytes.
fn cut<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (payload, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *data = rest;
    Some(payload)
}

fn functions() -> Vec<u8> {
    let function = json!([{
        "id": "f", "name": "f", "triggers": [{"event": "x/y"}],
        "steps": {"step": {
            "id": "step", "name": "step", "retries": {"attempts": 1},
            "runtime": {"type": "ws", "url": "wss://connect?fnId=f&stepId=step"},
        }},
    }]);
    function.to_string().into_bytes()
}

/// The payload, said of the call if it is an acknowledgement or a reply.
fn addressed(kind: i32, payload: &[u8], call: &ExecutorRequest) -> Vec<u8> {
    let request_id = call.request_id.clone();
    match FrameKind::try_from(kind) {
        Ok(FrameKind::WorkerRequestAck) => match RequestAck::decode(payload) {
            Ok(ack) => RequestAck { request_id, ..ack }.encode_to_vec(),
            Err(_) => payload.to_vec(),
        },
        Ok(FrameKind::WorkerReply) => match SdkResponse::decode(payload) {
            Ok(reply) => SdkResponse {
                request_id,
                ..reply
            }
            .encode_to_vec(),
            Err(_) => payload.to_vec(),
        },
        _ => payload.to_vec(),
    }
}

struct Worker(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Worker {
    async fn open(address: SocketAddr) -> Self {
        let request = format!("ws://{address}/v0/connect").into_client_request();
        let mut request = request.expect("it is a URL");
        let protocol = SUBPROTOCOL.parse().expect("it is a header's value");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocol);
        let (socket, _) = connect_async(request).await.expect("the gateway is there");
        Self(socket)
    }

    /// A connection that the server has closed takes no more; why is asked at the end.
    async fn send(&mut self, frame: Vec<u8>) {
        drop(self.0.send(Message::binary(frame)).await);
    }

    async fn introduce(&mut self, began: StartResponse, app: &str, functions: Vec<u8>) {
        let connect = WorkerConnect {
            connection_id: began.connection_id,
            instance_id: "fuzz".to_owned(),
            auth_data: Some(AuthData {
                session_token: began.session_token,
                sync_token: began.sync_token,
            }),
            capabilities: b"{}".to_vec(),
            apps: vec![AppConfiguration {
                app_name: app.to_owned(),
                app_version: None,
                functions,
            }],
            framework: "connect".to_owned(),
            sdk_version: "v0.1.0".to_owned(),
            sdk_language: "test".to_owned(),
            ..WorkerConnect::default()
        };
        let frame = Frame::of(FrameKind::WorkerConnect, &connect);
        self.send(frame.encode_to_vec()).await;
    }

    /// The next frame of this kind, of a worker that has done nothing wrong so far.
    async fn next(&mut self, kind: FrameKind) -> Frame {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = Frame::decode(bytes).expect("the server sends frames");
                    if frame.kind() == kind {
                        return frame;
                    }
                }
                other => panic!("expected {kind:?}, got {other:?}"),
            }
        }
    }

    /// What was sent has been read: a heartbeat is answered, or the connection closed with a reason.
    async fn goes_on_or_is_closed(&mut self) {
        let heartbeat = Frame::bare(FrameKind::WorkerHeartbeat);
        self.send(heartbeat.encode_to_vec()).await;
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = Frame::decode(bytes).expect("the server sends frames");
                    if frame.kind() == FrameKind::GatewayHeartbeat {
                        return drop(self.0.close(None).await);
                    }
                }
                Some(Ok(Message::Close(close))) => {
                    let close = close.expect("a reason is given");
                    assert!(!close.reason.is_empty(), "{close}");
                    assert_ne!(close.reason.as_str(), "connect_internal_error");
                    return;
                }
                Some(Ok(_)) => {}
                other => panic!("the connection ended without a reason: {other:?}"),
            }
        }
    }
}
