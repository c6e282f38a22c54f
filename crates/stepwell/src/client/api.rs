//! A server's API, as far as an app needs it.

use super::{Checkpoint, CheckpointError, Client, percent_encoded};
use crate::BoxFuture;
#[cfg(feature = "realtime")]
use crate::realtime::Arrivals;
use crate::step::Topic;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepwell_protocol::call::{CallRequest, MemoizedSteps};
use stepwell_protocol::op::Op;
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
    /// What was to be sent is not JSON; nothing was asked.
    #[error("{what} cannot be written as JSON: {reason}")]
    Serialize {
        /// What was to be sent.
        what: &'static str,
        /// What serde says.
        reason: String,
    },
}

/// What stands in for a server's API, when the engine is in this process.
pub(crate) trait LocalApi: Send + Sync + 'static {
    fn signal(
        &self,
        signal: String,
        data: SharedJson,
    ) -> BoxFuture<'_, Result<Option<RunId>, ApiError>>;

    fn publish(&self, channel: &str, topic: &str, run: Option<RunId>, data: SharedJson);

    /// What is published from now on to topics of a channel. Nothing ever, where nobody subscribes.
    #[cfg(feature = "realtime")]
    fn subscribe(&self, _channel: String, _topics: Vec<String>) -> Arrivals {
        Box::pin(futures::stream::empty())
    }

    fn checkpoint<'a>(
        &'a self,
        call: &'a Checkpoint,
        steps: Vec<Op>,
    ) -> BoxFuture<'a, Result<(), CheckpointError>>;
}

impl Client {
    /// Sends a signal, with data for whoever waits for it: the run that it resumed, or `None` when nobody waited.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn send_signal<T: Serialize + ?Sized>(
        &self,
        signal: &str,
        data: &T,
    ) -> Result<Option<RunId>, ApiError> {
        self.signal(signal, to_json("the signal's data", data)?)
            .await
    }

    pub(crate) async fn signal(
        &self,
        signal: &str,
        data: SharedJson,
    ) -> Result<Option<RunId>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Resumed,
        }
        #[derive(Deserialize)]
        struct Resumed {
            run_id: RunId,
        }
        if let Some(local) = &self.0.local {
            return local.signal(signal.to_owned(), data).await;
        }
        let url = format!("{}/v1/signals", self.config().api_url);
        let signal = Value::from(signal);
        let body = format!("{{\"signal\":{signal},\"data\":{}}}", data.get());
        let answer = self.call_api(Method::POST, &url, &[], body.into()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => parse::<Answer>(&url, &answer).map(|answer| Some(answer.data.run_id)),
        }
    }

    /// Publishes a message to whoever is subscribed to the topic now.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn publish<T: Serialize + ?Sized>(
        &self,
        topic: &Topic<T>,
        message: &T,
    ) -> Result<(), ApiError> {
        let data = to_json("the message", message)?;
        self.publish_json(topic.channel(), topic.name(), None, data)
            .await
    }

    pub(crate) async fn publish_json(
        &self,
        channel: &str,
        topic: &str,
        run: Option<RunId>,
        data: SharedJson,
    ) -> Result<(), ApiError> {
        if let Some(local) = &self.0.local {
            local.publish(channel, topic, run, data);
            return Ok(());
        }
        let mut url = format!(
            "{}/v1/realtime/publish?channel={}&topic={}",
            self.config().api_url,
            percent_encoded(channel),
            percent_encoded(topic)
        );
        if let Some(run) = run {
            url.push_str(&format!("&run_id={run}"));
        }
        let body = Bytes::from(data.get().to_owned());
        let answer = self.call_api(Method::POST, &url, &[], body).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(refused(&url, &answer)),
        }
    }

    /// Notes something about a run.
    pub(crate) async fn note_run(&self, run: RunId, note: Value) -> Result<(), ApiError> {
        let url = format!("{}/v1/runs/{run}/metadata", self.config().api_url);
        let body = serde_json::json!({"target": {}, "metadata": [note]}).to_string();
        let answer = self.call_api(Method::POST, &url, &[], body.into()).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(refused(&url, &answer)),
        }
    }

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

    /// Fetches what was left out of a large call.
    pub(crate) async fn complete(&self, call: &mut CallRequest) -> Result<(), ApiError> {
        call.events = self.run_events(call.ctx.run_id).await?;
        call.steps = self.run_steps(call.ctx.run_id).await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, ApiError> {
        let answer = self.call_api(Method::GET, url, &[], Bytes::new()).await?;
        parse(url, &answer)
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
        if !extra.iter().any(|(name, _)| header::CONTENT_TYPE == *name) {
            request = request.header(header::CONTENT_TYPE, "application/json");
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

fn parse<T: DeserializeOwned>(url: &str, answer: &Response<Bytes>) -> Result<T, ApiError> {
    if !answer.status().is_success() {
        return Err(refused(url, answer));
    }
    stepwell_protocol::decode::from_slice(answer.body()).map_err(|error| ApiError::Answer {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

fn to_json<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<SharedJson, ApiError> {
    serde_json::value::to_raw_value(value)
        .map(SharedJson::from)
        .map_err(|error| ApiError::Serialize {
            what,
            reason: error.to_string(),
        })
}

pub(crate) fn refused(url: &str, answer: &Response<Bytes>) -> ApiError {
    let body = answer.body();
    ApiError::Refused {
        url: url.to_owned(),
        status: answer.status().as_u16(),
        body: String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned(),
    }
}
