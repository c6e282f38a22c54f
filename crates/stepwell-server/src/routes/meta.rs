//! What the server says of itself.

use crate::answer::{ApiError, Failure};
use crate::apps::KnownApp;
use crate::connect::Gateway;
use crate::state::{ServerKind, Shared};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use stepwell_runtime::Unavailable;

/// What this server is.
#[utoipa::path(get, path = "/", tag = "Server", responses((status = 200, body = String)))]
pub(super) async fn root() -> &'static str {
    concat!(
        "Stepwell ",
        env!("CARGO_PKG_VERSION"),
        "\n\nSend events to POST /e/{key}, register apps at POST /fn/register,\n",
        "read runs at GET /v1/events/{id}/runs and GET /v1/runs/{id}. ServerHealth is at GET /health.\n"
    )
}

/// How a server is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ServerHealth {
    status: u16,
    message: &'static str,
}

/// 200 as long as events can be taken in, 503 with the reason otherwise.
#[utoipa::path(get, path = "/health", tag = "Server",
    responses((status = 200, body = ServerHealth), (status = 503, body = Failure)))]
pub(super) async fn health(State(shared): State<Shared>) -> Response {
    match shared.handle.failure() {
        None => Json(ServerHealth {
            status: 200,
            message: "OK",
        })
        .into_response(),
        Some(reason) => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Whether a server wants work.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ServerReadiness {
    ready: bool,
    /// Why not: `stopping`, or `store` when nothing can be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// 200 as long as new work should be sent here: the engine is loaded, the last commit succeeded, and the server is not about to
/// stop. 503 with the reason otherwise.
#[utoipa::path(get, path = "/ready", tag = "Server",
    responses((status = 200, body = ServerReadiness), (status = 503, body = ServerReadiness)))]
pub(super) async fn ready(State(shared): State<Shared>) -> (StatusCode, Json<ServerReadiness>) {
    let (status, reason, message) = match shared.handle.readiness() {
        Ok(()) => (StatusCode::OK, None, None),
        Err(why) => {
            let reason = match why {
                Unavailable::Stopping => "stopping",
                Unavailable::Store(_) => "store",
            };
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, Some(reason), Some(why.to_string()))
        }
    };
    let ready = reason.is_none();
    let readiness = ServerReadiness {
        ready,
        reason,
        message,
    };
    (status, Json(readiness))
}

/// What SDKs ask to find out whether a development server is there.
#[utoipa::path(get, path = "/dev", tag = "SDKs",
    responses((status = 200, body = Value), (status = 404, body = Failure)))]
pub(super) async fn dev(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    if shared.options.kind != ServerKind::Dev {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "this is not a development server",
        ));
    }
    let functions = shared.handle.read(|reader| reader.functions()).await?;
    let functions: Vec<Value> = functions
        .into_iter()
        .map(|function| {
            let mut config: Value = serde_json::from_str(&function.config).unwrap_or_default();
            config["id"] = function.id.to_string().into();
            config["slug"] = function.slug.into();
            config["name"] = function.name.into();
            config
        })
        .collect();
    let handlers: Vec<Value> = shared
        .options
        .apps
        .list()
        .into_iter()
        .map(handler)
        .collect();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "authed": false,
        "startOpts": {"connectGatewayPort": shared.options.connect.as_ref().and_then(Gateway::port)},
        "functions": functions,
        "handlers": handlers,
        "isSingleNodeService": false,
        "isMissingSigningKey": false,
        "isMissingEventKeys": false,
        "features": {},
    })))
}

/// An app, and what is wrong with it.
fn handler((url, app): (String, KnownApp)) -> Value {
    json!({
        "url": url,
        "appName": app.name,
        "sdk": app.sdk,
        "functionCount": app.functions,
        "error": app.error,
    })
}

pub(super) async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", uri.path()),
    )
}
