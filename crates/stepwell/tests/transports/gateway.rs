//! What a worker says to a gateway, frame by frame.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{any, post};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::connect::{Handle, State, Worker};
use stepwell::{App, Context, Error, Function};
use stepwell_protocol::connect::{
    ExecutorRequest, ExtendLease, FlushResponse, Frame, FrameKind, Message as _, ReadyData,
    ReplyAck, RequestAck, SUBPROTOCOL, SdkResponse, StartRequest, StartResponse, SystemError,
    WorkerConnect, WorkerStatus,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};

/// How long anything may take. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("it never happens: {what}"),
    }
}

/// A gateway that does as a test wants.
struct Gateway {
    url: String,
    starts: Receiver<StartRequest>,
    sockets: Receiver<WebSocket>,
    flushes: Receiver<SdkResponse>,
}

/// One of its connections.
struct Connection(WebSocket);

impl Gateway {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (started, starts) = channel(16);
        let (opened, sockets) = channel(16);
        let (flushed, flushes) = channel(16);
        let start = move |body: Bytes| async move {
            started
                .send(StartRequest::decode(body).unwrap())
                .await
                .unwrap();
            let response = StartResponse {
                connection_id: "a connection".to_owned(),
                gateway_endpoint: format!("ws://{address}/socket"),
                gateway_group: "a group".to_owned(),
                session_token: "session".to_owned(),
                sync_token: "sync".to_owned(),
            };
            response.encode_to_vec()
        };
        let socket = move |upgrade: WebSocketUpgrade| async move {
            let upgrade = upgrade.protocols([SUBPROTOCOL]);
            let response: Response =
                upgrade.on_upgrade(move |socket| async move { opened.send(socket).await.unwrap() });
            response
        };
        let flush = move |body: Bytes| async move {
            let reply = SdkResponse::decode(body).unwrap();
            let request_id = reply.request_id.clone();
            flushed.send(reply).await.unwrap();
            FlushResponse { request_id }.encode_to_vec()
        };
        let router = Router::new()
            .route("/v0/connect/start", post(start))
            .route("/v0/connect/flush", post(flush))
            .route("/socket", any(socket));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://{address}"),
            starts,
            sockets,
            flushes,
        }
    }

    async fn connection(&mut self) -> Connection {
        let socket = soon("the worker connects", self.sockets.recv()).await;
        Connection(socket.unwrap())
    }

    async fn flushed(&mut self) -> SdkResponse {
        soon("a reply is brought", self.flushes.recv())
            .await
            .unwrap()
    }

    async fn asked(&mut self) -> StartRequest {
        soon("the worker asks", self.starts.recv()).await.unwrap()
    }
}

/// Long, but what a test says.
fn ready(heartbeat: &str, extend: &str, status: &str) -> ReadyData {
    let or_long = |text: &str| if text.is_empty() { "1h" } else { text }.to_owned();
    ReadyData {
        heartbeat_interval: or_long(heartbeat),
        extend_lease_interval: or_long(extend),
        status_interval: if status.is_empty() { "0s" } else { status }.to_owned(),
    }
}

impl Connection {
    async fn send(&mut self, frame: &Frame) {
        let bytes = frame.encode_to_vec();
        self.0.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// The next frame of this kind.
    async fn expect(&mut self, kind: FrameKind) -> Frame {
        loop {
            match soon("a frame comes", self.0.recv()).await {
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = Frame::decode(bytes).unwrap();
                    if frame.kind == kind as i32 {
                        return frame;
                    }
                }
                other => panic!("expected {kind:?}, got {other:?}"),
            }
        }
    }

    async fn read<M: stepwell_protocol::connect::Message + Default>(
        &mut self,
        kind: FrameKind,
    ) -> M {
        M::decode(&*self.expect(kind).await.payload).unwrap()
    }

    async fn introduced(&mut self) -> WorkerConnect {
        self.send(&Frame::bare(FrameKind::GatewayHello)).await;
        self.read(FrameKind::WorkerConnect).await
    }

