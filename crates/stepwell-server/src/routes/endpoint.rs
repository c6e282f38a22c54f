//! Durable endpoints: apps report runs that they execute by themselves, and whoever was redirected reads how one ended.

use super::rest::{run_id, unknown_run};
use super::{ACCOUNT, CHECKPOINT_BODY_BYTES_MAX, ENVIRONMENT};
use crate::answer::{ApiError, Failure, Found, Success};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell_engine::{EndpointError, EndpointStarted, RunStatus};
use stepwell_protocol::endpoint::{self, MoreSteps, NewRun};
use stepwell_protocol::token::RealtimeClaims;
use stepwell_protocol::{RunId, UserError, headers};
use stepwell_store::RunRecord;
use tokio::time::Instant;
use utoipa::ToSchema;

/// How long a request for a run's output is held until the run ends.
const OUTPUT_WAIT: Duration = Duration::from_secs(5 * 60);

/// What an app needs to report a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    fn_id: String,
    app_id: String,
    run_id: String,
    /// Opens the run's stream.
    realtime_token: String,
    /// Opens the run's output, for whoever is redirected there.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// An app has begun to execute an endpoint's run by itself.
#[utoipa::path(post, path = "/v1/checkpoint", tag = "SDKs", request_body = serde_json::Value,
    responses(
        (status = 200, body = Success<Started>), (status = 400, body = Failure),
        (status = 409, description = "The run is known.", body = Failure), (status = 429, body = Failure)))]
pub(super) async fn start(
    State(shared): State<Shared>,
    sent: HeaderMap,
    body: Body<CHECKPOINT_BODY_BYTES_MAX>,
) -> Result<Found<Started>, ApiError> {
    let run: NewRun = stepwell_protocol::decode::from_slice(&body.bytes).map_err(invalid)?;
    let id = run.run_id;
    let header = |name: &str| sent.get(name).and_then(|value| value.to_str().ok());
    let start = shared
        .handle
        .accept_endpoint(
            run,
            header(headers::SDK).unwrap_or(""),
            header(headers::FRAMEWORK).unwrap_or(""),
        )
        .map_err(invalid)?;
    let (app, has_steps) = (start.app.id, !start.steps.is_empty());
    // The engine knows the runs of a day; the store all that are kept.
    let known = shared.handle.read(move |reader| reader.run(id)).await?;
    if known.is_some() {
        return Err(refused(&EndpointError::Exists));
    }
    let started = shared.handle.start_endpoint(start).await?;
    let EndpointStarted { function, steps } = started.map_err(|error| refused(&error))?;
    log_refused(id, steps);
    let now = shared.handle.now();
    let now_s = now.ms() / 1_000;
    let new_id = || shared.handle.new_event_id().to_string();
    let claims = RealtimeClaims {
        id: new_id(),
        account: ACCOUNT,
        environment: ENVIRONMENT,
        now_s,
    };
    let answer = Started {
        fn_id: function.to_string(),
        app_id: app.to_string(),
        run_id: id.to_string(),
        realtime_token: shared.tokens.for_stream(id, claims),
        token: has_steps.then(|| shared.tokens.for_run(id, new_id(), now_s)),
    };
    Ok(Found(answer, now.ms()))
}

/// The app reports more of an endpoint's run.
///
/// What the run does not take is for the log: the app has done its
/// part. Only when nothing can be written is the app told, so that it says it again.
#[utoipa::path(post, path = "/v1/checkpoint/{run}/steps", tag = "SDKs", params(("run" = String, Path)),
    request_body = serde_json::Value, responses((status = 200), (status = 400, body = Failure)))]
