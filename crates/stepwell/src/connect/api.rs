//! What a worker asks over HTTP: where to connect, and to take replies that it could not send.

use super::ConnectError;
use crate::client::{ApiError, Client, api_refused};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use std::time::Duration;
use stepwell_protocol::connect::{
    CONTENT_TYPE, Message as _, SdkResponse, StartRequest, StartResponse,
};

/// How long either may take.
const REQUEST_MAX: Duration = Duration::from_secs(15);
/// Groups of gateways that are named; the server only needs those that have just failed.
pub(super) const EXCLUDED_MAX: usize = 16;

/// What became of a try to connect.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another may go better.
    Passing(String),
    /// Another goes the same way until somebody does something. A worker that has been connected tries all the same.
    Lasting(ConnectError),
}

/// Asks where to connect.
pub(super) async fn start(client: &Client, excluded: &[String]) -> Result<StartResponse, Failure> {
    let body = StartRequest {
        exclude_gateways: excluded.to_vec(),
    };
    let url = format!("{}/v0/connect/start", client.config().api_url);
    let answer = post(client, &url, body.encode_to_vec().into())
        .await
        .map_err(|error| Failure::Passing(error.to_string()))?;
    match answer.status() {
        StatusCode::OK => StartResponse::decode(answer.into_body()).map_err(|error| {
            Failure::Passing(format!("the answer of {url} is not understood: {error}"))
        }),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Lasting(ConnectError::Refused(
            api_refused(&url, &answer),
        ))),
        _ => Err(Failure::Passing(api_refused(&url, &answer).to_string())),
    }
}

/// What became of a reply that was brought over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// The server has it.
    Taken,
    /// The server does not want it, now or later.
    Refused,
    /// No answer, or one that may be another later.
    Failed,
}

/// Brings a reply.
pub(super) async fn flush(client: &Client, reply: &SdkResponse) -> Flushed {
    let url = format!("{}/v0/connect/flush", client.config().api_url);
    match post(client, &url, reply.encode_to_vec().into()).await {
        Ok(answer) if answer.status().is_success() => Flushed::Taken,
        Ok(answer) if is_lasting(answer.status()) => {
            tracing::warn!(request = reply.request_id, error = %api_refused(&url, &answer), "a reply was refused");
            Flushed::Refused
        }
        Ok(answer) => {
            tracing::debug!(error = %api_refused(&url, &answer), "a reply was not taken");
            Flushed::Failed
        }
        Err(error) => {
            tracing::debug!(%error, "a reply was not taken");
            Flushed::Failed
        }
    }
}

fn is_lasting(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
    )
}

async fn post(client: &Client, url: &str, body: Bytes) -> Result<http::Response<Bytes>, ApiError> {
    let content_type = [(header::CONTENT_TYPE.as_str(), CONTENT_TYPE.to_owned())];
    let request = client.call_api(Method::POST, url, &content_type, body);
    match tokio::time::timeout(REQUEST_MAX, request).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::Unreachable {
            url: url.to_owned(),
            reason: format!("nothing came for {} s", REQUEST_MAX.as_secs()),
        }),
    }
}
