//! Answers, with the headers by which servers know an SDK.

use crate::config::Config;
use crate::execution::{CallReply, REQUEST_VERSION};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use stepwell_protocol::headers;

/// The answer to a call.
pub(crate) fn of_call(
    config: &Config,
    framework: &'static str,
    reply: CallReply,
) -> Response<Bytes> {
    let status = StatusCode::from_u16(reply.status).expect("answers have valid statuses");
    let mut response = of(config, framework, status, reply.body.into());
    let headers = response.headers_mut();
    if let Some(no_retry) = reply.no_retry {
        let value = if no_retry { "true" } else { "false" };
        headers.insert(headers::NO_RETRY, HeaderValue::from_static(value));
    }
    if let Some(retry_after) = reply.retry_after {
        let value = HeaderValue::try_from(retry_after).expect("seconds and dates are ASCII");
        headers.insert(header::RETRY_AFTER, value);
    }
    response
}

/// An answer of JSON.
pub(crate) fn of(
    config: &Config,
    framework: &'static str,
    status: StatusCode,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fixed = [
        (headers::SDK, crate::SDK),
        (headers::FRAMEWORK, framework),
        (headers::EXPECTED_SERVER_KIND, config.mode.as_str()),
        ("user-agent", crate::SDK),
        ("content-type", "application/json"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(headers::REQUEST_VERSION, REQUEST_VERSION.into());
    if let Some(value) = config
        .environment
        .as_deref()
        .and_then(|name| HeaderValue::try_from(name).ok())
    {
        headers.insert(headers::ENVIRONMENT, value);
    }
    response
}
