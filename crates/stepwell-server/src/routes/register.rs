//! `POST /fn/register`: an app says what functions it has.

use super::REGISTER_BODY_BYTES_MAX;
use super::query::Params;
use crate::answer::{ApiError, Failure};
use crate::apps::Apps;
use crate::body::Body;
use crate::removal::RemoveError;
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use stepwell_protocol::register::{RegisterAnswer, Registration, normalize_url};
use stepwell_protocol::{AppId, headers};
use stepwell_runtime::{Handle, RegisterError, check_registration};
use stepwell_store::AppRecord;

/// An app says what functions it has.
#[utoipa::path(method(post, put), path = "/fn/register", tag = "SDKs", request_body = serde_json::Value,
    responses((status = 200, body = serde_json::Value), (status = 400, body = Failure)))]
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
    let apps = &shared.options.apps;
    let (app_id, modified) = take_in(&shared.handle, apps, &registration).await?;
    Ok(Json(RegisterAnswer {
        ok: true,
        modified,
        sync_id: uuid::Uuid::new_v4(),
        app_id,
    }))
}

/// Removes the app at a URL, with its functions: they start nothing any more.
#[utoipa::path(delete, path = "/fn/remove", tag = "SDKs", params(("url" = String, Query)),
    responses((status = 200), (status = 404, body = Failure)))]
pub(super) async fn remove(State(shared): State<Shared>, params: Params) -> Result<(), ApiError> {
    let url = params.one("url").unwrap_or("").to_owned();
    let normal = normalize_url(&url);
    let is_wanted = |app: &AppRecord| app.url == url || normal.as_deref() == Some(&*app.url);
    match shared.remove_app(is_wanted).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            let message = format!("App not found: {url}");
            Err(ApiError::new(StatusCode::NOT_FOUND, message))
        }
        Err(RemoveError::Store(error)) => Err(error.into()),
        Err(RemoveError::Unavailable(error)) => Err(error.into()),
    }
}

/// Registers an app and remembers how it stands; its id, and whether anything changed.
pub(crate) async fn take_in(
    handle: &Handle,
    apps: &Apps,
    registration: &Registration,
) -> Result<(AppId, bool), ApiError> {
    let sync = check_registration(registration).map_err(|error| {
        let answer = refused(error);
        let reason = if answer.details.is_empty() {
            answer.message.clone()
        } else {
            format!("{}: {}", answer.message, answer.details.join("; "))
        };
        if apps.refused(&registration.url, &reason) {
            let (app, url) = (&registration.app_name, &registration.url);
            tracing::warn!(app, url, reason, "an app was not registered");
        }
        answer
    })?;
    let functions = sync.functions.len();
    let (app_id, modified) = handle.sync_app(sync).await?;
    let (app, url, sdk) = (&registration.app_name, &registration.url, &registration.sdk);
    apps.registered(url, app, sdk, functions);
    if modified {
        tracing::info!(app, url, sdk, functions, "app registered");
    }
    Ok((app_id, modified))
}

fn refused(error: RegisterError) -> ApiError {
    let mut answer = ApiError::new(StatusCode::BAD_REQUEST, error.to_string());
    match error {
        RegisterError::Functions(errors) => {
            answer.details = errors.iter().map(ToString::to_string).collect();
        }
        RegisterError::Blocked(_) => answer.code = Some("sdk_version_denied"),
        RegisterError::NoName | RegisterError::Url(_) => {}
    }
    answer
}
