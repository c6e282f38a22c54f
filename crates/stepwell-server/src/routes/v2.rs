//! The second API: its envelopes, and what its routes share.

mod apps;
mod events;
mod functions;
mod invoke;
mod keys;
mod rerun;
mod run_list;
mod run_row;
mod runs;
mod scores;
mod trace;
mod unavailable;

use super::query::Malformed;
use super::rest::moment;
use crate::answer::ApiError;
use crate::state::Shared;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stepwell_protocol::RunId;
use stepwell_runtime::Unavailable;
use stepwell_store::StoreError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, without what all of their paths begin with.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(events::send))
        .routes(routes!(events::runs))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(rerun::rerun))
        .routes(routes!(scores::score))
        .routes(routes!(trace::trace))
        .routes(routes!(apps::list))
        .routes(routes!(apps::get))
        .routes(routes!(functions::list))
        .routes(routes!(functions::get))
        .routes(routes!(functions::runs))
        .routes(routes!(invoke::invoke))
        .routes(routes!(keys::events))
        .routes(routes!(keys::signing))
        .merge(unavailable::router())
}

/// A success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Envelope<T> {
    data: T,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<Page>,
}

/// When an answer was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// When what is told was read.
    #[schema(format = DateTime)]
    fetched_at: String,
    /// Always null: answers are not cached.
    cached_until: Option<String>,
}

/// Where a list goes on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    /// What to ask for the next page with, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// Whether there may be more.
    pub(super) has_more: bool,
    /// The most entries of a page.
    pub(super) limit: usize,
}

/// What a route answers.
pub(super) type Answer<T> = Result<Json<Envelope<T>>, Refusal>;

/// A success without pages.
pub(super) fn found<T>(shared: &Shared, data: T) -> Json<Envelope<T>> {
    Json(envelope(shared, data, None))
}

/// A page of a list.
pub(super) fn page<T>(shared: &Shared, data: T, page: Page) -> Json<Envelope<T>> {
    Json(envelope(shared, data, Some(page)))
}

fn envelope<T>(shared: &Shared, data: T, page: Option<Page>) -> Envelope<T> {
    Envelope {
        data,
        metadata: Metadata {
            fetched_at: moment(shared.handle.now()),
            cached_until: None,
        },
        page,
    }
}

/// A refusal as it is sent: `{"errors": [{"code", "message"}]}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEntry {
    /// What kind of refusal it is, for programs.
    code: &'static str,
    /// What is wrong, for people.
    message: String,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// Of a field that does not read.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_field_format", message)
    }

    /// Of a body that does not read.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// Of something that is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn body(&self) -> Errors {
        let (code, message) = (self.code, self.message.clone());
        Errors {
            errors: vec![ErrorEntry { code, message }],
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self::malformed(error.to_string())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let code = match error.status {
            status if status.is_server_error() => "internal_error",
            StatusCode::NOT_FOUND => "not_found",
            _ => "invalid_request",
        };
        Self::new(error.status, code, error.message)
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        ApiError::from(error).into()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

/// A run's id.
pub(super) fn run_id(text: &str) -> Result<RunId, Refusal> {
    let parsed = text.parse();
    parsed.map_err(|_| Refusal::malformed("The run ID specified is invalid"))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether events can be taken in.
#[utoipa::path(get, path = "/health", tag = "Server",
    responses((status = 200, body = Envelope<Health>), (status = 503, body = Errors)))]
async fn health(axum::extract::State(shared): axum::extract::State<Shared>) -> Answer<Health> {
    match shared.handle.failure() {
        None => Ok(found(&shared, Health { status: "ok" })),
        Some(reason) => Err(Unavailable::Store(reason).into()),
    }
}
