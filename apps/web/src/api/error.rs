//! Errors as callers see them. What only the operator should know goes to the log.

use crate::engine::{StoreError, Unavailable};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use stepwell::SendError;
use studio233_blob::BlobError;
use studio233_db::DbError;
use studio233_rag::RetrieveError;
use studio233_setup::Failure;
use studio233_setup::chain;

/// A request was not answered as it wished.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    failure: Failure,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            failure: Failure::new(code, message),
        }
    }

    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Also for what exists but is someone else's: a stranger learns nothing.
    pub(crate) fn absent(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("no_such_{what}"),
            format!("there is no {what} {id} of yours"),
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something broke in the studio",
        )
        .hint("look into the studio's log; trying again is safe")
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.failure}))).into_response()
    }
}

/// The store cannot be used now; nothing that was acknowledged is lost.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = chain(error), "the studio cannot store");
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the studio cannot store anything now",
    )
    .hint("check that its disk has room, then try again; nothing that was acknowledged is lost")
}

fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = chain(error), "a request failed");
    ApiError::internal()
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NoSuchWorkspace { id } => Self::absent("workspace", &id),
            DbError::NoSuchRun { id } => Self::absent("run", &id),
            DbError::NoSuchBatchJob { id } => Self::absent("job", &id),
            DbError::IdTaken { .. } => {
                Self::new(StatusCode::CONFLICT, "id_taken", error.to_string())
            }
            DbError::AssetElsewhere { .. } => {
                Self::new(StatusCode::CONFLICT, "asset_elsewhere", error.to_string())
            }
            DbError::SlugTaken { .. } => {
                Self::new(StatusCode::CONFLICT, "name_taken", error.to_string())
                    .hint("choose another name")
            }
            error if error.is_transient() => unavailable(&error),
            error => internal(&error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        internal(&error)
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        unavailable(&error)
    }
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Event(event) => Self::bad("bad_event", event.to_string()),
            error => unavailable(&error),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound { key } => Self::new(
                StatusCode::NOT_FOUND,
                "no_such_file",
                format!("there is no file {key}"),
            )
            .hint("upload it with PUT /api/files/{name}"),
            error => unavailable(&error),
        }
    }
}

impl From<RetrieveError> for ApiError {
    fn from(error: RetrieveError) -> Self {
        match error {
            RetrieveError::EmptyQuery | RetrieveError::QueryTooLong => {
                Self::bad("bad_query", error.to_string())
            }
            RetrieveError::Search { source, .. } => source.into(),
            error => internal(&error),
        }
    }
}