    /// The handshake, to its end.
    async fn greet(&mut self, ready: ReadyData) -> WorkerConnect {
        let introduced = self.introduced().await;
        self.send(&Frame::of(FrameKind::GatewayConnectionReady, &ready))
            .await;
        self.expect(FrameKind::WorkerReady).await;
        introduced
    }

    /// A call, which the worker takes.
    async fn call(&mut self, function: &str) {
        self.offer(function, "app").await;
        let ack: RequestAck = self.read(FrameKind::WorkerRequestAck).await;
        assert_eq!((&*ack.request_id, &*ack.app_id), ("a request", "an app"));
    }

    async fn offer(&mut self, function: &str, app: &str) {
        let event = json!({"name": "go", "data": {}});
        let body = json!({
            "event": event, "events": [event], "steps": {}, "version": 2,
            "ctx": {"fn_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "attempt": 0, "max_attempts": 1,
                "stack": {"stack": [], "current": 0}},
        });
        let request = ExecutorRequest {
            request_id: "a request".to_owned(),
            app_id: "an app".to_owned(),
            app_name: app.to_owned(),
            function_slug: format!("app-{function}"),
            step_id: Some("step".to_owned()),
            request_payload: body.to_string().into_bytes(),
            lease_id: "a lease".to_owned(),
            ..ExecutorRequest::default()
        };
        self.send(&Frame::of(FrameKind::GatewayExecutorRequest, &request))
            .await;
    }

    /// How the worker closes the connection.
    async fn closed(mut self) -> Option<CloseFrame> {
        loop {
            match soon("the worker closes", self.0.recv()).await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }
}

fn worker(gateway: &Gateway) -> Handle {
    let quick = Function::new("quick")
        .on_event("go")
        .handler(|_: Context| async { Ok::<_, Error>("done") });
    let endless = Function::new("endless")
        .on_event("go")
        .handler(|_: Context| async { std::future::pending::<Result<(), Error>>().await });
    let client = crate::side::client("app", &gateway.url);
    let app = App::new(client).version("1.2").functions([quick, endless]);
    let builder = Worker::builder(app)
        .instance_id("a worker")
        .max_concurrency(7);
    builder.build().unwrap().start()
}

#[tokio::test]
async fn a_worker_introduces_itself_and_replies_until_it_is_heard() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    assert!(gateway.asked().await.exclude_gateways.is_empty());
    let mut connection = gateway.connection().await;
    let introduced = connection.greet(ready("", "", "")).await;
    assert_eq!(introduced.connection_id, "a connection");
    assert_eq!(introduced.instance_id, "a worker");
    assert_eq!(introduced.max_worker_concurrency, Some(7));
    assert_eq!(introduced.sdk_language, "rust");
    let tokens = introduced.auth_data.unwrap();
    assert_eq!(
        (&*tokens.session_token, &*tokens.sync_token),
        ("session", "sync")
    );
    let [app] = &*introduced.apps else {
        panic!("one app: {:?}", introduced.apps)
    };
    assert_eq!(
        (&*app.app_name, app.app_version.as_deref()),
        ("app", Some("1.2"))
    );
    let functions: Value = serde_json::from_slice(&app.functions).unwrap();
    assert_eq!(
        functions[0]["steps"]["step"]["runtime"],
        json!({"type": "ws", "url": "wss://connect?fnId=app-quick&stepId=step"})
    );

    connection.offer("quick", "another app").await;
    connection.call("quick").await;
    let reply: SdkResponse = connection.read(FrameKind::WorkerReply).await;
    assert_eq!(
        (&*reply.request_id, &*reply.body),
        ("a request", &b"\"done\""[..])
    );
    // The same once more, for it is not acknowledged: the function does not run again.
    connection.call("quick").await;
    let again: SdkResponse = connection.read(FrameKind::WorkerReply).await;
    assert_eq!(again, reply);
    drop(connection);
    assert_eq!(gateway.flushed().await, reply, "it is brought over HTTP");

