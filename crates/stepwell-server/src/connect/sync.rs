//! The apps of a worker are registered as if they had registered themselves.

use super::workers::Group;
use super::{Door, Gateway};
use crate::routes::register::take_in;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stepwell_protocol::connect::{
    APP_URL, AppConfiguration, CloseCode, SystemError, WorkerConnect,
};
use stepwell_protocol::register::Registration;
use stepwell_protocol::{AppId, FunctionId};
use stepwell_store::AppRecord;
use tokio::time::Instant;
use uuid::Uuid;

/// Why an app was not registered.
#[derive(Debug)]
pub(super) struct SyncFailed {
    pub(super) close: CloseCode,
    pub(super) error: SystemError,
}

/// Registers the apps of a worker; those whose like is registered already are not registered again.
pub(super) async fn sync_apps(
    door: &Door,
    connect: &WorkerConnect,
) -> Result<Vec<Arc<Group>>, SyncFailed> {
    let mut groups: Vec<Arc<Group>> = Vec::with_capacity(connect.apps.len());
    for app in &connect.apps {
        if groups.iter().any(|group| group.app_name == app.app_name) {
            let message = format!("the app '{}' is there twice", app.app_name);
            return Err(invalid(message, &[]));
        }
        groups.push(sync_app(door, connect, app).await?);
    }
    Ok(groups)
}

async fn sync_app(
    door: &Door,
    connect: &WorkerConnect,
    app: &AppConfiguration,
) -> Result<Arc<Group>, SyncFailed> {
    let hash = hash_of(connect, app);
    if let Some(group) = known(&door.gateway, &hash)
        && !is_removed(door, group.app).await?
    {
        return Ok(group);
    }
    let registration = registration(connect, app)?;
    let functions = registration
        .functions
        .iter()
        .map(|function| FunctionId::of(AppId::of(&app.app_name), &function.id))
        .collect();
    let (app_id, _) = take_in(&door.handle, &door.apps, &registration)
        .await
        .map_err(|error| {
            if error.status.is_server_error() {
                return SyncFailed {
                    close: CloseCode::Internal,
                    error: system_error(CloseCode::Internal.as_str(), error.message, &[]),
                };
            }
            let message = format!(
                "the app '{}' was not registered: {}",
                app.app_name, error.message
            );
            let mut failed = invalid(message, &error.details);
            if let Some(code) = error.code {
                failed.error.code = code.to_owned();
            }
            failed
        })?;
    Ok(Arc::new(Group {
        app: app_id,
        app_name: app.app_name.clone(),
        app_version: app.app_version.clone(),
        hash,
        sync_id: Uuid::new_v4(),
        functions,
        sdk_language: connect.sdk_language.clone(),
        sdk_version: connect.sdk_version.clone(),
        sdk_platform: connect.platform.clone().unwrap_or_default(),
        synced_at: Instant::now(),
    }))
}

fn known(gateway: &Gateway, hash: &str) -> Option<Arc<Group>> {
    gateway.switchboard().workers.group(hash).cloned()
}

/// Whether someone has removed the app since it was registered. Then it is registered anew.
async fn is_removed(door: &Door, app: AppId) -> Result<bool, SyncFailed> {
    let apps = door.handle.read(|reader| reader.apps()).await;
    let apps = apps.map_err(|error| SyncFailed {
        close: CloseCode::Internal,
        error: system_error(CloseCode::Internal.as_str(), error.to_string(), &[]),
    })?;
    let found = apps.iter().find(|known| known.id == app);
    Ok(found.is_none_or(AppRecord::is_removed))
}

fn registration(
    connect: &WorkerConnect,
    app: &AppConfiguration,
) -> Result<Registration, SyncFailed> {
    let place = |message: String| format!("the app '{}': {message}", app.app_name);
    let functions: Value = serde_json::from_slice(&app.functions)
        .map_err(|error| invalid(place(format!("its functions are not JSON: {error}")), &[]))?;
    if !functions.is_array() {
        return Err(invalid(
            place("its functions are not a list".to_owned()),
            &[],
        ));
    }
    let body = json!({
        "v": "1",
        "url": APP_URL,
        "deployType": "connect",
        "sdk": format!("{}:{}", connect.sdk_language, connect.sdk_version),
        "framework": connect.framework,
        "appName": app.app_name,
        "appVersion": app.app_version,
        "functions": functions,
    });
    Registration::parse(body.to_string().as_bytes())
        .map_err(|error| invalid(place(error.to_string()), &[]))
}

/// What tells two configurations of an app apart.
fn hash_of(connect: &WorkerConnect, app: &AppConfiguration) -> String {
    let mut hasher = Sha256::new();
    for part in [
        app.app_name.as_bytes(),
        app.app_version.as_deref().unwrap_or("").as_bytes(),
        connect.sdk_language.as_bytes(),
        connect.sdk_version.as_bytes(),
        connect.framework.as_bytes(),
        &app.functions,
    ] {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

fn invalid(message: String, details: &[String]) -> SyncFailed {
    let close = CloseCode::InvalidFunctionConfig;
    SyncFailed {
        close,
        error: system_error(close.as_str(), message, details),
    }
}

fn system_error(code: &str, message: String, details: &[String]) -> SystemError {
    let data = (!details.is_empty()).then(|| json!({"details": details}).to_string().into_bytes());
    SystemError {
        code: code.to_owned(),
        data,
        message,
    }
}
