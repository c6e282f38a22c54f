//! A worker introduces itself: who it is, which apps it has.

use super::outbox::Outbox;
use super::session::{Ended, Incoming};
use super::workers::{Status, Worker};
use super::{Door, sync};
use std::time::SystemTime;
use stepwell_protocol::connect::{CloseCode, Frame, FrameKind, Message, ReadyData, WorkerConnect};
use tokio::time::{Instant, timeout_at};
use ulid::Ulid;

/// Bytes of a worker's own name.
const INSTANCE_BYTES_MAX: usize = 1_024;

/// Reads a worker's introduction, registers its apps and lets it in; the connection's id.
pub(super) async fn shake_hands(
    incoming: &mut Incoming,
    outbox: &Outbox,
    door: &Door,
) -> Result<Ulid, CloseCode> {
    let gateway = &door.gateway;
    outbox.send_bare(FrameKind::GatewayHello);
    let patience = Instant::now() + gateway.times().hello;
    let frame = timeout_at(patience, incoming.frame())
        .await
        .map_err(|_| CloseCode::HelloTimeout)?
        .map_err(|ended| match ended {
            Ended::Unreadable(CloseCode::MessageTooLarge) => CloseCode::MessageTooLarge,
            _ => CloseCode::HelloInvalidMessage,
        })?;
    if frame.kind != FrameKind::WorkerConnect as i32 {
        return Err(CloseCode::HelloInvalidMessage);
    }
    let connect =
        WorkerConnect::decode(&*frame.payload).map_err(|_| CloseCode::HelloInvalidPayload)?;
    let id = check(&connect)?;
    let auth = connect.auth_data.as_ref();
    let token = auth.map_or("", |auth| auth.session_token.as_str());
    let now_s = door.handle.now().ms() / 1_000;
    gateway
        .0
        .tokens
        .check_for_connection(token, &connect.connection_id, now_s)
        .map_err(|_| CloseCode::AuthenticationFailed)?;
    if connect.apps.len() > gateway.options().apps_max {
        return Err(CloseCode::TooManyApps);
    }
    let groups = match sync::sync_apps(door, &connect).await {
        Ok(groups) => groups,
        Err(failed) => {
            tracing::warn!(
                instance = connect.instance_id,
                reason = failed.error.message,
                details = failed
                    .error
                    .data
                    .as_deref()
                    .map(String::from_utf8_lossy)
                    .as_deref(),
                "a worker was not let in"
            );
            outbox.send(&Frame::of(FrameKind::SyncFailed, &failed.error));
            return Err(failed.close);
        }
    };
    if gateway.is_closing() {
        return Err(CloseCode::GatewayClosing);
    }
    let apps: Vec<&str> = connect
        .apps
        .iter()
        .map(|app| app.app_name.as_str())
        .collect();
    tracing::info!(connection = %id, instance = connect.instance_id, ?apps, "worker connected");
    let now = Instant::now();
    let worker = Worker {
        id,
        instance: connect.instance_id,
        outbox: outbox.clone(),
        status: Status::Connected,
        groups,
        calls_max: connect
            .max_worker_concurrency
            .and_then(|most| usize::try_from(most).ok())
            .filter(|most| *most > 0),
        calls: 0,
        heard_at: now,
        heartbeat_at: SystemTime::now(),
        sdk_language: connect.sdk_language,
        sdk_version: connect.sdk_version,
        attributes: connect.system_attributes.unwrap_or_default(),
        said: None,
    };
    // What the worker is told comes before any call that it is sent.
    outbox.send(&Frame::of(
        FrameKind::GatewayConnectionReady,
        &ready_data(gateway.times()),
    ));
    let mut switchboard = gateway.switchboard();
    switchboard.join(worker, now)?;
    if !connect.worker_manual_readiness_ack {
        switchboard.ready(id);
    }
    Ok(id)
}

/// What can be said without looking further; the connection's id.
fn check(connect: &WorkerConnect) -> Result<Ulid, CloseCode> {
    let id = Ulid::from_string(&connect.connection_id);
    let id = id.map_err(|_| CloseCode::HelloInvalidPayload)?;
    let named = (1..=INSTANCE_BYTES_MAX).contains(&connect.instance_id.len());
    let capable = serde_json::from_slice::<serde::de::IgnoredAny>(&connect.capabilities).is_ok();
    let has_apps = !connect.apps.is_empty();
    if named && capable && has_apps {
        Ok(id)
    } else {
        Err(CloseCode::HelloInvalidPayload)
    }
}

fn ready_data(times: &super::ConnectTimes) -> ReadyData {
    // Whole seconds are what every SDK reads; tests hurry.
    let text = |span: std::time::Duration| match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_millis()),
    };
    ReadyData {
        heartbeat_interval: text(times.heartbeat),
        extend_lease_interval: text(times.extend),
        status_interval: "0s".to_owned(),
    }
}