    let mut connection = gateway.connection().await;
    connection.greet(ready("", "", "")).await;
    let closing = tokio::spawn(worker.close());
    connection.expect(FrameKind::WorkerPause).await;
    let frame = connection.closed().await.expect("it says goodbye");
    assert_eq!(
        (frame.code, frame.reason.as_str()),
        (1000, "WORKER_SHUTDOWN")
    );
    soon("it ends", closing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_gateway_that_goes_away_is_replaced_before_it_is_left() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    let mut first = gateway.connection().await;
    first.greet(ready("", "", "")).await;
    gateway.asked().await;
    first.call("endless").await;
    first.send(&Frame::bare(FrameKind::GatewayClosing)).await;
    assert_eq!(gateway.asked().await.exclude_gateways, ["a group"]);
    let mut second = gateway.connection().await;
    let introduced = second.introduced().await;
    assert_eq!(introduced.instance_id, "a worker");
    first.send(&Frame::bare(FrameKind::GatewayHeartbeat)).await;
    assert_eq!(worker.state(), State::Active, "the first is still good");
    second
        .send(&Frame::of(
            FrameKind::GatewayConnectionReady,
            &ready("", "", ""),
        ))
        .await;
    second.expect(FrameKind::WorkerReady).await;
    let extend: ExtendLease = second.read(FrameKind::WorkerRequestExtendLease).await;
    assert_eq!(
        extend.lease_id, "a lease",
        "the call goes on over the second"
    );
    let frame = first.closed().await.expect("the first is closed in order");
    assert_eq!(frame.code, 1000);
    assert_eq!(worker.state(), State::Active);
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_left() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    let mut silent = gateway.connection().await;
    silent.greet(ready("20ms", "", "")).await;
    silent.expect(FrameKind::WorkerHeartbeat).await;
    let mut next = gateway.connection().await;
    next.greet(ready("", "", "")).await;
    soon("it works again", worker.reached(State::Active))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_worker_says_what_it_has_when_it_is_asked_to() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    let mut connection = gateway.connection().await;
    connection.greet(ready("", "20ms", "20ms")).await;
    connection.call("endless").await;
    let extend: ExtendLease = connection.read(FrameKind::WorkerRequestExtendLease).await;
    assert_eq!(extend.request_id, "a request");
    let status: WorkerStatus = connection.read(FrameKind::WorkerStatus).await;
    assert!(!status.shutdown_requested);
    let closing = tokio::spawn(worker.close());
    connection.expect(FrameKind::WorkerPause).await;
    let status: WorkerStatus = connection.read(FrameKind::WorkerStatus).await;
    assert!(status.shutdown_requested);
    assert_eq!(status.in_flight_request_ids, ["a request"]);
    closing.abort();
}

#[tokio::test]
async fn a_worker_that_cannot_be_registered_ends_and_says_why() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    let mut connection = gateway.connection().await;
    connection.introduced().await;
    let error = SystemError {
        code: "a_code".to_owned(),
        data: None,
        message: "no such trigger".to_owned(),
    };
    connection
        .send(&Frame::of(FrameKind::SyncFailed, &error))
        .await;
    let ended = soon("it ends", worker.closed()).await.unwrap_err();
    assert_eq!(
        ended.to_string(),
        "the server did not register the apps: no such trigger (a_code)"
    );
    let reply = connection.closed().await.expect("it says goodbye");
    assert_eq!(reply.code, 4001);
}

#[tokio::test]
async fn a_reply_that_is_acknowledged_is_forgotten() {
    let mut gateway = Gateway::start().await;
    let worker = worker(&gateway);
    let mut connection = gateway.connection().await;
    connection.greet(ready("", "", "")).await;
    connection.call("quick").await;
    let reply: SdkResponse = connection.read(FrameKind::WorkerReply).await;
    let request_id = reply.request_id;
    connection
        .send(&Frame::of(
            FrameKind::WorkerReplyAck,
            &ReplyAck { request_id },
        ))
        .await;
    let closing = tokio::spawn(worker.close());
    connection.closed().await.expect("it says goodbye");
    soon("it ends", closing).await.unwrap().unwrap();
    assert!(
        gateway.flushes.try_recv().is_err(),
        "there is nothing to bring"
    );
}
