//! Functions: which there are, running one by hand, pausing one.

use super::SMALL_BODY_BYTES_MAX;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_protocol::{AppId, FunctionId, event, limits};
use stepwell_store::FunctionRecord;
use utoipa::ToSchema;

/// A function.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunctionRow {
    id: String,
    app_id: String,
    name: String,
    slug: String,
    version: u32,
    is_paused: bool,
    /// As it was registered.
    config: Value,
}

/// Whether a function is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Paused {
    slug: String,
    is_paused: bool,
}

/// An invocation's event, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvokedFunction {
    id: String,
    status: u16,
    #[schema(value_type = Object)]
    verdict: stepwell_engine::Verdict,
}

/// The functions of an app.
#[utoipa::path(get, path = "/v1/apps/{app}/functions", tag = "Apps",
    params(("app" = String, Path, description = "The app's name.")),
    responses((status = 200, body = Vec<FunctionRow>)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(app): Path<String>,
) -> Result<Json<Vec<FunctionRow>>, ApiError> {
    let functions = shared.handle.read(|reader| reader.functions()).await?;
    let of_app = functions
        .into_iter()
        .filter(|function| function.app_name == app);
    Ok(Json(of_app.map(row).collect()))
}

fn row(function: FunctionRecord) -> FunctionRow {
    FunctionRow {
        id: function.id.to_string(),
        app_id: function.app.to_string(),
        config: serde_json::from_str(&function.config).unwrap_or_default(),
        name: function.name,
        slug: function.slug,
        version: function.version,
        is_paused: function.paused,
    }
}

/// Runs a function, whatever its triggers. The body is an event whose name does not matter.
#[utoipa::path(post, path = "/invoke/{function}", tag = "Apps",
    params(("function" = String, Path, description = "Its public id.")), request_body = Option<Value>,
    responses((status = 200, body = InvokedFunction), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn invoke(
    State(shared): State<Shared>,
    Path(function): Path<String>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Result<Json<InvokedFunction>, ApiError> {
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, message);
    let text = std::str::from_utf8(&body.bytes)
        .map_err(|_| bad("Unable to read post data request: it is not UTF-8".to_owned()))?;
    if text.len() > limits::EVENT_BYTES_MAX || event::depth(text) > limits::EVENT_DEPTH_MAX {
        let message = format!(
            "Invalid invocation event: it has more than {} bytes or {} levels",
            limits::EVENT_BYTES_MAX,
            limits::EVENT_DEPTH_MAX
        );
        return Err(bad(message));
    }
    let payload: Value = match text.trim() {
        "" => json!({}),
        text => serde_json::from_str(text)
            .map_err(|error| bad(format!("Invalid invocation event: {error}")))?,
    };
    if !payload.is_object() {
        return Err(bad(
            "Invalid invocation event: expected an object".to_owned()
        ));
    }
    let (id, verdict) = shared.handle.invoke(function.clone(), &payload).await?;
    match verdict {
        None => {
            let message = format!("could not find function with ID: {function}");
            Err(ApiError::new(StatusCode::NOT_FOUND, message))
        }
        Some(verdict) => Ok(Json(InvokedFunction {
            id: id.to_string(),
            status: 200,
            verdict,
        })),
    }
}

/// Pauses a function: its new runs are skipped, and none of it is called.
#[utoipa::path(post, path = "/v1/apps/{app}/functions/{function}/pause", tag = "Apps",
    params(("app" = String, Path), ("function" = String, Path)),
    responses((status = 200, body = Paused), (status = 404, body = Failure)))]
pub(super) async fn pause(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
) -> Result<Json<Paused>, ApiError> {
    set_paused(&shared, &app, &function, true).await
}

/// Lets a paused function go on.
#[utoipa::path(delete, path = "/v1/apps/{app}/functions/{function}/pause", tag = "Apps",
    params(("app" = String, Path), ("function" = String, Path)),
    responses((status = 200, body = Paused), (status = 404, body = Failure)))]
pub(super) async fn unpause(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
) -> Result<Json<Paused>, ApiError> {
    set_paused(&shared, &app, &function, false).await
}

async fn set_paused(
    shared: &Shared,
    app: &str,
    name: &str,
    paused: bool,
) -> Result<Json<Paused>, ApiError> {
    // By its public id, or by that without the app in front; also one that is no longer registered.
    for slug in [name.to_owned(), format!("{app}-{name}")] {
        let id = FunctionId::of(AppId::of(app), &slug);
        if shared.handle.pause(id, paused).await? {
            return Ok(Json(Paused {
                slug,
                is_paused: paused,
            }));
        }
    }
    let message = format!("the app '{app}' has no function '{name}'");
    Err(ApiError::new(StatusCode::NOT_FOUND, message))
}
