//! What an SDK's answer to a call means.

#[cfg(feature = "server")]
mod endpoint;

#[cfg(feature = "server")]
pub use endpoint::interpret_endpoint;

use crate::op::{Op, parse_ops};
use crate::{SharedJson, UserError, headers, limits, span};

/// An answer as a transport received it: over HTTP, or from a function in the same process.
#[derive(Debug, Clone, Default)]
pub struct RawReply {
    /// The HTTP status.
    pub status: u16,
    /// The headers that matter here.
    pub headers: ReplyHeaders,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

/// The headers of an answer that matter to a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyHeaders {
    /// [`headers::SDK`].
    pub sdk: Option<String>,
    /// [`headers::NO_RETRY`], when it says `true` or `false`.
    pub no_retry: Option<bool>,
    /// [`headers::RETRY_AFTER`], as it was.
    pub retry_after: Option<String>,
    /// [`headers::REQUEST_VERSION`].
    pub request_version: Option<i32>,
}

impl ReplyHeaders {
    /// Reads the headers through `get`, which takes a lower-case name.
    pub fn read<'h>(get: impl Fn(&str) -> Option<&'h str>) -> Self {
        Self {
            sdk: get(headers::SDK).map(str::to_owned),
            no_retry: get(headers::NO_RETRY)
                .and_then(|text| text.trim().to_ascii_lowercase().parse().ok()),
            retry_after: get(headers::RETRY_AFTER).map(str::to_owned),
            request_version: get(headers::REQUEST_VERSION)
                .and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The request version that the SDK speaks, if it said so.
    pub request_version: Option<i32>,
    /// When a retry may come, if the SDK said so.
    pub retry_after: Option<RetryAfter>,
    /// Whether the SDK asked not to retry.
    pub no_retry: bool,
    /// The meaning itself.
    pub outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Steps ran or are asked for.
    Ops(Vec<Op>),
    /// The function returned this.
    Returned(SharedJson),
    /// The attempt failed.
    Failed(Failure),
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error.
    pub error: Box<UserError>,
    /// What a run that ends with it shows as its output: the SDK's own error object if there is one.
    pub output: SharedJson,
    /// The HTTP status that said so, if one did.
    pub status: Option<u16>,
}

/// When a retry may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this many milliseconds.
    In(u64),
    /// At this moment, in milliseconds since the Unix epoch.
    At(i64),
}

impl RetryAfter {
    /// Reads a header value: up to seven digits of seconds, or a date.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() <= 7
            && let Ok(seconds) = text.parse::<u64>()
        {
            return Some(Self::In(seconds * 1_000));
        }
        span::parse_moment_ms(text).map(Self::At)
    }
}

impl Failure {
    /// A failure that the server itself found, e.g. an app that does not answer.
    #[must_use]
    pub fn of(error: UserError) -> Self {
        let output = serde_json::to_string(&error).expect("an error serialises");
        Self {
            error: Box::new(error),
            output: crate::shared_json(output).expect("serialised JSON is JSON"),
            status: None,
        }
    }
}

/// Finds out what an answer means, by the protocol's rules for status, headers and body.
#[must_use]
pub fn interpret(raw: RawReply) -> Reply {
    reply_of(raw, outcome_of)
}

fn reply_of(raw: RawReply, outcome_of: impl FnOnce(&RawReply) -> Outcome) -> Reply {
    let raw = match unwrap_stream(raw) {
        Ok(raw) => raw,
        Err(failure) => {
            return Reply {
                request_version: None,
                retry_after: None,
                no_retry: false,
                outcome: Outcome::Failed(failure),
            };
        }
    };
    let outcome = outcome_of(&raw);
    Reply {
        request_version: raw
            .headers
            .request_version
            .filter(|version| (1..=2).contains(version)),
        retry_after: raw
            .headers
            .retry_after
            .as_deref()
            .and_then(RetryAfter::parse),
        no_retry: raw.headers.no_retry == Some(true),
        outcome,
    }
}

