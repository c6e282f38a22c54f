//! Durable endpoints: an HTTP handler of an app that becomes a run.
//!
//! The app executes the handler by itself and reports the run as it goes: first with [`NewRun`], then with
//! [`MoreSteps`]. What the request was travels as the data of an event; the server makes the same request again
//! ([`HttpRequest::url`], [`HttpRequest::body_bytes`]) when it moves the run on. The run's output is the handler's
//! response ([`Response`]).

use crate::RunId;
use crate::decode::null_as_default;
use crate::op::Op;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// Scheme, host and port of an app. Host names have at most 253 bytes.
const DOMAIN_BYTES_MAX: usize = 300;
/// A method; the longest registered one has 17 letters.
const METHOD_BYTES_MAX: usize = 32;
/// A path, and a query: what common servers take of a URL.
const PATH_BYTES_MAX: usize = 16 * 1024;
/// The name that an app gives an endpoint.
const NAME_BYTES_MAX: usize = 512;
/// The public id of the function of a domain's endpoints that have none of their own.
pub const SHARED_SLUG: &str = "*";

/// The first report of a run: `POST /v1/checkpoint`.
#[derive(Debug, Clone, Deserialize)]
pub struct NewRun {
    /// The run; its app chose the id.
    pub run_id: RunId,
    /// The request, as an event.
    pub event: RequestEvent,
    /// What the handler has done so far.
    #[serde(default, deserialize_with = "null_as_default")]
    pub steps: Vec<Op>,
    /// Retries of each step and of the handler.
    #[serde(default)]
    pub retries: Option<u32>,
    /// The request version that the SDK speaks.
    #[serde(default)]
    pub request_version: Option<i32>,
}

/// A later report of a run: `POST /v1/checkpoint/{run}/steps`.
#[derive(Debug, Clone, Deserialize)]
pub struct MoreSteps {
    /// What the handler has done since.
    #[serde(default, deserialize_with = "null_as_default")]
    pub steps: Vec<Op>,
}

/// A request, as the event that starts the run. The event's name says nothing more.
#[derive(Debug, Clone, Deserialize)]
pub struct RequestEvent {
    /// What was requested.
    pub data: HttpRequest,
    /// When, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub ts: Option<i64>,
}

/// What was requested of an endpoint: the data of its event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Scheme, host and port.
    pub domain: String,
    /// The method.
    pub method: String,
    /// The path, from its first slash on.
    pub path: String,
    /// The name that the app gives the endpoint; empty when it gives none.
    #[serde(
        default,
        rename = "fn",
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Who requested it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub ip: String,
    /// The type of the body; empty when it has none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content_type: String,
    /// The query without its question mark.
    #[serde(default, deserialize_with = "null_as_default")]
    pub query_params: String,
    /// The body, as its SDK writes it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub body: String,
    /// What the server notes.
    #[serde(default, rename = "_inngest", skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What the server notes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How the body is written.
    pub body: BodyForm,
}

/// How a request's body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyForm {
    /// As text.
    Text,
    /// In base64, since it may be anything.
    Base64,
}

