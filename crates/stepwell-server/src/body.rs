//! Bodies of requests: whole, and within a limit.

use crate::answer::ApiError;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use std::error::Error;

/// A request's body of at most so many bytes. One that says it is larger is refused unread.
#[derive(Debug)]
pub(crate) struct Body<const BYTES_MAX: usize>(pub(crate) Bytes);

impl<const BYTES_MAX: usize, S: Sync> FromRequest<S> for Body<BYTES_MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let announced = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BYTES_MAX as u64) {
            return Err(too_large(BYTES_MAX));
        }
        match axum::body::to_bytes(request.into_body(), BYTES_MAX).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(error)
                if error
                    .source()
                    .is_some_and(<dyn Error>::is::<LengthLimitError>) =>
            {
                Err(too_large(BYTES_MAX))
            }
            Err(error) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("the request's body cannot be read: {error}"),
            )),
        }
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the request's body is larger than {bytes_max} bytes; send it in parts"),
    )
}
