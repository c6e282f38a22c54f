//! Re-entries: the request that started a durable endpoint's run, made again.
//!
//! The app tells a re-entry from a request of its own users by the headers that name the run and sign the body. It asks the
//! server for the steps that have ended; none go along.

use super::http::{Exchange, HttpInvoker, insert};
use super::{CallError, Invocation};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use serde::Deserialize;
use stepwell_protocol::call::DISCOVERY;
use stepwell_protocol::endpoint::HttpRequest;
use stepwell_protocol::headers;
use stepwell_protocol::reply::RawReply;
use stepwell_protocol::signing::canonical_json;

/// The event of a run that a request started.
#[derive(Deserialize)]
struct RequestEvent {
    data: HttpRequest,
}

impl HttpInvoker {
    /// Makes the request again.
    pub(super) async fn re_enter(
        self,
        invocation: &Invocation,
        event: &str,
    ) -> Result<RawReply, CallError> {
        let impossible = |error: String| {
            let message =
                format!("the run's event is not a request that can be made again: {error}");
            CallError::Impossible(message)
        };
        let RequestEvent { data: request } =
            serde_json::from_str(event).map_err(|error| impossible(error.to_string()))?;
        let url = request
            .url()
            .map_err(|error| impossible(error.to_string()))?;
        let method = request
            .method()
            .map_err(|error| impossible(error.to_string()))?;
        let body = request.body_bytes();
        let mut headers = headers_of(invocation);
        if !request.content_type.is_empty()
            && let Ok(content_type) = HeaderValue::from_str(&request.content_type)
        {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let signed = signed_part(&method, &body);
        let exchange = Exchange {
            method,
            url,
            headers,
            body: body.into(),
        };
        self.signed(exchange, Some(&signed), &self.endpoints, self.guard)
            .await
    }
}

fn headers_of(invocation: &Invocation) -> HeaderMap {
    let ctx = &invocation.request.ctx;
    let mut found = HeaderMap::new();
    found.insert(USER_AGENT, HeaderValue::from_static("Inngest"));
    for (name, value) in [
        (headers::RUN_ID, invocation.run.to_string()),
        (headers::REQUEST_ID, ctx.request_id.clone()),
        (headers::GENERATION_ID, ctx.generation_id.to_string()),
        (headers::JOB_ID, ctx.job_id.clone()),
        (
            headers::REQUEST_VERSION,
            invocation.request.version.to_string(),
        ),
    ] {
        insert(&mut found, name, &value);
    }
    for (name, value) in invocation.trace_headers() {
        insert(&mut found, name, &value);
    }
    if ctx.step_id != DISCOVERY {
        insert(&mut found, headers::STEP_ID, &ctx.step_id);
    }
    if ctx.disable_immediate_execution {
        insert(&mut found, headers::FORCE_STEP_PLAN, "true");
    }
    found
}

/// What SDKs verify of a re-entry: the body of a POST or PUT, in canonical form if it is JSON, and of others nothing.
fn signed_part(method: &Method, body: &[u8]) -> Vec<u8> {
    if *method != Method::POST && *method != Method::PUT {
        return Vec::new();
    }
    canonical_json(body).unwrap_or_else(|_| body.to_vec())
}

#[cfg(test)]
mod tests;
