//! A seat: whose turn it is on a connection, told by what is read and written.

use super::crowd::{Crowd, Surroundings};
use axum::body::Body;
use hyper::body::{Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a connection's client keeps the server waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The first byte of the first request.
    Greeting,
    /// The rest of a request's head.
    Head,
    /// More of a body.
    Body,
    /// Room to write to.
    Reader,
    /// The next request; or the last answer is still to be read.
    Next,
}

impl Wait {
    const ALL: [Self; 5] = [
        Self::Greeting,
        Self::Head,
        Self::Body,
        Self::Reader,
        Self::Next,
    ];
}

/// The server's turn.
const OURS: u64 = 0;
/// Low bits of a turn that say what is waited for; the others are since when, in milliseconds.
const WAIT_BITS: u32 = 3;

/// One connection, as the crowd sees it.
#[derive(Debug)]
pub(super) struct Seat {
    epoch: Instant,
    /// [`OURS`], or since when the client's, and why.
    turn: AtomicU64,
    /// Whether a request was answered.
    proven: AtomicBool,
    /// Whether the body at hand may take its time.
    patient: AtomicBool,
    cut: CancellationToken,
}

/// For requests whose bodies are streams, which arrive while something happens: with patience it is the server's turn
/// until the body's end, and whoever reads it limits how long that takes.
#[derive(Debug, Clone)]
pub(crate) struct Patience(Arc<Seat>);

impl Patience {
    pub(super) fn with(seat: Arc<Seat>) -> Self {
        Self(seat)
    }

    /// Gives the request's body as long as it takes.
    pub(crate) fn grant(&self) {
        self.0.patient.store(true, Ordering::Relaxed);
        self.0.no_longer(Wait::Body);
    }
}

impl Seat {
    pub(super) fn new(epoch: Instant) -> Self {
        let seat = Self {
            epoch,
            turn: AtomicU64::new(OURS),
            proven: AtomicBool::new(false),
            patient: AtomicBool::new(false),
            cut: CancellationToken::new(),
        };
        seat.wait(Wait::Greeting);
        seat
    }

    /// Ready when the connection is to end.
    pub(super) fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    pub(super) fn end(&self) {
        self.cut.cancel();
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// What the client keeps the server waiting for, and since when, in milliseconds after the epoch; nothing in the
    /// server's turn.
    pub(super) fn waits(&self) -> Option<(Wait, u64)> {
        let turn = self.turn.load(Ordering::Relaxed);
        let wait = (turn & ((1 << WAIT_BITS) - 1)).checked_sub(1)?;
        let wait = Wait::ALL.get(usize::try_from(wait).ok()?)?;
        Some((*wait, turn >> WAIT_BITS))
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.patient.store(false, Ordering::Relaxed);
        self.take_turn();
    }

    pub(super) fn take_turn(&self) {
        self.turn.store(OURS, Ordering::Relaxed);
    }

    fn wait(&self, wait: Wait) {
        let since = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX >> 8);
        let turn = (since << WAIT_BITS) | (wait as u64 + 1);
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Begins to wait, unless the client's turn has begun before: what trickles in does not begin a new turn.
    fn wait_from_now(&self, wait: Wait) {
        if self.waits().is_none() {
            self.wait(wait);
        }
    }

    fn no_longer(&self, wait: Wait) {
        if self.waits().is_some_and(|(now, _)| now == wait) {
            self.take_turn();
        }
    }

    pub(super) fn answered(&self) {
        self.proven.store(true, Ordering::Relaxed);
        self.wait(Wait::Next);
    }

    fn heard(&self) {
        if let Some((Wait::Greeting | Wait::Next, _)) = self.waits() {
            self.wait(Wait::Head);
        }
    }
}

/// A connection's stream that keeps its seat, for as long as it is open, also after an upgrade.
#[derive(Debug)]
pub(super) struct Seated<S> {
    stream: S,
    seat: Arc<Seat>,
    number: u64,
    crowd: Arc<Crowd>,
}

impl<S> Seated<S> {
    pub(super) fn new(stream: S, seat: Arc<Seat>, number: u64, crowd: Arc<Crowd>) -> Self {
        Self {
            stream,
            seat,
            number,
            crowd,
        }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings::of(&self.crowd)
    }
}

impl<S> Drop for Seated<S> {
    fn drop(&mut self) {
        self.crowd.leave(self.number);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Seated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.seat.heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Seated<S> {
    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() {
            self.seat.wait_from_now(Wait::Reader);
        } else {
            self.seat.no_longer(Wait::Reader);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A request's body: while more of it is to come, it is the client's turn.
#[derive(Debug)]
pub(super) struct Asking {
    body: Incoming,
    seat: Arc<Seat>,
}

impl Asking {
    pub(super) fn new(body: Incoming, seat: Arc<Seat>) -> Self {
        Self { body, seat }
    }
}

impl hyper::body::Body for Asking {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Pending if self.seat.patient.load(Ordering::Relaxed) => {}
            Poll::Pending => self.seat.wait_from_now(Wait::Body),
            // A frame in the middle does not give the turn back: one that never ends would look busy.
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(_) => self.seat.no_longer(Wait::Body),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // What is not read to its end is not waited for.
        self.seat.no_longer(Wait::Body);
    }
}

/// An answer's body: once all of it was handed over, it is the client's turn.
#[derive(Debug)]
pub(super) struct Answering {
    body: Body,
    seat: Option<Arc<Seat>>,
}

impl Answering {
    pub(super) fn new(body: Body, seat: Option<Arc<Seat>>) -> Self {
        Self { body, seat }
    }
}

impl hyper::body::Body for Answering {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.answered();
        }
    }
}