fn outcome_of(raw: &RawReply) -> Outcome {
    if raw.body.len() > limits::REPLY_BYTES_MAX {
        return Outcome::Failed(output_too_large());
    }
    let from_sdk = raw.headers.sdk.is_some();
    match raw.status {
        206 => match parse_ops(&raw.body) {
            Ok(ops) => Outcome::Ops(ops),
            Err(error) => Outcome::Failed(Failure::of(UserError {
                data: Some(excerpt(&raw.body).into()),
                ..UserError::new(
                    "Error",
                    format!("error reading generator opcode response: {error}"),
                )
            })),
        },
        200..=299 if from_sdk => match as_json(&raw.body) {
            Some(json) => Outcome::Returned(json),
            None => Outcome::Returned(json_string(&raw.body)),
        },
        200..=299 => Outcome::Failed(Failure {
            error: UserError::new("not_sdk", "The response did not come from an Inngest SDK")
                .into(),
            output: as_json(&raw.body).unwrap_or_else(|| json_string(&raw.body)),
            status: None,
        }),
        _ if from_sdk => failed_answer(raw),
        status => Outcome::Failed(Failure {
            status: Some(status),
            ..Failure::of(UserError {
                stack: Some(excerpt(&raw.body)),
                ..UserError::new(
                    "Server returned a fatal error",
                    format!("Your server returned HTTP {status} before the SDK responded."),
                )
            })
        }),
    }
}

/// What an SDK says with a status that is not of success.
fn failed_answer(raw: &RawReply) -> Outcome {
    Outcome::Failed(Failure {
        error: UserError::from_body(&raw.body).into(),
        output: as_json(&raw.body).unwrap_or_else(|| json_string(&raw.body)),
        status: Some(raw.status),
    })
}

/// The failure of an answer over [`limits::REPLY_BYTES_MAX`].
#[must_use]
pub fn output_too_large() -> Failure {
    const MESSAGE: &str = "Your function's response body exceeds the maximum size limit";
    let output = serde_json::json!({"error": {
        "error": format!("output_too_large: {MESSAGE}"), "name": "output_too_large", "message": MESSAGE,
    }});
    Failure {
        error: UserError::new("output_too_large", MESSAGE).into(),
        output: crate::shared_json(output.to_string()).expect("serialised JSON is JSON"),
        status: None,
    }
}

/// The failure of a call that got no answer; `reason` is the transport's.
#[must_use]
pub fn unreachable(reason: &str) -> Failure {
    Failure::of(UserError {
        stack: Some(reason.to_owned()),
        ..UserError::new("Error", "Unable to reach SDK URL")
    })
}

/// A streamed answer is an envelope: status, headers and body come at the end of a 201.
fn unwrap_stream(raw: RawReply) -> Result<RawReply, Failure> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(default)]
        status: u16,
        #[serde(default)]
        headers: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        body: Option<serde_json::Value>,
        #[serde(default)]
        error: Option<String>,
    }
    if raw.status != 201 {
        return Ok(raw);
    }
    let envelope: Envelope = crate::decode::from_slice(&raw.body).map_err(|error| {
        Failure::of(UserError {
            data: Some(excerpt(&raw.body).into()),
            ..UserError::new("Error", format!("error reading streamed response: {error}"))
        })
    })?;
    if let Some(error) = envelope.error {
        return Err(Failure::of(UserError::new("Error", error)));
    }
    let inner = ReplyHeaders::read(|name| {
        envelope
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.as_str())
    });
    let body = match envelope.body {
        None => Vec::new(),
        Some(serde_json::Value::String(text)) => text.into_bytes(),
        Some(value) => value.to_string().into_bytes(),
    };
    Ok(RawReply {
        status: envelope.status,
        headers: ReplyHeaders {
            sdk: inner.sdk.or(raw.headers.sdk),
            no_retry: inner.no_retry.or(raw.headers.no_retry),
            retry_after: inner.retry_after.or(raw.headers.retry_after),
            request_version: inner.request_version.or(raw.headers.request_version),
        },
        body,
    })
}

fn as_json(body: &[u8]) -> Option<SharedJson> {
    let text = std::str::from_utf8(body).ok()?;
    if text.trim().is_empty() {
        return crate::shared_json("null".to_owned()).ok();
    }
    crate::shared_json(text.to_owned()).ok()
}

fn json_string(body: &[u8]) -> SharedJson {
    let text = serde_json::to_string(&String::from_utf8_lossy(body)).expect("a string serialises");
    crate::shared_json(text).expect("serialised JSON is JSON")
}

/// The first 8192 bytes of a body, as text.
fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(8_192)]).into_owned()
}

#[cfg(test)]
mod tests;
