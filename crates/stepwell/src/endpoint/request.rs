//! What a handler gets.

use crate::serve::query;
use crate::step::Step;
use crate::{Error, RunId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// A request, as an endpoint's handler sees it each time that it is called for one run.
///
/// It has what the server keeps of a request, and is the same on every call. Other headers are not among it: a cookie or a
/// token would be gone when the server moves the run on. Look at those in [`Endpoint::authorize`](super::Endpoint::authorize).
#[derive(Debug)]
pub struct Request {
    parts: Arc<Parts>,
    step: Step,
}

/// What is kept of a request.
pub(super) struct Parts {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// Scheme, host and port.
    origin: String,
    ip: String,
    content_type: String,
    body: Bytes,
}

impl fmt::Debug for Parts {
    /// Without the body, which may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Parts")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}

impl Parts {
    pub(super) fn of(origin: String, parts: http::request::Parts, body: Bytes) -> Arc<Self> {
        let text = |headers: &HeaderMap, name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let forwarded = text(&parts.headers, "x-forwarded-for");
        Arc::new(Self {
            origin,
            ip: forwarded
                .split(',')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            content_type: text(&parts.headers, header::CONTENT_TYPE.as_str()),
            method: parts.method,
            uri: parts.uri,
            body,
        })
    }

    /// As the data of an event.
    pub(super) fn to_data(&self, name: Option<&str>) -> Value {
        let mut data = json!({
            "domain": self.origin,
            "method": self.method.as_str(),
            "path": self.uri.path(),
            "ip": self.ip,
            "content_type": self.content_type,
            "query_params": self.uri.query().unwrap_or_default(),
            "body": STANDARD.encode(&self.body),
        });
        if let Some(name) = name {
            data["fn"] = name.into();
        }
        data
    }
}

impl Request {
    pub(super) fn new(parts: Arc<Parts>, step: Step) -> Self {
        Self { parts, step }
    }

    /// Makes steps.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.step.execution().run.run_id
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path, from its first slash on.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.uri.query()
    }

    /// A parameter of the query, decoded: the first of this name.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        query(&self.parts.uri, name)
    }

    /// The type of the body; empty when none is given.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.parts.content_type
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.parts.body
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// `InvalidBody`, which is not tried again and says where the body differs. A handler that returns it fails its
    /// run; one that rather answers `400` returns a [`Response`](super::Response).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        stepwell_protocol::decode::from_slice(&self.parts.body).map_err(|error| {
            let message = format!("the request's body is not what is expected: {error}");
            Error::new("InvalidBody", message).non_retriable()
        })
    }

    /// A value of this type that a middleware has
    /// [provided](crate::middleware::FunctionInput::provide); `None` when none has.
    #[must_use]
    pub fn provided<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.step.execution().provided.get()
    }
}
