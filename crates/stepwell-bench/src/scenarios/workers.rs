//! Many workers of connect on one server.

use super::{Measured, percentile, start_runs, until_completed};
use crate::client::{Connection, Target};
use crate::memory;
use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use stepwell_protocol::connect::{
    AppConfiguration, AuthData, ExecutorRequest, Frame, FrameKind, Message as _, RequestAck,
    ResponseStatus, SUBPROTOCOL, SdkResponse, StartRequest, StartResponse, WorkerConnect,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const APP: &str = "bench-workers";
const EVENT: &str = "bench/worker";
/// Workers that connect at the same time.
const CONNECTING: usize = 32;
/// Runs that are started one by one, to time what a user feels.
const ONE_BY_ONE: usize = 200;
const HEARTBEAT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects workers, has them run functions in a burst and one by one, and weighs them.
pub(super) async fn workers(
    target: &Target,
    pid: Option<u32>,
    workers: usize,
    runs: usize,
) -> anyhow::Result<Measured> {
    let before = pid.map(memory::of).transpose()?;
    let (called, mut calls) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let connecting = (0..workers).map(|index| connect(target, format!("worker-{index}")));
    let mut connecting = futures::stream::iter(connecting).buffer_unordered(CONNECTING);
    let mut tasks = Vec::with_capacity(workers);
    while let Some(socket) = connecting.next().await {
        let (out, frames) = socket?.split();
        tasks.push(tokio::spawn(work(tasks.len(), out, frames, called.clone())));
    }
    let connected = begun.elapsed();
    let mut measured = vec![(
        "connected",
        workers as f64 / connected.as_secs_f64(),
        "workers/s",
    )];
    if let (Some(pid), Some(before)) = (pid, before) {
        let more = memory::of(pid)?.now.saturating_sub(before.now);
        measured.push((
            "memory of a worker",
            more as f64 / workers as f64 / 1_024.0,
            "KiB",
        ));
    }

    let begun = Instant::now();
    start_runs(target, EVENT, runs).await?;
    let mut instances = HashSet::new();
    for _ in 0..runs {
        let call: Called = calls.recv().await.context("the workers are gone")?;
        instances.insert(call.worker);
    }
    measured.push((
        "runs",
        runs as f64 / begun.elapsed().as_secs_f64(),
        "runs/s",
    ));
    measured.push(("workers that were called", instances.len() as f64, ""));

    let mut connection = target.connect().await?;
    let body = Bytes::from(json!({"name": EVENT, "data": {}}).to_string());
    let (mut took, mut last) = (Vec::with_capacity(ONE_BY_ONE), None);
    for _ in 0..ONE_BY_ONE {
        let sent = Instant::now();
        last = connection.send(body.clone()).await?.pop();
        let call = calls.recv().await.context("the workers are gone")?;
        took.push(call.at.duration_since(sent));
    }
    until_completed(target, last.as_deref().unwrap_or_default()).await?;
    measured.push(("event to call p50", percentile(&mut took, 50), "ms"));
    measured.push(("event to call p99", percentile(&mut took, 99), "ms"));
    if let Some(lost) = tasks.iter().position(tokio::task::JoinHandle::is_finished) {
        bail!("worker {lost} lost its connection");
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(measured)
}

/// A call has come to a worker.
struct Called {
    worker: usize,
    at: Instant,
}

/// Connects a worker, and waits until it may be called.
async fn connect(target: &Target, instance: String) -> anyhow::Result<Socket> {
    let mut connection: Connection = target.connect().await?;
    let body = StartRequest::default().encode_to_vec();
    let started = connection
        .request(Method::POST, "/v0/connect/start", body.into())
        .await?;
    let started = StartResponse::decode(started)?;
    let mut request = started.gateway_endpoint.as_str().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let introduction = WorkerConnect {
        connection_id: started.connection_id,
        instance_id: instance,
        auth_data: Some(AuthData {
            session_token: started.session_token,
            sync_token: started.sync_token,
        }),
        capabilities: b"{}".to_vec(),
        apps: vec![AppConfiguration {
            app_name: APP.to_owned(),
            app_version: None,
            functions: functions().to_string().into_bytes(),
        }],
        framework: "connect".to_owned(),
        sdk_version: "v0.1.0".to_owned(),
        sdk_language: "rust".to_owned(),
        ..WorkerConnect::default()
    };
    let introduction = Frame::of(FrameKind::WorkerConnect, &introduction);
    loop {
        let frame = match socket.next().await.context("the server hung up")?? {
            Message::Binary(bytes) => Frame::decode(bytes)?,
            Message::Close(close) => bail!("the server closed the connection: {close:?}"),
            _ => continue,
        };
        match frame.kind() {
            FrameKind::GatewayHello => {
                let bytes = introduction.encode_to_vec();
                socket.send(Message::binary(bytes)).await?;
            }
            FrameKind::GatewayConnectionReady => return Ok(socket),
            other => bail!("the server began with {other:?}"),
        }
    }
}

fn functions() -> Value {
    let id = format!("{APP}-f");
    json!([{
        "id": id, "name": "f", "triggers": [{"event": EVENT}],
        "steps": {"step": {
            "id": "step", "name": "step",
            "runtime": {"type": "ws", "url": format!("wss://connect?fnId={id}&stepId=step")},
        }},
    }])
}

/// Answers every call at once, until the connection ends.
async fn work(
    worker: usize,
    mut out: SplitSink<Socket, Message>,
    mut frames: SplitStream<Socket>,
    called: mpsc::UnboundedSender<Called>,
) -> anyhow::Result<()> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        let message = tokio::select! {
            message = frames.next() => message.context("the server hung up")??,
            _ = heartbeat.tick() => {
                let frame = Frame::bare(FrameKind::WorkerHeartbeat).encode_to_vec();
                out.send(Message::binary(frame)).await?;
                continue;
            }
        };
        let Message::Binary(bytes) = message else {
            continue;
        };
        let frame = Frame::decode(bytes)?;
        if frame.kind() != FrameKind::GatewayExecutorRequest {
            continue;
        }
        let at = Instant::now();
        let call = ExecutorRequest::decode(&*frame.payload)?;
        let ack = RequestAck {
            request_id: call.request_id.clone(),
            ..RequestAck::default()
        };
        let reply = SdkResponse {
            request_id: call.request_id,
            status: ResponseStatus::Done.into(),
            body: b"null".to_vec(),
            request_version: 2,
            ..SdkResponse::default()
        };
        for frame in [
            Frame::of(FrameKind::WorkerRequestAck, &ack),
            Frame::of(FrameKind::WorkerReply, &reply),
        ] {
            out.feed(Message::binary(frame.encode_to_vec())).await?;
        }
        out.flush().await?;
        drop(called.send(Called { worker, at }));
    }
}
