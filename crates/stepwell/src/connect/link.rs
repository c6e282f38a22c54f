//! One WebSocket to a gateway: opens it, and carries frames.

use super::ConnectError;
use super::api::Failure;
use super::worker::Setup;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_protocol::connect::{
    AuthData, CloseCode, Frame, FrameKind, Message as _, ReadyData, SUBPROTOCOL, StartResponse,
    SystemAttributes, SystemError, Timestamp, WorkerConnect,
};
use stepwell_protocol::{limits, span};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::task::AbortOnDropHandle;

/// From opening the socket until the gateway is ready.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A call: a run's recorded steps and its events, with room to spare.
const FRAME_BYTES_MAX: usize = limits::RUN_STATE_BYTES_MAX + 8 * 1024 * 1024;
/// Frames that wait to go out. Each call has two at a time at most.
const OUTGOING_MAX: usize = 8 * 1024;
/// Until a frame has gone out.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// How long the gateway gets to close its side.
const FAREWELL: Duration = Duration::from_secs(2);
/// How a worker closes that has finished.
const SHUTDOWN: (u16, &str) = (1000, "WORKER_SHUTDOWN");
/// And one whose handshake went wrong.
const UNEXPECTED: (u16, &str) = (4001, "UNEXPECTED");

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How often things are done, as the gateway wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intervals {
    pub(super) heartbeat: Duration,
    pub(super) extend: Duration,
    /// Nothing when the gateway wants no reports.
    pub(super) status: Option<Duration>,
}

/// A connection that the gateway is ready for.
pub(super) struct Opened {
    socket: Socket,
    pub(super) intervals: Intervals,
    pub(super) connection_id: String,
    pub(super) group: String,
}

/// Opens a connection and introduces the worker.
pub(super) async fn open(setup: &Setup, started: StartResponse) -> Result<Opened, Failure> {
    let url = setup
        .gateway_url
        .as_deref()
        .unwrap_or(&started.gateway_endpoint);
    crate::http_client::use_ring();
    let opening = async {
        let mut request = url
            .into_client_request()
            .map_err(|error| Failure::Passing(format!("{url} cannot be used: {error}")))?;
        let protocol = http::HeaderValue::from_static(SUBPROTOCOL);
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let config = WebSocketConfig::default()
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let (mut socket, _) = connect_async_with_config(request, Some(config), true)
            .await
            .map_err(|error| Failure::Passing(format!("no connection to {url}: {error}")))?;
        match introduce(&mut socket, setup, &started).await {
            Ok(intervals) => Ok(Opened {
                socket,
                intervals,
                connection_id: started.connection_id.clone(),
                group: started.gateway_group.clone(),
            }),
            Err(failure) => {
                // The gateway may have closed already; then there is nobody to tell.
                drop(timeout(FAREWELL, socket.close(Some(close_frame(UNEXPECTED)))).await);
                Err(failure)
            }
        }
    };
    let opened = timeout(HANDSHAKE_MAX, opening).await;
    opened.unwrap_or_else(|_| {
        let seconds = HANDSHAKE_MAX.as_secs();
        Err(Failure::Passing(format!(
            "{url} was not ready after {seconds} s"
        )))
    })
}

async fn introduce(
    socket: &mut Socket,
    setup: &Setup,
    started: &StartResponse,
) -> Result<Intervals, Failure> {
    let hello = expect(socket).await?;
    if hello.kind != FrameKind::GatewayHello as i32 {
        return Err(unexpected(&hello, "a hello"));
    }
    let connect = Frame::of(FrameKind::WorkerConnect, &introduction(setup, started));
    socket
        .send(Message::binary(connect.encode_to_vec()))
        .await
        .map_err(|error| Failure::Passing(format!("the connection broke: {error}")))?;
    let answer = expect(socket).await?;
    match FrameKind::try_from(answer.kind) {
        Ok(FrameKind::GatewayConnectionReady) => intervals(&answer.payload),
        Ok(FrameKind::SyncFailed) => {
            let SystemError {
                code,
                data,
                message,
            } = SystemError::decode(&*answer.payload).map_err(unreadable)?;
            let details = data.map(|data| String::from_utf8_lossy(&data).into_owned());
            Err(match code == CloseCode::Internal.as_str() {
                true => Failure::Passing(message),
                false => Failure::Lasting(ConnectError::NotRegistered {
                    code,
                    message,
                    details,
                }),
            })
        }
        _ => Err(unexpected(&answer, "readiness")),
    }
}

