//! A connection, from its first frame to its last.

use super::admission::Turn;
use super::flush::is_name;
use super::handshake::shake_hands;
use super::outbox::Outbox;
use super::{Door, Gateway};
use axum::Error;
use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use std::time::Duration;
use stepwell_protocol::connect::{
    CloseCode, ExtendLease, ExtendLeaseAck, Frame, FrameKind, Message as _, ReplyAck, RequestAck,
    SdkResponse, WorkerStatus,
};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use ulid::Ulid;

/// Heartbeats that may stay away before the connection is closed.
const HEARTBEATS_MISSED_MAX: u32 = 5;
/// How long a worker gets to close its side. Ending at once might lose the reason on its way.
const FAREWELL: Duration = Duration::from_secs(2);
/// The status with which workers close when they have finished (RFC 6455, section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;
/// A worker's status, with the ids of some two thousand calls. An empty id takes two bytes of it, and many more once
/// decoded.
const STATUS_BYTES_MAX: usize = 64 * 1024;

/// Serves a connection until it ends. `turn` is held until the worker is let in or gone: what it sends when it was refused
/// is read, too.
pub(super) async fn run(socket: WebSocket, door: Door, turn: Turn) {
    let (sink, stream) = socket.split();
    let (outbox, writer) = Outbox::new(sink, door.gateway.times().write);
    let mut writer = AbortOnDropHandle::new(tokio::spawn(writer));
    let mut incoming = Incoming(stream);
    let greeted = tokio::select! {
        greeted = shake_hands(&mut incoming, &outbox, &door) => greeted,
        () = outbox.stuck() => Err(CloseCode::NotReading),
        () = door.gateway.0.closing.cancelled() => Err(CloseCode::GatewayClosing),
    };
    let close = match greeted {
        Ok(id) => {
            drop(turn);
            Session {
                id,
                outbox: &outbox,
                gateway: &door.gateway,
                paused: false,
            }
            .serve(&mut incoming)
            .await
        }
        Err(close) => {
            tracing::debug!(code = close.as_str(), "a worker did not connect");
            Some(close)
        }
    };
    if let Some(close) = close {
        outbox.close(close);
    }
    drop(outbox);
    // The last frames go out, and the worker's are let go by until it has closed, too.
    let farewell = async {
        drop((&mut writer).await);
        while incoming.0.next().await.is_some_and(|frame| frame.is_ok()) {}
        if close == Some(CloseCode::MessageTooLarge) {
            // The rest of its frame is not read: to end now would reset the connection, and the reason with it.
            std::future::pending::<()>().await;
        }
    };
    drop(timeout(FAREWELL, farewell).await);
}

/// Frames from the worker.
pub(super) struct Incoming(SplitStream<WebSocket>);

/// Why no more frames come.
#[derive(Debug)]
pub(super) enum Ended {
    /// The worker closed the connection, with this status.
    Closed(Option<u16>),
    /// It broke.
    Broken,
    /// What came cannot be read.
    Unreadable(CloseCode),
}

impl Incoming {
    /// The next frame.
    pub(super) async fn frame(&mut self) -> Result<Frame, Ended> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    return Frame::decode(bytes)
                        .map_err(|_| Ended::Unreadable(CloseCode::InvalidMessage));
                }
                Some(Ok(Message::Text(_))) => {
                    return Err(Ended::Unreadable(CloseCode::InvalidMessage));
                }
                // Pings are answered on their own.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended::Closed(frame.map(|frame| frame.code)));
                }
                Some(Err(error)) if is_too_large(&error) => {
                    return Err(Ended::Unreadable(CloseCode::MessageTooLarge));
                }
                Some(Err(_)) | None => return Err(Ended::Broken),
            }
        }
    }
}

/// The library's error is not among what axum shows; its text is.
fn is_too_large(error: &Error) -> bool {
    error.to_string().contains("too long")
}

struct Session<'s> {
    id: Ulid,
    outbox: &'s Outbox,
    gateway: &'s Gateway,
    /// Whether the worker has said that it takes no more.
    paused: bool,
}

