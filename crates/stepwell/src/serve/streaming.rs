//! Answers that begin before their call has ended: spaces keep the connection alive, one JSON object ends it.

use crate::BoxFuture;
use crate::moment::{Clock, Delay};
use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a space is sent: proxies give up connections that are silent for some tens of seconds.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// The body of an answer: whole, or in pieces as they come.
pub struct Body(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Streaming(Box<Streaming>),
}

struct Streaming {
    /// `None` when its end was sent.
    call: Option<BoxFuture<'static, Response<Bytes>>>,
    clock: Arc<dyn Clock>,
    heartbeat: Delay,
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.0 {
            Kind::Whole(_) => "Body(whole)",
            Kind::Streaming(_) => "Body(streaming)",
        })
    }
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(super) fn streaming(
        call: BoxFuture<'static, Response<Bytes>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Kind::Streaming(Box::new(Streaming {
            call: Some(call),
            heartbeat: clock.delay(HEARTBEAT),
            clock,
        })))
    }

    /// The next piece; `None` after the last. It is fine to drop the future and ask again.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The same, for implementing streams and bodies.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take()),
            Kind::Streaming(streaming) => streaming.poll(cx),
        }
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(response) = call.as_mut().poll(cx) {
            self.call = None;
            return Poll::Ready(Some(envelope(response)));
        }
        if self.heartbeat.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.heartbeat = self.clock.delay(HEARTBEAT);
        Poll::Ready(Some(Bytes::from_static(b" ")))
    }
}

/// What the answer would have been.
fn envelope(response: Response<Bytes>) -> Bytes {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::from(value)))
    });
    let envelope = json!({
        "status": parts.status.as_u16(),
        "headers": headers.collect::<Map<_, _>>(),
        "body": String::from_utf8_lossy(&body),
    });
    envelope.to_string().into()
}

#[cfg(any(feature = "axum", feature = "tower"))]
impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let chunk = self.get_mut().poll_chunk(cx);
        chunk.map(|chunk| chunk.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => {
                let bytes = bytes.as_ref().map_or(0, Bytes::len);
                http_body::SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            Kind::Streaming(_) => http_body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Streaming(streaming) => streaming.call.is_none(),
        }
    }
}

#[cfg(feature = "actix")]
impl actix_web::body::MessageBody for Body {
    type Error = std::convert::Infallible;

    fn size(&self) -> actix_web::body::BodySize {
        match &self.0 {
            Kind::Whole(None) => actix_web::body::BodySize::Sized(0),
            Kind::Whole(Some(bytes)) => {
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                actix_web::body::BodySize::Sized(bytes)
            }
            Kind::Streaming(_) => actix_web::body::BodySize::Stream,
        }
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let chunk = self.get_mut().poll_chunk(cx);
        chunk.map(|chunk| chunk.map(Ok))
    }
}
