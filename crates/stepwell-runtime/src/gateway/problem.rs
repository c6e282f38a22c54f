//! What can go wrong with a request. Messages name the origin of a URL at most: its path and query may be secrets.

use super::Failure;
use super::resolver::Refused;
use http::StatusCode;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;
use stepwell_protocol::gateway::Kind;
use stepwell_protocol::reply::RetryAfter;
use stepwell_protocol::{UserError, limits};
use url::Url;

#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Refused(Refused),
    #[error("no answer from {origin}: {reason}")]
    Network { origin: String, reason: String },
    #[error("{origin} did not answer within {after:?}")]
    Timeout { origin: String, after: Duration },
    #[error(
        "step output size is greater than the limit: the answer of {origin} makes more than {} bytes",
        limits::STEP_OUTPUT_BYTES_MAX
    )]
    TooLarge { origin: String },
    #[error("{origin} redirected more than {limit} times")]
    TooManyRedirects { origin: String, limit: usize },
    #[error("{origin} redirected to {reason}")]
    BadRedirect { origin: String, reason: String },
    #[error("{origin} answered {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status {
        origin: String,
        status: StatusCode,
        /// The provider's own words.
        text: String,
        /// Its answer, if it is JSON.
        data: Option<Box<Value>>,
        retry_after: Option<RetryAfter>,
    },
    #[error("{origin} answered {status} with {content}, which is not JSON: {reason}")]
    NotJson {
        origin: String,
        status: StatusCode,
        content: String,
        reason: String,
        /// Whether it is what the request asked for.
        streamed: bool,
    },
}

impl Problem {
    /// What a client's error means.
    pub(super) fn network(url: &Url, error: reqwest::Error) -> Self {
        let timeout = error.is_timeout();
        let connecting = error.is_connect();
        // Its own text and those of its kind among its sources repeat the URL.
        let error = error.without_url();
        let mut reasons = Vec::new();
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(refused) = inner.downcast_ref::<Refused>() {
                return Self::Refused(refused.clone());
            }
            if !inner.is::<reqwest::Error>() {
                reasons.push(inner.to_string());
            }
            source = inner.source();
        }
        let reason = match (timeout, connecting) {
            (true, true) => "connecting took too long".to_owned(),
            _ if reasons.is_empty() => "the connection failed".to_owned(),
            _ => reasons.join(": "),
        };
        Self::Network {
            origin: origin(url),
            reason,
        }
    }

    fn retriable(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } => true,
            Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::TooManyRedirects { .. }
            | Self::BadRedirect { .. } => false,
            Self::Status { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429)
            }
            Self::NotJson { streamed, .. } => !streamed,
        }
    }

    /// What a function gets of it.
    pub(super) fn into_failure(self, kind: Kind) -> Failure {
        let retriable = self.retriable();
        let mut error = UserError::new(kind.error_name(), self.to_string());
        let mut after = None;
        if let Self::Status {
            data, retry_after, ..
        } = self
        {
            error.data = data.map(|data| *data);
            after = retry_after.filter(|_| retriable);
        }
        Failure {
            error,
            retry_after: after,
            retriable,
        }
    }
}

/// Where a URL leads, without what may be secret in it.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