/// A request that cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct RequestError {
    /// Which part of it.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl HttpRequest {
    /// Notes how the body is written, by the SDK that says so: JavaScript's writes text, others base64. What is not
    /// base64 is text.
    pub fn note_body(&mut self, sdk: &str) {
        let text =
            sdk.contains("js:") || self.body.is_empty() || STANDARD.decode(&self.body).is_err();
        let body = if text {
            BodyForm::Text
        } else {
            BodyForm::Base64
        };
        self.note = Some(Note { body });
    }

    /// Checks everything that is needed to make the request again.
    ///
    /// # Errors
    /// [`RequestError`] with the first field that will not do.
    pub fn check(&self) -> Result<(), RequestError> {
        let lengths = [
            ("domain", self.domain.len(), DOMAIN_BYTES_MAX),
            ("method", self.method.len(), METHOD_BYTES_MAX),
            ("path", self.path.len(), PATH_BYTES_MAX),
            ("query_params", self.query_params.len(), PATH_BYTES_MAX),
            ("fn", self.name.len(), NAME_BYTES_MAX),
        ];
        for (field, bytes, max) in lengths {
            if bytes > max {
                let message = format!("it has {bytes} bytes, and {max} are allowed");
                return Err(RequestError { field, message });
            }
        }
        self.url()?;
        self.method()?;
        if !self.content_type.is_empty() && HeaderValue::from_str(&self.content_type).is_err() {
            let message = "it cannot be a header's value".to_owned();
            return Err(RequestError {
                field: "content_type",
                message,
            });
        }
        Ok(())
    }

    /// Where the request goes.
    ///
    /// # Errors
    /// [`RequestError`] when domain or path cannot be part of a URL.
    pub fn url(&self) -> Result<Url, RequestError> {
        let bad = |field, message: String| RequestError { field, message };
        let parsed = Url::parse(&self.domain).map_err(|error| {
            let message = format!("'{}' is not a URL: {error}", self.domain);
            bad("domain", message)
        })?;
        let plain = matches!(parsed.scheme(), "http" | "https")
            && parsed.has_host()
            && parsed.username().is_empty()
            && parsed.password().is_none()
            && matches!(parsed.path(), "" | "/")
            && parsed.query().is_none()
            && parsed.fragment().is_none();
        if !plain {
            let message = format!(
                "'{}' is not the scheme, host and port of a server, like https://app.example",
                self.domain
            );
            return Err(bad("domain", message));
        }
        if !self.path.starts_with('/') {
            let message = format!("'{}' does not begin with a slash", self.path);
            return Err(bad("path", message));
        }
        let mut url = parsed;
        url.set_path(&self.path);
        url.set_query(Some(&*self.query_params).filter(|query| !query.is_empty()));
        Ok(url)
    }

    /// The method.
    ///
    /// # Errors
    /// [`RequestError`] when it cannot be one.
    pub fn method(&self) -> Result<Method, RequestError> {
        Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| RequestError {
                field: "method",
                message: format!("'{}' is not a method of HTTP", self.method),
            })
    }

    /// The body as it was sent.
    #[must_use]
    pub fn body_bytes(&self) -> Vec<u8> {
        let encoded = self.note.as_ref().map(|note| note.body) == Some(BodyForm::Base64);
        let decoded = encoded.then(|| STANDARD.decode(&self.body).ok()).flatten();
        decoded.unwrap_or_else(|| self.body.clone().into_bytes())
    }

    /// The public id of the endpoint's function: the name that the app gives it, else method and path. One that would be
    /// too long is [`SHARED_SLUG`].
    #[must_use]
    pub fn slug(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let slug = format!("{} {}", self.method, self.path);
        if slug.len() > NAME_BYTES_MAX {
            return SHARED_SLUG.to_owned();
        }
        slug
    }
}

/// What an endpoint's handler responded: the output of a run that ended as its handler wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers that are for the requester.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: String,
}

/// Headers that are between two programs on a connection (RFC 9110, 7.6.1) or describe the body as it was sent.
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Response {
    /// Reads a run's output, `{"status", "headers", "body"}`; `None` when it is something else. Headers that
    /// cannot be sent again are left out.
    #[must_use]
    pub fn of_output(output: &str) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(output).ok()?;
        let status = fields.get("status")?.as_u64()?;
        let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
        // One that is interim or none at all cannot be the end of an exchange.
        if !(200..=599).contains(&status.as_u16()) {
            return None;
        }
        if !fields.contains_key("headers") && !fields.contains_key("body") {
            return None;
        }
        let headers = match fields.remove("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(headers)) => forwarded(&headers),
            Some(_) => return None,
        };
        let body = match fields.remove("body") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(body)) => body,
            Some(body) => body.to_string(),
        };
        Some(Self {
            status,
            headers,
            body,
        })
    }
}

fn forwarded(headers: &Map<String, Value>) -> Vec<(HeaderName, HeaderValue)> {
    let named: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| texts(value))
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut forwarded = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if OF_THE_CONNECTION.contains(&&*lower) || named.contains(&lower) {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(lower.as_bytes()) else {
            continue;
        };
        let values = texts(value).filter_map(|text| HeaderValue::from_str(text).ok());
        forwarded.extend(values.map(|value| (name.clone(), value)));
    }
    forwarded
}

/// A header's value, or its values.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let many = value.as_array().into_iter().flatten();
    value
        .as_str()
        .into_iter()
        .chain(many.filter_map(Value::as_str))
}

#[cfg(test)]
mod tests;
