//! `GET /metrics`: numbers for Prometheus and its like.

use crate::access;
use crate::answer::{ApiError, Failure};
use crate::connections::Surroundings;
use crate::metrics;
use crate::state::Shared;
use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// What the text is.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics in the text format of OpenMetrics. They want the signing key or the token for metrics as a bearer, if the server
/// has either.
#[utoipa::path(get, path = "/metrics", tag = "Server", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text"), (status = 401, body = Failure)))]
pub(super) async fn serve(
    State(shared): State<Shared>,
    surroundings: Option<Extension<Surroundings>>,
    sent: HeaderMap,
) -> Response {
    if !access::opens_metrics(&shared.options, access::bearer(&sent)) {
        let message = "metrics want the signing key, or the token for metrics, as a bearer";
        return ApiError::new(StatusCode::UNAUTHORIZED, message).into_response();
    }
    let crowding = surroundings.map(|Extension(surroundings)| surroundings.crowding());
    let text = metrics::render(&shared, crowding).await;
    ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}
