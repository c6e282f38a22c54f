//! Requests that a function has the server make: `step.fetch` (the op `Gateway`) and `step.ai.infer` (`AIGateway`).
//!
//! ```
//! use stepwell_protocol::gateway::Request;
//! use stepwell_protocol::op::parse_ops;
//!
//! let ops = parse_ops(br#"{"op":"Gateway","id":"x","opts":{"url":"https://example.com/a","method":"get"}}"#)?;
//! let request = Request::from_op(&ops[0]).expect("the options are in order");
//! assert_eq!(request.method, "GET");
//! assert_eq!(request.url.as_str(), "https://example.com/a");
//! # Ok::<(), stepwell_protocol::DecodeError>(())
//! ```

use crate::op::{Op, Opcode};
use base64::Engine;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::method::Method;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use url::Url;

/// A request's URL, in bytes: what servers commonly accept as a request line.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Headers of a request. Servers commonly stop at 100, and a few are added on the way.
pub const HEADERS_MAX: usize = 64;
/// Names and values of a request's headers together, in bytes, and of what proves who asks.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// A request's body, in bytes: as much as a step's output may have, since it is kept beside it.
pub const BODY_BYTES_MAX: usize = crate::limits::STEP_OUTPUT_BYTES_MAX;
/// A channel's or a topic's name, in bytes.
pub const PUBLISH_NAME_BYTES_MAX: usize = crate::realtime::NAME_BYTES_MAX;

/// The version that a request to Anthropic names when it names none: the API refuses requests without.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What belongs to one connection, and what the client that makes the request says itself.
const NOT_PASSED_ON: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
];

/// Parts of the names of headers whose values are secrets.
const SECRET_NAMES: [&str; 9] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// A request to make on behalf of a function. `Debug` shows no secret: no path, no query, no value of a header.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// Who asks, and so what becomes of the answer.
    pub kind: Kind,
    /// Where it goes: `http` or `https`, without user, password, fragment, and without a key that [`Request::auth`]
    /// holds.
    pub url: Url,
    /// How: never `CONNECT` or `TRACE`.
    pub method: Method,
    /// The headers to send; those with secret values are marked as sensitive.
    pub headers: HeaderMap,
    /// What to send.
    pub body: Arc<[u8]>,
    /// What proves to an AI provider who asks.
    pub auth: Option<Auth>,
    /// Where subscribers get the answer, too.
    pub publish: Option<Publish>,
}

/// Which step asks for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `step.fetch`: any answer is a result.
    Fetch,
    /// `step.ai.infer`: an answer other than JSON with a 2xx status is an error.
    Ai,
}

impl Kind {
    /// The name of the error that a function gets.
    #[must_use]
    pub fn error_name(self) -> &'static str {
        match self {
            Self::Fetch => "GatewayError",
            Self::Ai => "AIGatewayError",
        }
    }
}

/// A proof of who asks; it goes to the origin of the request's URL and to no other.
#[derive(Clone)]
pub enum Auth {
    /// As the parameter `key` of the URL's query.
    QueryKey(String),
    /// As a header, which is marked as sensitive.
    Header(HeaderName, HeaderValue),
}

/// Where subscribers get a request's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The channel; empty for the run's own.
    pub channel: String,
    /// The topic within it.
    pub topic: String,
}