impl Session<'_> {
    /// Serves the worker; how to close the connection, unless it has ended by itself.
    async fn serve(mut self, incoming: &mut Incoming) -> Option<CloseCode> {
        let silence_max = self.gateway.times().heartbeat * HEARTBEATS_MISSED_MAX;
        let mut heard = Instant::now();
        let close = loop {
            tokio::select! {
                biased;
                () = self.outbox.stuck() => break Err(CloseCode::NotReading),
                () = self.gateway.0.closing.cancelled() => {
                    self.outbox.send_bare(FrameKind::GatewayClosing);
                    break Err(CloseCode::GatewayClosing);
                }
                frame = incoming.frame() => {
                    heard = Instant::now();
                    let handled = match frame {
                        Ok(frame) => self.handle(&frame, heard),
                        Err(Ended::Closed(status)) => {
                            break Ok(self.paused || status == Some(NORMAL_CLOSURE));
                        }
                        Err(Ended::Broken) => break Ok(false),
                        Err(Ended::Unreadable(code)) => Err(code),
                    };
                    if let Err(code) = handled {
                        break Err(code);
                    }
                }
                () = tokio::time::sleep_until(heard + silence_max) => {
                    break Err(CloseCode::HeartbeatsMissed);
                }
            }
        };
        let on_purpose = matches!(close, Ok(true));
        self.gateway
            .switchboard()
            .leave(self.id, on_purpose, Instant::now());
        match close {
            Ok(_) => {
                tracing::info!(connection = %self.id, on_purpose, "worker disconnected");
                None
            }
            Err(code) => {
                tracing::info!(connection = %self.id, code = code.as_str(), "worker's connection closed");
                Some(code)
            }
        }
    }

    fn handle(&mut self, frame: &Frame, now: Instant) -> Result<(), CloseCode> {
        let payload = &*frame.payload;
        // Taken for each change alone: large messages are decoded outside.
        let switchboard = || self.gateway.switchboard();
        switchboard().hear(self.id, now);
        // A kind that we do not know may come from a newer SDK, which does without an answer.
        match FrameKind::try_from(frame.kind) {
            Ok(FrameKind::WorkerReady) => switchboard().ready(self.id),
            Ok(FrameKind::WorkerHeartbeat) => {
                switchboard().heartbeat(self.id);
                self.outbox.send_bare(FrameKind::GatewayHeartbeat);
            }
            Ok(FrameKind::WorkerPause) => {
                switchboard().drain(self.id, now);
                self.paused = true;
            }
            Ok(FrameKind::WorkerRequestAck) => {
                let ack = RequestAck::decode(payload).map_err(|_| CloseCode::RequestAckInvalid)?;
                switchboard().take(self.id, &ack.request_id, now);
            }
            Ok(FrameKind::WorkerRequestExtendLease) => {
                let extend =
                    ExtendLease::decode(payload).map_err(|_| CloseCode::ExtendLeaseInvalid)?;
                let new = switchboard().extend(self.id, &extend.request_id, &extend.lease_id, now);
                let ack = ExtendLeaseAck {
                    request_id: extend.request_id,
                    account_id: extend.account_id,
                    env_id: extend.env_id,
                    app_id: extend.app_id,
                    function_slug: extend.function_slug,
                    new_lease_id: new.map(|id| id.to_string()),
                };
                self.outbox
                    .send(&Frame::of(FrameKind::WorkerRequestExtendLeaseAck, &ack));
            }
            Ok(FrameKind::WorkerReply) => {
                let reply = SdkResponse::decode(payload).map_err(|_| CloseCode::InvalidMessage)?;
                if !is_name(&reply.request_id) {
                    return Err(CloseCode::InvalidMessage);
                }
                let request_id = reply.request_id.clone();
                switchboard().reply(Box::new(reply), now);
                self.outbox.send(&Frame::of(
                    FrameKind::WorkerReplyAck,
                    &ReplyAck { request_id },
                ));
            }
            Ok(FrameKind::WorkerStatus) => {
                if payload.len() > STATUS_BYTES_MAX {
                    return Err(CloseCode::InvalidMessage);
                }
                let status =
                    WorkerStatus::decode(payload).map_err(|_| CloseCode::InvalidMessage)?;
                switchboard().note_status(self.id, status);
            }
            Ok(
                FrameKind::GatewayHello
                | FrameKind::WorkerConnect
                | FrameKind::GatewayConnectionReady
                | FrameKind::GatewayExecutorRequest
                | FrameKind::WorkerReplyAck
                | FrameKind::GatewayHeartbeat
                | FrameKind::GatewayClosing
                | FrameKind::WorkerRequestExtendLeaseAck
                | FrameKind::SyncFailed,
            ) => return Err(CloseCode::InvalidMessage),
            Err(_) => tracing::debug!(
                kind = frame.kind,
                "a worker sent a frame of an unknown kind"
            ),
        }
        Ok(())
    }
}