fn introduction(setup: &Setup, started: &StartResponse) -> WorkerConnect {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    WorkerConnect {
        connection_id: started.connection_id.clone(),
        instance_id: setup.instance_id.clone(),
        auth_data: Some(AuthData {
            session_token: started.session_token.clone(),
            sync_token: started.sync_token.clone(),
        }),
        capabilities: br#"{"trust_probe":"v1","connect":"v1"}"#.to_vec(),
        apps: setup.apps.clone(),
        // Calls come once the connection has taken the place of the one before.
        worker_manual_readiness_ack: true,
        system_attributes: Some(machine()),
        environment: setup.client.config().environment.clone(),
        framework: "connect".to_owned(),
        platform: None,
        sdk_version: format!("v{}", crate::VERSION),
        sdk_language: "rust".to_owned(),
        started_at: Some(Timestamp {
            seconds: i64::try_from(since_epoch.as_secs()).unwrap_or_default(),
            nanos: i32::try_from(since_epoch.subsec_nanos()).unwrap_or_default(),
        }),
        max_worker_concurrency: i64::try_from(setup.concurrency_max).ok(),
    }
}

fn machine() -> SystemAttributes {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    SystemAttributes {
        cpu_cores: i32::try_from(cores).unwrap_or(i32::MAX),
        mem_bytes: memory_bytes().unwrap_or_default(),
        os: std::env::consts::OS.to_owned(),
    }
}

/// Where Linux says it; elsewhere it stays unknown.
fn memory_bytes() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The next frame of a handshake.
async fn expect(socket: &mut Socket) -> Result<Frame, Failure> {
    loop {
        let broken = |reason: String| Failure::Passing(format!("the connection broke: {reason}"));
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Frame::decode(bytes).map_err(unreadable),
            Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) => return Err(broken("what came is not a frame".to_owned())),
            Some(Err(error)) => return Err(broken(error.to_string())),
            None => return Err(broken("it ended".to_owned())),
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Failure {
    /// What stays as it is until the worker is another one.
    const LASTING: [CloseCode; 3] = [
        CloseCode::HelloInvalidPayload,
        CloseCode::TooManyApps,
        CloseCode::InvalidFunctionConfig,
    ];
    let reason = frame.map(|frame| frame.reason.as_str().to_owned());
    let reason = reason.unwrap_or_default();
    if LASTING.iter().any(|code| code.as_str() == reason) {
        return Failure::Lasting(ConnectError::Closed { reason });
    }
    Failure::Passing(format!("the gateway closed the connection: {reason}"))
}

fn unexpected(frame: &Frame, instead_of: &str) -> Failure {
    let kind = frame.kind;
    Failure::Passing(format!(
        "a frame of kind {kind} came instead of {instead_of}"
    ))
}

fn unreadable(error: stepwell_protocol::connect::DecodeError) -> Failure {
    Failure::Passing(format!("the gateway's frame cannot be read: {error}"))
}

fn intervals(payload: &[u8]) -> Result<Intervals, Failure> {
    let ready = ReadyData::decode(payload).map_err(unreadable)?;
    let read = |text: &str| {
        let millis = span::parse_ms(text).map_err(|error| Failure::Passing(error.to_string()))?;
        Ok(Duration::from_millis(millis))
    };
    let or_default = |text: &str, default: u64| match read(text)? {
        Duration::ZERO => Ok(Duration::from_secs(default)),
        given => Ok(given),
    };
    Ok(Intervals {
        heartbeat: or_default(&ready.heartbeat_interval, 10)?,
        extend: or_default(&ready.extend_lease_interval, 30)?,
        status: Some(read(&ready.status_interval)?).filter(|every| !every.is_zero()),
    })
}

/// What comes from a link.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Which link.
    pub(super) serial: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Frame(Frame),
    /// No more comes: this is why.
    Ended(String),
}

