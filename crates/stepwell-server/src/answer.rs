//! Answers: the envelopes of success and failure.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_protocol::span;
use stepwell_runtime::Unavailable;
use stepwell_store::StoreError;
use utoipa::ToSchema;

/// A refusal, in the protocol's envelope `{"error", "data": null, "status"}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    /// What is wrong in particular, one text each.
    pub(crate) details: Vec<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            message: message.into(),
            details: Vec::new(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.message, "data": null, "status": self.status.as_u16()});
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        if !self.details.is_empty() {
            body["details"] = self.details.into();
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // What went wrong inside is for the log, not for whoever asked.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot read the store"
        );
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not read its store; see its log",
        )
    }
}

/// A refusal as it is sent.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what ApiError writes")]
pub(crate) struct Failure {
    /// What is wrong, for people.
    error: String,
    /// Always null.
    data: Option<Value>,
    status: u16,
    /// What kind of refusal it is, for programs.
    code: Option<String>,
    /// What is wrong in particular.
    details: Option<Vec<String>>,
}

/// A success as it is sent.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what Found writes")]
pub(crate) struct Success<T> {
    data: T,
    metadata: FetchedAt,
}

/// When an answer was made.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what Found writes")]
struct FetchedAt {
    #[schema(format = DateTime)]
    fetched_at: String,
}

/// A success, in the envelope `{"data", "metadata": {"fetched_at"}}`.
#[derive(Debug)]
pub(crate) struct Found<T>(pub(crate) T, pub(crate) u64);

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        let fetched_at = span::format_moment_ms(i64::try_from(self.1).unwrap_or(i64::MAX));
        match serde_json::to_value(self.0) {
            Ok(data) => {
                Json(json!({"data": data, "metadata": {"fetched_at": fetched_at}})).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer does not serialise");
                ApiError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the answer could not be written",
                )
                .into_response()
            }
        }
    }
}

/// Stored JSON text as a value; text that is none (it was checked when it came in) reads as null.
pub(crate) fn value(json: &stepwell_protocol::SharedJson) -> Value {
    serde_json::from_str(json.get()).unwrap_or(Value::Null)
}
