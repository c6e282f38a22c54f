//! `POST /v0/connect/start`: a worker asks where to connect.

use super::{GROUP, Gateway, PATH, leases};
use crate::access;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::{ServerOptions, Shared};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use stepwell_protocol::connect::{CloseCode, Message, StartRequest, StartResponse};

/// A message, as workers and gateways write them.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes what a body is")]
pub(super) struct Protobuf(Vec<u8>);

/// The largest body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Where a worker is to connect. Both sides speak protobuf.
#[utoipa::path(post, path = "/v0/connect/start", tag = "Workers",
    request_body(content = Protobuf, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = Protobuf, content_type = "application/octet-stream"), (status = 400, body = Failure),
        (status = 401, body = Failure), (status = 404, description = "This server takes no workers.", body = Failure),
        (status = 429, body = Failure)))]
pub(super) async fn start(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let gateway = gateway(&shared)?;
    let bearer = authenticate(&shared.options, request.headers())?;
    let endpoint = endpoint(gateway, request.headers());
    if gateway.is_closing() {
        // By this text SDKs know that another try soon is as good as any.
        let code = CloseCode::GatewayClosing.as_str();
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code));
    }
    if gateway.switchboard().is_full() {
        let message = "reached max allowed connections";
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, message));
    }
    let body = Body::<BODY_BYTES_MAX>::read(request, &shared.room).await?;
    // There is one gateway: a worker that has failed to use it may as well try again.
    StartRequest::decode(&*body.bytes).map_err(|_| not_readable())?;
    let connection_id = leases::new_id().to_string();
    let session_token = gateway
        .0
        .tokens
        .for_connection(&connection_id, shared.handle.now().ms() / 1_000);
    let response = StartResponse {
        connection_id,
        gateway_endpoint: endpoint,
        gateway_group: GROUP.to_owned(),
        session_token,
        sync_token: bearer,
    };
    Ok(protobuf(&response))
}

pub(super) fn gateway(shared: &Shared) -> Result<&Gateway, ApiError> {
    let message = "this server takes no workers";
    let gateway = shared.options.connect.as_ref();
    gateway.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, message))
}

/// The bearer token of a request, which must be the signing key if there is one.
pub(super) fn authenticate(
    options: &ServerOptions,
    headers: &HeaderMap,
) -> Result<String, ApiError> {
    let refused = |message| ApiError::new(StatusCode::UNAUTHORIZED, message);
    if options.signing_key.is_some() && !headers.contains_key(header::AUTHORIZATION) {
        return Err(refused("missing Authorization header"));
    }
    let bearer = access::bearer(headers);
    if !access::opens(options, bearer) {
        return Err(refused("authentication failed"));
    }
    Ok(bearer.to_owned())
}

/// Where the worker reaches the gateway: at the host that it asked.
fn endpoint(gateway: &Gateway, headers: &HeaderMap) -> String {
    if let Some(url) = &gateway.options().url {
        return url.clone();
    }
    let asked = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .filter(|host| !host.is_empty())
        .unwrap_or("localhost");
    match gateway.port() {
        None => format!("ws://{asked}{PATH}"),
        Some(port) => format!("ws://{}:{port}{PATH}", without_port(asked)),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address are within its brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

pub(super) fn not_readable() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "could not unmarshal request")
}

pub(super) fn protobuf(message: &impl Message) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    (content_type, message.encode_to_vec()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ConnectOptions;

    #[test]
    fn workers_are_sent_to_the_host_that_they_asked() {
        let at = |gateway: &Gateway, host: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            endpoint(gateway, &headers)
        };
        let gateway = Gateway::new(ConnectOptions::default());
        assert_eq!(
            at(&gateway, Some("jobs.test:8288")),
            "ws://jobs.test:8288/v0/connect"
        );
        gateway.listens_on(8_289);
        for (host, expected) in [
            (Some("jobs.test:8288"), "ws://jobs.test:8289/v0/connect"),
            (Some("jobs.test"), "ws://jobs.test:8289/v0/connect"),
            (Some("127.0.0.1:80"), "ws://127.0.0.1:8289/v0/connect"),
            (Some("[::1]:8288"), "ws://[::1]:8289/v0/connect"),
            (Some("[::1]"), "ws://[::1]:8289/v0/connect"),
            (None, "ws://localhost:8289/v0/connect"),
        ] {
            assert_eq!(at(&gateway, host), expected, "{host:?}");
        }
        let named = Gateway::new(ConnectOptions {
            url: Some("wss://workers.test/v0/connect".to_owned()),
            ..ConnectOptions::default()
        });
        assert_eq!(
            at(&named, Some("jobs.test")),
            "wss://workers.test/v0/connect"
        );
    }
}
