//! Who is connected, for people and tools.

use super::start::gateway;
use super::workers::{Group, Worker};
use crate::answer::{ApiError, Failure};
use crate::routes::{ACCOUNT, ENVIRONMENT};
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// The workers that are connected.
#[utoipa::path(get, path = "/v0/connect/envs/{env}/conns", tag = "Workers",
    params(("env" = String, Path, description = "`dev`, or the environment's id.")),
    responses((status = 200, body = Value), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn connections(
    State(shared): State<Shared>,
    Path(environment): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let gateway = gateway(&shared)?;
    if !is_ours(&environment)? {
        return Ok(Json(json!({"data": []})));
    }
    let switchboard = gateway.switchboard();
    let mut workers: Vec<&Worker> = switchboard.workers.iter().collect();
    workers.sort_unstable_by_key(|worker| worker.id);
    let rows: Vec<Value> = workers.into_iter().map(row).collect();
    Ok(Json(json!({"data": rows})))
}

/// Workers with the same version of an app.
#[utoipa::path(get, path = "/v0/connect/envs/{env}/groups/{hash}", tag = "Workers",
    params(("env" = String, Path, description = "`dev`, or the environment's id."), ("hash" = String, Path)),
    responses((status = 200, body = Value), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn group(
    State(shared): State<Shared>,
    Path((environment, hash)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let gateway = gateway(&shared)?;
    let ours = is_ours(&environment)?;
    let switchboard = gateway.switchboard();
    let workers = &switchboard.workers;
    let Some(group) = workers.group(&hash).filter(|_| ours) else {
        let message = format!("there is no group of workers '{hash}'");
        return Err(ApiError::new(StatusCode::NOT_FOUND, message));
    };
    let ids = workers.of_group(&hash);
    let connections: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(Json(json!({"data": {
        "account_id": ACCOUNT,
        "env_id": ENVIRONMENT,
        "app_id": group.app,
        "app_name": group.app_name,
        "app_version": group.app_version,
        "hash": group.hash,
        "sync_id": group.sync_id,
        "sdk_lang": group.sdk_language,
        "sdk_version": group.sdk_version,
        "sdk_platform": group.sdk_platform,
        "synced": true,
        "conns": connections,
    }})))
}

/// Whether this is the server's environment, by its id or as `dev`.
fn is_ours(environment: &str) -> Result<bool, ApiError> {
    if environment == "dev" {
        return Ok(true);
    }
    let id = Uuid::parse_str(environment)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "invalid environment ID"))?;
    Ok(id.to_string() == ENVIRONMENT)
}

fn row(worker: &Worker) -> Value {
    let hashes = |key: fn(&Group) -> String| -> Map<String, Value> {
        let groups = worker.groups.iter();
        groups
            .map(|group| (key(group), group.hash.clone().into()))
            .collect()
    };
    let heartbeat = worker
        .heartbeat_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut row = json!({
        "id": worker.id.to_string(),
        "gateway_id": super::GROUP,
        "instance_id": worker.instance,
        "all_worker_groups": hashes(|group| group.app_name.clone()),
        "synced_worker_groups": hashes(|group| group.app.to_string()),
        "status": worker.status as i32,
        "last_heartbeat_at": {"seconds": heartbeat.as_secs(), "nanos": heartbeat.subsec_nanos()},
        "sdk_language": worker.sdk_language,
        "sdk_version": worker.sdk_version,
        "attributes": {
            "cpu_cores": worker.attributes.cpu_cores,
            "mem_bytes": worker.attributes.mem_bytes,
            "os": worker.attributes.os,
        },
        "calls": worker.calls,
        "calls_max": worker.calls_max,
    });
    if let Some(said) = &worker.said {
        row["said"] = json!({
            "in_flight_request_ids": said.in_flight_request_ids,
            "shutdown_requested": said.shutdown_requested,
        });
    }
    row
}
