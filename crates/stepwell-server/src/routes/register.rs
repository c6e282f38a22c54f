//! `POST /fn/register`: an app says what functions it has.

use super::REGISTER_BODY_BYTES_MAX;
use crate::answer::ApiError;
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use stepwell_protocol::headers;
use stepwell_protocol::register::{RegisterAnswer, Registration};
use stepwell_runtime::{Handle, RegisterError, check_registration};

pub(super) async fn register(
    State(shared): State<Shared>,
    request_headers: HeaderMap,
    body: Body<REGISTER_BODY_BYTES_MAX>,
) -> Result<Json<RegisterAnswer>, ApiError> {
    let kind = shared.options.kind.as_str();
    let expected = request_headers
        .get(headers::EXPECTED_SERVER_KIND)
        .and_then(|value| value.to_str().ok());
    if let Some(expected) = expected.filter(|expected| !expected.is_empty() && *expected != kind) {
        let message = format!("Expected server kind {expected}, got {kind}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, message));
    }
    let registration = Registration::parse(&body.bytes).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("Invalid request: {error}"))
    })?;
    sync(&shared.handle, &registration).await.map(Json)
}

/// Registers an app, however it came here.
pub(crate) async fn sync(
    handle: &Handle,
    registration: &Registration,
) -> Result<RegisterAnswer, ApiError> {
    let sync = check_registration(registration).map_err(refused)?;
    let functions = sync.functions.len();
    let (app_id, modified) = handle.sync_app(sync).await?;
    if modified {
        tracing::info!(
            app = registration.app_name,
            url = registration.url,
            functions,
            "app registered"
        );
    }
    Ok(RegisterAnswer {
        ok: true,
        modified,
        sync_id: uuid::Uuid::new_v4(),
        app_id,
    })
}

fn refused(error: RegisterError) -> ApiError {
    let mut answer = ApiError::new(StatusCode::BAD_REQUEST, error.to_string());
    match error {
        RegisterError::Functions(errors) => {
            answer.details = errors.iter().map(ToString::to_string).collect();
            tracing::warn!(details = ?answer.details, "an app was not registered: functions are invalid");
        }
        RegisterError::Blocked(_) => answer.code = Some("sdk_version_denied"),
        RegisterError::NoName | RegisterError::Url(_) => {}
    }
    answer
}
