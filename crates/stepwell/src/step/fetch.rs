//! Requests that the server makes: nothing of the app runs, or is kept waiting, meanwhile.

use super::{Slot, Step, decode};
use crate::Error;
use crate::error::StepError;
use crate::execution::StepSpec;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::pin::Pin;
use std::task::{Context, Poll};
use stepwell_protocol::op::Opcode;

impl Step {
    /// Has the server make an HTTP request: the function is not called again before the answer is there. Any answer is
    /// a result, whatever its status.
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// #[derive(serde::Deserialize)]
    /// struct User { name: String }
    ///
    /// async fn handler(ctx: Context) -> Result<String, Error> {
    ///     let user: User = ctx
    ///         .step()
    ///         .fetch("user")
    ///         .get("https://api.example.com/users/1")
    ///         .header("accept", "application/json")
    ///         .await?
    ///         .error_for_status()?
    ///         .json()?;
    ///     Ok(user.name)
    /// }
    /// ```
    pub fn fetch(&self, id: impl Into<String>) -> Fetch {
        Fetch {
            step: self.clone(),
            id: id.into(),
        }
    }
}

/// A request without its method and URL; see [`Step::fetch`].
#[derive(Debug)]
#[must_use = "a request needs a method and a URL"]
pub struct Fetch {
    step: Step,
    id: String,
}

macro_rules! methods {
    ($($name:ident $method:ident),*) => {
        impl Fetch {
            $(
                #[doc = concat!("A `", stringify!($method), "` request.")]
                pub fn $name(self, url: impl Into<String>) -> FetchRequest {
                    self.request(Method::$method, url)
                }
            )*
        }
    };
}

methods! { get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE }

impl Fetch {
    /// A request of any method, but `CONNECT` and `TRACE`.
    pub fn request(self, method: Method, url: impl Into<String>) -> FetchRequest {
        let mut spec = StepSpec::new(self.id, Opcode::Gateway);
        spec.opts
            .insert("method".to_owned(), method.as_str().into());
        let url: String = url.into();
        spec.opts.insert("url".to_owned(), url.into());
        spec.opts
            .insert("headers".to_owned(), Value::Object(Map::new()));
        FetchRequest {
            slot: self.step.slot(spec),
        }
    }
}

/// The future of a request; see [`Step::fetch`].
#[derive(Debug)]
#[must_use = "a step does nothing until it is awaited"]
pub struct FetchRequest {
    slot: Slot,
}

super::step_options! {
    impl[] FetchRequest;
}

impl FetchRequest {
    /// A header; one given before under the same name goes.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Some(Value::Object(headers)) = self.option_mut("headers") {
            let value: String = value.into();
            headers.insert(name.to_ascii_lowercase(), value.into());
        }
        self
    }

    /// `Authorization: Bearer …`.
    pub fn bearer_auth(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A text as the body: at most 4 MiB.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        let text: String = text.into();
        self.set("body", text.into());
        self
    }

    /// A value as the body, in JSON; says so in `Content-Type`.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match super::json_of("the body", &value) {
            Ok(value) => self
                .header("content-type", "application/json")
                .body(value.to_string()),
            Err(problem) => {
                if let Some(spec) = self.slot.spec_mut() {
                    spec.problem = Some(problem);
                }
                self
            }
        }
    }

    /// Adds parameters to the URL's query.
    pub fn query<'q>(mut self, pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> Self {
        if let Some(Value::String(url)) = self.option_mut("url") {
            let fragment = url.find('#').map(|at| url.split_off(at));
            for (name, value) in pairs {
                let joint = if url.contains('?') { '&' } else { '?' };
                url.push(joint);
                url.push_str(&crate::client::percent_encoded(name));
                url.push('=');
                url.push_str(&crate::client::percent_encoded(value));
            }
            url.push_str(&fragment.unwrap_or_default());
        }
        self
    }

    /// Subscribers of this topic get the answer, too.
    pub fn publish_to<T: ?Sized>(mut self, topic: &super::Topic<T>) -> Self {
        let to = json!({"channel": topic.channel(), "topic": topic.name()});
        self.set("publish", to);
        self
    }

    fn set(&mut self, key: &str, value: Value) {
        if let Some(spec) = self.slot.spec_mut() {
            spec.opts.insert(key.to_owned(), value);
        }
    }

    fn option_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.slot.spec_mut()?.opts.get_mut(key)
    }
}

impl Future for FetchRequest {
    type Output = Result<Fetched, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.slot.poll_recorded(cx).map(|recorded| {
            let answer = recorded?;
            decode(this.slot.info().id, &answer).map(Fetched)
        })
    }
}

/// The answer to a request that the server made.
#[derive(Debug, Clone)]
pub struct Fetched(Answer);

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    #[serde(default)]
    url: String,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: String,
    status_code: u16,
}

impl Fetched {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        // What a server recorded is a status; anything else reads as a gateway's failure.
        StatusCode::from_u16(self.0.status_code).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    /// Where the answer came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// A header; of one that came several times, all values joined by commas.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str())
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let readable = self.0.headers.iter().filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            let value: HeaderValue = value.as_str()?.parse().ok()?;
            Some((name, value))
        });
        readable.collect()
    }

    /// The body.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.body
    }

    /// The body's JSON.
    ///
    /// # Errors
    /// It is not JSON, or not a `T`; another attempt would find the same, so none comes.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        stepwell_protocol::decode::from_slice(self.0.body.as_bytes()).map_err(|error| {
            let message = format!("the answer of {} is not understood: {error}", self.origin());
            Error::new("FetchAnswerError", message).non_retriable()
        })
    }

    /// The answer, if its status is not one of an error.
    ///
    /// # Errors
    /// The status is 400 or above. The answer is recorded, so no other attempt comes.
    pub fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return Ok(self);
        }
        let message = format!("{} answered {status}", self.origin());
        Err(Error::new("FetchStatusError", message).non_retriable())
    }

    /// The URL without what may hold secrets.
    fn origin(&self) -> String {
        let uri = self.0.url.parse::<http::Uri>().ok();
        let host = uri.as_ref().and_then(http::Uri::host);
        host.unwrap_or("the server").to_owned()
    }
}
