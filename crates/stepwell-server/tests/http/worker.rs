//! A worker of connect that does as a test wants, frame by frame.

use crate::server::{Server, soon};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use stepwell_protocol::connect::{
    AppConfiguration, AuthData, ExecutorRequest, ExtendLease, ExtendLeaseAck, Frame, FrameKind,
    Message as _, ReadyData, ReplyAck, RequestAck, ResponseStatus, SUBPROTOCOL, SdkResponse,
    StartRequest, StartResponse, WorkerConnect,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A connection of a worker.
pub(crate) struct Worker {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames that came before one that was waited for: replies are acknowledged while calls come.
    before: Vec<Frame>,
}

/// Who connects.
pub(crate) struct Introduction {
    pub(crate) started: StartResponse,
    pub(crate) connect: WorkerConnect,
}

/// A function of a worker that an event starts.
pub(crate) fn function(id: &str, event: &str, retries: u32) -> Value {
    json!({
        "id": id, "name": id, "triggers": [{"event": event}],
        "steps": {"step": {
            "id": "step", "name": "step", "retries": {"attempts": retries},
            "runtime": {"type": "ws", "url": format!("wss://connect?fnId={id}&stepId=step")},
        }},
    })
}

/// An app of a worker.
pub(crate) fn app(name: &str, functions: &[Value]) -> AppConfiguration {
    AppConfiguration {
        app_name: name.to_owned(),
        app_version: None,
        functions: Value::from(functions).to_string().into_bytes(),
    }
}

/// Asks where to connect.
pub(crate) async fn start(server: &Server) -> StartResponse {
    let body = StartRequest::default().encode_to_vec();
    let (status, body) = server.post_bytes("/v0/connect/start", &[], body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    StartResponse::decode(&*body).expect("it is one")
}

impl Introduction {
    /// A worker of this name and these apps.
    pub(crate) async fn of(server: &Server, name: &str, apps: &[AppConfiguration]) -> Self {
        let started = start(server).await;
        let connect = WorkerConnect {
            connection_id: started.connection_id.clone(),
            instance_id: name.to_owned(),
            auth_data: Some(AuthData {
                session_token: started.session_token.clone(),
                sync_token: started.sync_token.clone(),
            }),
            capabilities: b"{}".to_vec(),
            apps: apps.to_vec(),
            framework: "connect".to_owned(),
            sdk_version: "v0.1.0".to_owned(),
            sdk_language: "test".to_owned(),
            ..WorkerConnect::default()
        };
        Self { started, connect }
    }

    /// Connects, and waits until calls may come.
    pub(crate) async fn connect(self) -> Worker {
        let mut worker = Worker::open(&self.started.gateway_endpoint).await;
        worker.expect(FrameKind::GatewayHello).await;
        worker.send(FrameKind::WorkerConnect, &self.connect).await;
        let ready: ReadyData = worker.read(FrameKind::GatewayConnectionReady).await;
        assert!(!ready.heartbeat_interval.is_empty());
        worker
    }

    /// Connects and is refused: the close frame.
    pub(crate) async fn refused(self) -> (u16, String) {
        let mut worker = Worker::open(&self.started.gateway_endpoint).await;
        worker.expect(FrameKind::GatewayHello).await;
        worker.send(FrameKind::WorkerConnect, &self.connect).await;
        worker.closed().await
    }
}

impl Worker {
    /// A worker that is connected.
    pub(crate) async fn connect(server: &Server, name: &str, apps: &[AppConfiguration]) -> Self {
        Introduction::of(server, name, apps).await.connect().await
    }

    /// A connection, before its first frame.
    pub(crate) async fn open(url: &str) -> Self {
        let mut request = url.into_client_request().expect("it is a URL");
        let protocol = SUBPROTOCOL.parse().expect("it is a header's value");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, response) = soon("the gateway answers", connect_async(request))
            .await
            .expect("the gateway takes the connection");
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        Self {
            socket,
            before: Vec::new(),
        }
    }

    pub(crate) async fn send(
        &mut self,
        kind: FrameKind,
        message: &impl stepwell_protocol::connect::Message,
    ) {
        self.send_raw(Message::binary(Frame::of(kind, message).encode_to_vec()))
            .await;
    }

    pub(crate) async fn send_bare(&mut self, kind: FrameKind) {
        self.send_raw(Message::binary(Frame::bare(kind).encode_to_vec()))
            .await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        soon("a frame is sent", self.socket.send(message))
            .await
            .expect("the connection is open");
    }

    /// The next frame of this kind.
    pub(crate) async fn expect(&mut self, kind: FrameKind) -> Frame {
        let mut before = self.before.iter();
        if let Some(index) = before.position(|frame| frame.kind() == kind) {
            return self.before.remove(index);
        }
        loop {
            match soon("a frame comes", self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = Frame::decode(bytes).expect("it is a frame");
                    if frame.kind() == kind {
                        return frame;
                    }
                    self.before.push(frame);
                }
                other => panic!("expected {kind:?}, got {other:?}"),
            }
        }
    }

    pub(crate) async fn read<M: stepwell_protocol::connect::Message + Default>(
        &mut self,
        kind: FrameKind,
    ) -> M {
        let frame = self.expect(kind).await;
        M::decode(&*frame.payload).expect("it is a message of its kind")
    }

    /// All that was sent has been handled, and nothing has come but what was waited for.
    pub(crate) async fn silent(&mut self) {
        self.send_bare(FrameKind::WorkerHeartbeat).await;
        self.expect(FrameKind::GatewayHeartbeat).await;
        assert_eq!(self.before, [], "it should be silent");
    }

    /// The next call, not yet acknowledged.
    pub(crate) async fn offered(&mut self) -> ExecutorRequest {
        self.read(FrameKind::GatewayExecutorRequest).await
    }

    /// The next call, taken.
    pub(crate) async fn called(&mut self) -> ExecutorRequest {
        let call = self.offered().await;
        self.ack(&call).await;
        call
    }

    pub(crate) async fn ack(&mut self, call: &ExecutorRequest) {
        let ack = RequestAck {
            request_id: call.request_id.clone(),
            ..RequestAck::default()
        };
        self.send(FrameKind::WorkerRequestAck, &ack).await;
    }

    /// Extends a lease; its new id.
    pub(crate) async fn extend(&mut self, call: &ExecutorRequest) -> Option<String> {
        let extend = ExtendLease {
            request_id: call.request_id.clone(),
            lease_id: call.lease_id.clone(),
            ..ExtendLease::default()
        };
        self.send(FrameKind::WorkerRequestExtendLease, &extend)
            .await;
        let ack: ExtendLeaseAck = self.read(FrameKind::WorkerRequestExtendLeaseAck).await;
        assert_eq!(ack.request_id, call.request_id);
        ack.new_lease_id
    }

    /// Replies to a call, and waits until the gateway has the reply.
    pub(crate) async fn reply(&mut self, reply: SdkResponse) {
        self.send(FrameKind::WorkerReply, &reply).await;
        let ack: ReplyAck = self.read(FrameKind::WorkerReplyAck).await;
        assert_eq!(ack.request_id, reply.request_id);
    }

    /// The function has returned this.
    pub(crate) async fn returned(&mut self, call: &ExecutorRequest, value: &Value) {
        self.reply(done(call, value)).await;
    }

    /// Goes away without a word.
    pub(crate) fn kill(self) {
        drop(self.socket);
    }

    /// Closes as a worker does that has finished.
    pub(crate) async fn close(mut self) {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: 1000.into(),
            reason: "WORKER_SHUTDOWN".into(),
        };
        self.send_raw(Message::Close(Some(frame))).await;
        while soon("the gateway closes", self.socket.next())
            .await
            .is_some()
        {}
    }

    /// Sends a frame and reads meanwhile: how the gateway closes the connection.
    pub(crate) async fn overwhelm(self, frame: Vec<u8>) -> (u16, String) {
        let (mut sink, mut stream) = self.socket.split();
        let sending = tokio::spawn(async move { sink.send(Message::binary(frame)).await });
        let closed = soon("the gateway closes", stream.next()).await;
        sending.abort();
        match closed {
            Some(Ok(Message::Close(Some(frame)))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("expected a close frame, got {other:?}"),
        }
    }

    /// How the gateway closes the connection; what it says before is let go by.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match soon("the gateway closes", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }
}

/// A reply: the function has returned this.
pub(crate) fn done(call: &ExecutorRequest, value: &Value) -> SdkResponse {
    response(call, ResponseStatus::Done, value.to_string().into_bytes())
}

/// A reply to a call.
pub(crate) fn response(
    call: &ExecutorRequest,
    status: ResponseStatus,
    body: Vec<u8>,
) -> SdkResponse {
    SdkResponse {
        request_id: call.request_id.clone(),
        status: status.into(),
        body,
        sdk_version: "test:v0.1.0".to_owned(),
        request_version: 2,
        system_trace_ctx: call.system_trace_ctx.clone(),
        run_id: call.run_id.clone(),
        ..SdkResponse::default()
    }
}

/// The body of a call.
pub(crate) fn body(call: &ExecutorRequest) -> Value {
    serde_json::from_slice(&call.request_payload).expect("it is JSON")
}
