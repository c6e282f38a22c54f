//! What goes out on a connection: bounded by frames and by bytes, so that a worker that does not read holds up nobody.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures::SinkExt;
use futures::stream::SplitSink;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::{CloseCode, Frame, FrameKind, Message as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Frames that wait to go out on one connection.
const FRAMES_MAX: usize = 1_024;
/// And their bytes: a few of the largest calls.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The unit in which bytes are counted.
const PERMIT_BYTES: usize = 1_024;

/// The frames of one connection that wait to go out; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    waiting: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    /// Set when the worker does not read: its connection ends.
    stuck: CancellationToken,
}

#[derive(Debug)]
enum Outgoing {
    Frame {
        bytes: Bytes,
        _room: OwnedSemaphorePermit,
    },
    Close(CloseCode),
}

impl Outbox {
    /// An outbox, and what writes its frames to the socket until it is closed or stuck.
    pub(super) fn new(
        sink: SplitSink<WebSocket, Message>,
        patience: Duration,
    ) -> (Self, impl Future<Output = ()>) {
        let (waiting, frames) = mpsc::channel(FRAMES_MAX);
        let outbox = Self {
            waiting,
            room: Arc::new(Semaphore::new(BYTES_MAX / PERMIT_BYTES)),
            stuck: CancellationToken::new(),
        };
        let writer = write(sink, frames, patience, outbox.stuck.clone());
        (outbox, writer)
    }

    /// An outbox whose frames go nowhere.
    #[cfg(test)]
    pub(super) fn detached() -> Self {
        Self {
            waiting: mpsc::channel(FRAMES_MAX).0,
            room: Arc::new(Semaphore::new(BYTES_MAX / PERMIT_BYTES)),
            stuck: CancellationToken::new(),
        }
    }

    /// Whether a frame of about this size could go in now.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.capacity() > 1 && self.room.available_permits() >= permits(bytes) as usize
    }

    /// Puts a frame in, or says that it has no room.
    pub(super) fn try_send(&self, frame: &Frame) -> Result<(), Full> {
        let bytes = Bytes::from(frame.encode_to_vec());
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(permits(bytes.len()))
            .map_err(|_| Full)?;
        self.waiting
            .try_send(Outgoing::Frame {
                bytes,
                _room: permit,
            })
            .map_err(|_| Full)
    }

    /// Puts a small frame in; a worker that has let so much wait that it has no room has had its chance.
    pub(super) fn send(&self, frame: &Frame) {
        if self.try_send(frame).is_err() {
            self.stuck.cancel();
        }
    }

    pub(super) fn send_bare(&self, kind: FrameKind) {
        self.send(&Frame::bare(kind));
    }

    /// Has the connection closed after what already waits.
    pub(super) fn close(&self, code: CloseCode) {
        if self.waiting.try_send(Outgoing::Close(code)).is_err() {
            self.stuck.cancel();
        }
    }

    /// Waits until the worker turns out not to read.
    pub(super) async fn stuck(&self) {
        self.stuck.cancelled().await;
    }
}

/// There is no room, or no connection any more.
#[derive(Debug)]
pub(super) struct Full;

fn permits(bytes: usize) -> u32 {
    // Never more than there are: a frame alone always has room.
    let permits = bytes.div_ceil(PERMIT_BYTES).min(BYTES_MAX / PERMIT_BYTES);
    u32::try_from(permits).expect("BYTES_MAX / PERMIT_BYTES fits")
}

async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<Outgoing>,
    patience: Duration,
    stuck: CancellationToken,
) {
    while let Some(outgoing) = frames.recv().await {
        let (message, is_last) = match &outgoing {
            Outgoing::Frame { bytes, .. } => (Message::Binary(bytes.clone()), false),
            Outgoing::Close(code) => (Message::Close(Some(close_frame(*code))), true),
        };
        let sent = tokio::time::timeout(patience, sink.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return stuck.cancel();
        }
        if is_last {
            return;
        }
    }
}

fn close_frame(code: CloseCode) -> CloseFrame {
    CloseFrame {
        code: code.status(),
        reason: Utf8Bytes::from_static(code.as_str()),
    }
}