impl Request {
    /// The request that an op asks for.
    ///
    /// # Errors
    /// Which option is wrong, and how. Values that may be secrets are not repeated.
    pub fn from_op(op: &Op) -> Result<Self, String> {
        let none = Map::new();
        let opts = op.opts.as_ref().unwrap_or(&none);
        let mut headers = headers_of(opts)?;
        let mut url = url_of(opts, &mut headers)?;
        let (kind, method, body, auth) = match op.op {
            Opcode::Gateway => {
                let body = text(opts, "body")?.as_bytes().to_vec();
                (Kind::Fetch, method_of(opts)?, body, None)
            }
            Opcode::AiGateway => {
                let auth = auth_of(opts, &mut url, &mut headers)?;
                headers
                    .entry(header::CONTENT_TYPE)
                    .or_insert(HeaderValue::from_static("application/json"));
                (Kind::Ai, Method::POST, json_body(opts)?, auth)
            }
            other => return Err(format!("the op {other} asks for no request")),
        };
        if body.len() > BODY_BYTES_MAX {
            let size = body.len();
            return Err(format!(
                "opts.body has {size} bytes; at most {BODY_BYTES_MAX} are sent"
            ));
        }
        Ok(Self {
            kind,
            url,
            method,
            headers,
            body: body.into(),
            auth,
            publish: publish_of(opts)?,
        })
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// What a header takes beside its text.
        const HEADER_BYTES: usize = 96;
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
            .sum();
        let auth = match &self.auth {
            None => 0,
            Some(Auth::QueryKey(key)) => key.len(),
            Some(Auth::Header(name, value)) => name.as_str().len() + value.len(),
        };
        let publish = self
            .publish
            .as_ref()
            .map_or(0, |publish| publish.channel.len() + publish.topic.len());
        size_of::<Self>() + self.url.as_str().len() + headers + self.body.len() + auth + publish
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths and headers of any name carry secrets, too: web hooks are known by their path alone.
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        formatter
            .debug_struct("Request")
            .field("kind", &self.kind)
            .field("method", &self.method.as_str())
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .field("auth", &self.auth)
            .field("publish", &self.publish)
            .finish()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueryKey(_) => formatter.write_str("QueryKey"),
            Self::Header(name, _) => write!(formatter, "Header({name})"),
        }
    }
}

/// An option that is text; empty when it is absent.
fn text<'o>(opts: &'o Map<String, Value>, key: &str) -> Result<&'o str, String> {
    match opts.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("opts.{key} is {}, not text", kind_of(other))),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The URL. A user and password in it become a header, as every client sends them.
fn url_of(opts: &Map<String, Value>, headers: &mut HeaderMap) -> Result<Url, String> {
    let given = text(opts, "url")?;
    if given.is_empty() {
        return Err("opts.url is missing".to_owned());
    }
    let within = |size: usize| match size {
        0..=URL_BYTES_MAX => Ok(()),
        _ => Err(format!(
            "opts.url has {size} bytes; at most {URL_BYTES_MAX} are sent"
        )),
    };
    within(given.len())?;
    let mut url = Url::parse(given).map_err(|error| format!("opts.url is not a URL: {error}"))?;
    // What it is escaped to is what is sent.
    within(url.as_str().len())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "opts.url has the scheme '{}'; requests go over http and https only",
            url.scheme()
        ));
    }
    url.set_fragment(None);
    let password = url.password().map(decoded).unwrap_or_default();
    let user = decoded(url.username());
    if !user.is_empty() || !password.is_empty() {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let value = secret(&format!("Basic {pair}")).expect("base64 is a header's value");
        headers.entry(header::AUTHORIZATION).or_insert(value);
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.expect("a URL over http has a host, so it may have a user");
    }
    Ok(url)
}

/// A URL's part without its `%` escapes.
fn decoded(part: &str) -> String {
    // `+` and `&` mean something in a query, whose decoder this is, and nothing here.
    let escaped = part.replace('+', "%2B").replace('&', "%26");
    url::form_urlencoded::parse(format!("={escaped}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn method_of(opts: &Map<String, Value>) -> Result<Method, String> {
    /// No method in use is longer than half of it.
    const METHOD_BYTES_MAX: usize = 32;
    let given = text(opts, "method")?;
    if given.is_empty() {
        return Ok(Method::POST);
    }
    let upper = given.to_ascii_uppercase();
    let usual = [
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "CONNECT", "TRACE",
    ];
    let name = if usual.contains(&upper.as_str()) {
        &upper
    } else {
        given
    };
    match Method::from_bytes(name.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err(format!(
            "opts.method is {name}, which is not sent for functions"
        )),
        Ok(method) if given.len() <= METHOD_BYTES_MAX => Ok(method),
        _ => Err("opts.method is not the name of an HTTP method".to_owned()),
    }
}

/// The headers that go along: an object of texts, or of arrays of texts for headers that come several times.
fn headers_of(opts: &Map<String, Value>) -> Result<HeaderMap, String> {
    let given = match opts.get("headers") {
        None | Some(Value::Null) => return Ok(HeaderMap::new()),
        Some(Value::Object(given)) => given,
        Some(other) => {
            return Err(format!("opts.headers is {}, not an object", kind_of(other)));
        }
    };
    let mut headers = HeaderMap::new();
    let mut count = 0;
    let mut bytes = 0;
    for (name, value) in given {
        let values = match value {
            Value::Null => continue,
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            count += 1;
            bytes += name.len() + value.as_str().map_or(0, str::len);
            if count > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
                return Err(format!(
                    "opts.headers is too large: at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes are sent"
                ));
            }
            let (name, value) = header_of(name, value)?;
            headers.append(name, value);
        }
    }
    let named_by_connection: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in NOT_PASSED_ON.iter().chain(&named_by_connection) {
        headers.remove(name);
    }
    Ok(headers)
}

fn header_of(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), String> {
    let shown: String = name.chars().take(64).collect();
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("opts.headers has '{shown}', which cannot be a header's name"))?;
    let Value::String(text) = value else {
        let kind = kind_of(value);
        return Err(format!("opts.headers.{shown} is {kind}, not text"));
    };
    let mut value = HeaderValue::from_bytes(text.trim().as_bytes())
        .map_err(|_| format!("opts.headers.{shown} has a character that a header cannot carry"))?;
    value.set_sensitive(is_secret(&parsed));
    Ok((parsed, value))
}