enum Outgoing {
    Frame(Bytes),
    Close,
}

/// A connection at work. Dropping it drops the connection without a word.
#[derive(Debug)]
pub(super) struct Link {
    /// Tells links of one worker apart.
    pub(super) serial: u64,
    pub(super) connection_id: String,
    pub(super) group: String,
    pub(super) intervals: Intervals,
    outgoing: mpsc::Sender<Outgoing>,
    reader: AbortOnDropHandle<()>,
    writer: AbortOnDropHandle<()>,
}

impl Link {
    /// Starts to read and write.
    pub(super) fn start(opened: Opened, serial: u64, inbox: mpsc::Sender<Incoming>) -> Self {
        let (sink, stream) = opened.socket.split();
        let (outgoing, frames) = mpsc::channel(OUTGOING_MAX);
        let writer = write(sink, frames, serial, inbox.clone());
        Self {
            serial,
            connection_id: opened.connection_id,
            group: opened.group,
            intervals: opened.intervals,
            outgoing,
            reader: AbortOnDropHandle::new(tokio::spawn(read(stream, serial, inbox))),
            writer: AbortOnDropHandle::new(tokio::spawn(writer)),
        }
    }

    /// Has a frame sent; whether there was room for it. A link without room is as good as broken.
    pub(super) fn send(&self, frame: &Frame) -> bool {
        let bytes = frame.encode_to_vec().into();
        self.outgoing.try_send(Outgoing::Frame(bytes)).is_ok()
    }

    /// Has what waits sent, says goodbye, and waits a little for the gateway to do so, too.
    pub(super) async fn close(self) {
        let Self {
            outgoing,
            reader,
            writer,
            ..
        } = self;
        let farewell = async {
            // Fails when the connection is broken: then both have ended.
            drop(outgoing.send(Outgoing::Close).await);
            drop(writer.await);
            drop(reader.await);
        };
        drop(timeout(FAREWELL, farewell).await);
    }
}

async fn read(
    mut stream: futures::stream::SplitStream<Socket>,
    serial: u64,
    inbox: mpsc::Sender<Incoming>,
) {
    loop {
        let what = match stream.next().await {
            Some(Ok(Message::Binary(bytes))) => match Frame::decode(bytes) {
                Ok(frame) => What::Frame(frame),
                Err(error) => What::Ended(format!("a frame cannot be read: {error}")),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.as_str().to_owned());
                What::Ended(format!(
                    "the gateway closed it: {}",
                    reason.unwrap_or_default()
                ))
            }
            Some(Ok(_)) => What::Ended("what came is not a frame".to_owned()),
            Some(Err(error)) => What::Ended(error.to_string()),
            None => What::Ended("it ended".to_owned()),
        };
        let is_end = matches!(what, What::Ended(_));
        // Nobody listens once the worker has ended.
        if inbox.send(Incoming { serial, what }).await.is_err() || is_end {
            return;
        }
    }
}

async fn write(
    mut sink: futures::stream::SplitSink<Socket, Message>,
    mut frames: mpsc::Receiver<Outgoing>,
    serial: u64,
    inbox: mpsc::Sender<Incoming>,
) {
    while let Some(outgoing) = frames.recv().await {
        let (message, is_last) = match outgoing {
            Outgoing::Frame(bytes) => (Message::Binary(bytes), false),
            Outgoing::Close => (Message::Close(Some(close_frame(SHUTDOWN))), true),
        };
        let problem = match timeout(WRITE_MAX, sink.send(message)).await {
            Ok(Ok(())) if is_last => return,
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("a frame did not go out for {} s", WRITE_MAX.as_secs()),
        };
        let what = What::Ended(problem);
        // Nobody listens once the worker has ended.
        drop(inbox.send(Incoming { serial, what }).await);
        return;
    }
}

fn close_frame((code, reason): (u16, &'static str)) -> CloseFrame {
    CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }
}
