//! `POST /v2/apps/{app}/functions/{function}/invoke`: runs a function, whatever its triggers.

use super::super::SMALL_BODY_BYTES_MAX;
use super::functions::{find, no_function};
use super::{Envelope, ErrorEntry, Errors, Refusal, found};
use crate::answer::ApiError;
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_engine::Verdict;
use stepwell_protocol::{EventId, event, limits};
use utoipa::ToSchema;

/// What to run a function with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invocation {
    #[schema(value_type = Object)]
    data: Option<Value>,
    /// By which an invocation that comes twice is known, for 24 hours.
    #[serde(default, alias = "idempotency_key")]
    idempotency_key: Option<String>,
}

/// What became of an invocation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invoked {
    /// The run; absent while the invocation waits in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// The invocation's event.
    event_id: String,
}

/// The run that an earlier invocation with the same key started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvokedBefore {
    errors: Vec<ErrorEntry>,
    data: Option<super::runs::RunReference>,
}

/// Runs a function, whatever its triggers.
#[utoipa::path(post, path = "/apps/{app}/functions/{function}/invoke", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("function" = String, Path, description = "The function's id, with or without the app's name.")),
    request_body = Invocation,
    responses(
        (status = 200, body = Envelope<Invoked>),
        (status = 202, description = "It waits in a batch.", body = Envelope<Invoked>),
        (status = 400, body = Errors), (status = 404, body = Errors),
        (status = 409, description = "The key was used before.", body = InvokedBefore),
        (status = 422, description = "Flow control kept it from starting a run.", body = Errors)))]
pub(super) async fn invoke(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
    body: Result<Body<SMALL_BODY_BYTES_MAX>, ApiError>,
) -> Result<Response, Refusal> {
    let payload = payload(&body?.bytes)?;
    let read = shared.handle.read(move |reader| {
        let record = find(reader, &app, &function)?.filter(|record| !record.archived);
        Ok(record.ok_or_else(|| no_function(&app, &function)))
    });
    let record = read.await??;
    let id = record.id.to_string();
    let (event, verdict) = shared.handle.invoke(id, &payload).await?;
    match verdict {
        Some(verdict) => answer(&shared, event, verdict),
        None => Err(no_function(&record.app_name, &record.slug)),
    }
}

fn payload(body: &[u8]) -> Result<Value, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::invalid("the body is not UTF-8"))?;
    if body.len() > limits::EVENT_BYTES_MAX || event::depth(text) > limits::EVENT_DEPTH_MAX {
        return Err(Refusal::invalid(format!(
            "expected at most {} bytes and {} levels",
            limits::EVENT_BYTES_MAX,
            limits::EVENT_DEPTH_MAX
        )));
    }
    let sent: Invocation = stepwell_protocol::decode::from_slice(body)
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    let data = match sent.data {
        Some(data @ Value::Object(_)) => data,
        Some(Value::Null) | None => {
            let message = "data: expected what the function gets";
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "missing_field",
                message,
            ));
        }
        Some(_) => return Err(Refusal::malformed("data: expected an object")),
    };
    let mut payload = json!({"data": data});
    if let Some(key) = sent.idempotency_key.filter(|key| !key.is_empty()) {
        payload["id"] = key.into();
    }
    Ok(payload)
}

fn answer(shared: &Shared, event: EventId, verdict: Verdict) -> Result<Response, Refusal> {
    let held = |code, message: &str| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    let mut invoked = Invoked {
        run_id: None,
        event_id: event.to_string(),
    };
    Err(match verdict {
        Verdict::Started { run } => {
            invoked.run_id = Some(run.to_string());
            return Ok(found(shared, invoked).into_response());
        }
        Verdict::Batched { .. } => {
            return Ok((StatusCode::ACCEPTED, found(shared, invoked)).into_response());
        }
        Verdict::Duplicate { run } => {
            let message = "the idempotency key was used before";
            let refusal = Refusal::new(StatusCode::CONFLICT, "idempotency_conflict", message);
            let body = InvokedBefore {
                errors: refusal.body().errors,
                data: run.map(|run| super::runs::RunReference {
                    run_id: run.to_string(),
                }),
            };
            return Ok((StatusCode::CONFLICT, Json(body)).into_response());
        }
        Verdict::RateLimited { .. } => held("rate_limited", "the function's rate limit is reached"),
        Verdict::Debounced { .. } => held(
            "function_debounced",
            "the function starts when invocations and events have stopped coming",
        ),
        Verdict::Superseded { .. } => held(
            "function_debounced",
            "another event of its debounce window has its place",
        ),
        Verdict::Skipped { .. } => held(
            "function_skipped",
            "the function is paused, or another run has the only place",
        ),
        Verdict::BatchKeyInvalid => held("validation_error", "the batch's key fails for this data"),
        Verdict::Filtered { .. } => held("function_skipped", "the function's condition is not met"),
    })
}
