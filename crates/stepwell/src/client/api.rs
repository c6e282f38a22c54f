//! A server's API, as far as an app needs it.

use super::Client;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use stepwell_protocol::call::MemoizedSteps;
use stepwell_protocol::signing::SigningKey;
use stepwell_protocol::{RunId, SharedJson, headers};

/// A request to a server's API failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No answer came.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The answer, shortened.
        body: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer of {url} is not understood: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Client {
    /// The events of a run, for a call that came without them.
    pub(crate) async fn run_events(&self, run: RunId) -> Result<Vec<SharedJson>, ApiError> {
        let url = format!("{}/v0/runs/{run}/batch", self.config().api_url);
        self.get(&url).await
    }

    /// What is recorded of a run's steps, likewise.
    pub(crate) async fn run_steps(&self, run: RunId) -> Result<MemoizedSteps, ApiError> {
        let url = format!("{}/v0/runs/{run}/actions", self.config().api_url);
        self.get(&url).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, ApiError> {
        let answer = self.call_api(Method::GET, url, &[], Bytes::new()).await?;
        if !answer.status().is_success() {
            return Err(refused(url, &answer));
        }
        stepwell_protocol::decode::from_slice(answer.body()).map_err(|error| ApiError::Answer {
            url: url.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Asks the API, with the signing key and, if that is refused, with the fallback key.
    pub(crate) async fn call_api(
        &self,
        method: Method,
        url: &str,
        extra: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Response<Bytes>, ApiError> {
        let mut keys = self.config().signing_keys();
        let first = keys.next();
        let answer = self
            .call_with_key(&method, url, extra, &body, first)
            .await?;
        let is_refused = matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        match keys.next() {
            Some(fallback) if is_refused => {
                self.call_with_key(&method, url, extra, &body, Some(fallback))
                    .await
            }
            _ => Ok(answer),
        }
    }

    async fn call_with_key(
        &self,
        method: &Method,
        url: &str,
        extra: &[(&'static str, String)],
        body: &Bytes,
        key: Option<&SigningKey>,
    ) -> Result<Response<Bytes>, ApiError> {
        let unreachable = |reason: String| ApiError::Unreachable {
            url: url.to_owned(),
            reason,
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, crate::SDK)
            .header(headers::SDK, crate::SDK);
        if let Some(environment) = &self.config().environment {
            request = request.header(headers::ENVIRONMENT, environment);
        }
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.hashed()));
        }
        for (name, value) in extra {
            request = request.header(*name, value);
        }
        let request = request
            .body(body.clone())
            .map_err(|error| unreachable(error.to_string()))?;
        self.0
            .http
            .send(request)
            .await
            .map_err(|error| unreachable(error.reason))
    }
}

pub(crate) fn refused(url: &str, answer: &Response<Bytes>) -> ApiError {
    let body = answer.body();
    ApiError::Refused {
        url: url.to_owned(),
        status: answer.status().as_u16(),
        body: String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned(),
    }
}
