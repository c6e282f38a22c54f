//! Bodies of requests: whole, within a limit, in time, and not too many at once.

use crate::answer::ApiError;
use crate::state::Shared;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of bodies that all requests hold together; more are refused until some are done.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The unit in which that is counted.
const PERMIT_BYTES: usize = 1_024;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Room for the bodies of all requests.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for what a server may hold.
    pub(crate) fn new() -> Self {
        Self::of(HELD_BYTES_MAX)
    }

    fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PERMIT_BYTES)))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.0)
            .try_acquire_many_owned(permits)
            .map_err(|_| {
                let message = "too many large requests at once; send this one again in a moment";
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
            })
    }
}

/// A request's body of at most so many bytes. One that says it is larger is refused unread. It counts against the
/// [`Room`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Body<const BYTES_MAX: usize> {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl<const BYTES_MAX: usize> Body<BYTES_MAX> {
    /// Reads a request's body.
    pub(crate) async fn read(request: Request, room: &Room) -> Result<Self, ApiError> {
        let announced = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BYTES_MAX as u64) {
            return Err(too_large(BYTES_MAX));
        }
        let arrived = tokio::time::timeout(ARRIVAL, Self::collect(request, room)).await;
        arrived.unwrap_or_else(|_| {
            let message = format!(
                "the request's body did not arrive within {} s",
                ARRIVAL.as_secs()
            );
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
        })
    }

    async fn collect(request: Request, room: &Room) -> Result<Self, ApiError> {
        let mut body = request.into_body();
        let mut bytes = BytesMut::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let message = format!("the request's body cannot be read: {error}");
                ApiError::new(StatusCode::BAD_REQUEST, message)
            })?;
            // Anything but data is trailers, which nobody needs.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > BYTES_MAX {
                return Err(too_large(BYTES_MAX));
            }
            // Taken as it comes, so that nobody waits for room while holding some.
            let more = room.take(data.len())?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Self {
            bytes: bytes.freeze(),
            _room: held,
        })
    }
}

impl<const BYTES_MAX: usize> FromRequest<Shared> for Body<BYTES_MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        Self::read(request, &shared.room).await
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the request's body is larger than {bytes_max} bytes; send it in parts"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(room: &Room, bytes: usize) -> Result<Body<10_000>, ApiError> {
        let request = Request::new(axum::body::Body::from(vec![b'x'; bytes]));
        Body::read(request, room).await
    }

    #[tokio::test]
    async fn bodies_beyond_the_room_are_refused_until_others_are_done() {
        let room = Room::of(8 * 1_024);
        let first = read(&room, 6_000).await.expect("there is room");
        assert_eq!(first.bytes.len(), 6_000);
        let refused = read(&room, 6_000).await.expect_err("there is no more room");
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(read(&room, 6_000).await.is_ok(), "there is room again");
        assert!(
            read(&room, 8_000).await.is_ok(),
            "what was refused holds nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let never = futures::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        let request = Request::new(axum::body::Body::from_stream(never));
        let refused = Body::<10_000>::read(request, &Room::new())
            .await
            .expect_err("it never arrives");
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    }
}