pub(super) async fn steps(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Body<CHECKPOINT_BODY_BYTES_MAX>,
) -> Result<(), ApiError> {
    let run = run_id(&run)?;
    let MoreSteps { steps } =
        stepwell_protocol::decode::from_slice(&body.bytes).map_err(invalid)?;
    let event = shared.handle.event_for(run, &steps).await?;
    let reported = shared
        .handle
        .report_endpoint(run, steps, event.as_ref())
        .await?;
    log_refused(run, reported);
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct OutputQuery {
    #[serde(default)]
    token: String,
}

/// Waits for the end of an endpoint's run, and answers as its handler did: with its status, headers and body.
#[utoipa::path(method(get, post, put, patch, delete), path = "/v1/checkpoint/{run}/output", tag = "SDKs",
    params(("run" = String, Path), ("token" = Option<String>, Query)),
    responses(
        (status = 200, body = serde_json::Value), (status = 400, body = Failure), (status = 401, body = Failure),
        (status = 404, body = Failure), (status = 410, description = "It ended without a response.", body = Failure)))]
pub(super) async fn output(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    Query(query): Query<OutputQuery>,
) -> Result<Response, ApiError> {
    let run = run_id(&run)?;
    let now_s = shared.handle.now().ms() / 1_000;
    let opened = shared.tokens.check_for_run(&query.token, run, now_s);
    if let Err(why) = opened {
        let mut error = ApiError::new(
            StatusCode::UNAUTHORIZED,
            "Unable to find run with auth token",
        );
        error.details.push(why.to_string());
        return Err(error);
    }
    let deadline = Instant::now() + OUTPUT_WAIT;
    loop {
        let ending = shared.endings.of(run, &shared.handle).ok_or_else(|| {
            let message = "too many requests wait for the ends of runs; ask again in a moment";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
        let record = shared.handle.read(move |reader| reader.run(run)).await?;
        let record = record.ok_or_else(|| unknown_run(run))?;
        if record.status.has_ended() {
            return response_of(&record);
        }
        if tokio::time::timeout_at(deadline, ending).await.is_err() {
            let message = "run did not end within 5 minutes";
            return Ok(Json(json!({"status": "running", "message": message})).into_response());
        }
    }
}

/// How a run that has ended answers the request that started it.
fn response_of(record: &RunRecord) -> Result<Response, ApiError> {
    let output = record.output.as_ref().map_or("null", |output| output.get());
    match record.status {
        RunStatus::Completed => Ok(match endpoint::Response::of_output(output) {
            Some(response) => replay(response),
            None => json_text(StatusCode::OK, output),
        }),
        RunStatus::Failed => Ok(json_text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &failure_for_requester(output),
        )),
        _ => {
            let message = format!("the run ended without a response: {}", record.status);
            Err(ApiError::new(StatusCode::GONE, message))
        }
    }
}

/// A failed run's error as whoever made the request may see it: what led to it, and where in the code, is the app's own.
fn failure_for_requester(output: &str) -> String {
    let UserError { name, message, .. } = match serde_json::from_str(output) {
        Ok(Value::String(words)) => UserError::new("Error", words),
        _ => UserError::from_body(output.as_bytes()),
    };
    json!({"name": name, "message": message}).to_string()
}

fn replay(response: endpoint::Response) -> Response {
    let mut replayed = (response.status, response.body).into_response();
    // Text is what axum takes a string for; the handler says better, or nothing.
    replayed.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in response.headers {
        replayed.headers_mut().append(name, value);
    }
    replayed
}

fn json_text(status: StatusCode, text: &str) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], text.to_owned()).into_response()
}

fn invalid(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("Invalid request: {error}"))
}

fn refused(error: &EndpointError) -> ApiError {
    let status = match error {
        EndpointError::TooManyApps => StatusCode::TOO_MANY_REQUESTS,
        // A conflict says that the run is known.
        EndpointError::Untimely | EndpointError::Taken => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    ApiError::new(status, error.to_string())
}

fn log_refused(run: RunId, result: Result<(), EndpointError>) {
    if let Err(error) = result {
        tracing::warn!(%run, %error, "a part of what an endpoint reported is not taken");
    }
}

#[cfg(test)]
mod tests;