/// Whether values of this header are secrets, by its name.
fn is_secret(name: &HeaderName) -> bool {
    let name = name.as_str();
    !name.ends_with("idempotency-key") && SECRET_NAMES.iter().any(|part| name.contains(part))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What proves who asks, where the provider looks for it. A header of that name that the user wrote says it instead.
fn auth_of(
    opts: &Map<String, Value>,
    url: &mut Url,
    headers: &mut HeaderMap,
) -> Result<Option<Auth>, String> {
    let key = text(opts, "auth_key")?;
    if key.len() > HEADER_BYTES_MAX {
        return Err(format!(
            "opts.auth_key has more than {HEADER_BYTES_MAX} bytes"
        ));
    }
    let (name, value) = match text(opts, "format")? {
        "gemini" => {
            let in_url = take_key(url);
            let key = Some(key.to_owned()).filter(|key| !key.is_empty());
            return Ok(key.or(in_url).map(Auth::QueryKey));
        }
        "anthropic" => {
            headers
                .entry("anthropic-version")
                .or_insert(HeaderValue::from_static(ANTHROPIC_VERSION));
            (HeaderName::from_static("x-api-key"), key.to_owned())
        }
        "bedrock" => (header::AUTHORIZATION, key.to_owned()),
        _ => (header::AUTHORIZATION, format!("Bearer {key}")),
    };
    if key.is_empty() || headers.contains_key(&name) {
        return Ok(None);
    }
    let value = secret(&value).ok_or("opts.auth_key has a character that a header cannot carry")?;
    Ok(Some(Auth::Header(name, value)))
}

/// Takes the parameter `key` out of a URL's query: SDKs put it there, too.
fn take_key(url: &mut Url) -> Option<String> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let (_, found) = pairs.iter().find(|(name, _)| name == "key")?.clone();
    url.set_query(None);
    let rest = pairs.iter().filter(|(name, _)| name != "key");
    if rest.clone().next().is_some() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    Some(found).filter(|key| !key.is_empty())
}

fn json_body(opts: &Map<String, Value>) -> Result<Vec<u8>, String> {
    match opts.get("body") {
        None | Some(Value::Null) => {
            Err("opts.body is missing: it is the provider's request, as JSON".to_owned())
        }
        Some(body) => Ok(serde_json::to_vec(body).expect("a JSON value serialises")),
    }
}

fn publish_of(opts: &Map<String, Value>) -> Result<Option<Publish>, String> {
    let given = match opts.get("publish") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(given)) => given,
        Some(other) => {
            return Err(format!("opts.publish is {}, not an object", kind_of(other)));
        }
    };
    let name = |key: &str| {
        let name = text(given, key).map_err(|error| error.replacen("opts", "opts.publish", 1))?;
        if name.len() > PUBLISH_NAME_BYTES_MAX {
            return Err(format!(
                "opts.publish.{key} has more than {PUBLISH_NAME_BYTES_MAX} bytes"
            ));
        }
        Ok(name.to_owned())
    };
    let (channel, topic) = (name("channel")?, name("topic")?);
    if topic.is_empty() {
        return Err("opts.publish.topic is missing".to_owned());
    }
    Ok(Some(Publish { channel, topic }))
}

#[cfg(test)]
mod tests;
