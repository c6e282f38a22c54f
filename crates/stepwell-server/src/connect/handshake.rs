//! A worker introduces itself: who it is, which apps it has.

use super::outbox::Outbox;
use super::session::{Ended, Incoming};
use super::workers::{Status, Worker};
use super::{Door, sync};
use prost::DecodeError;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use std::time::SystemTime;
use stepwell_protocol::connect::{
    AuthData, CloseCode, Frame, FrameKind, Message, ReadyData, WorkerConnect,
};
use tokio::time::{Instant, timeout_at};
use ulid::Ulid;

/// Bytes of a worker's own name.
const INSTANCE_BYTES_MAX: usize = 1_024;
/// [`WorkerConnect::apps`].
const APPS_TAG: u32 = 5;

/// The part of [`WorkerConnect`] that says whether the rest may be read. It holds nothing that repeats: an empty app takes
/// two bytes of a frame, and many more once decoded.
#[derive(Message)]
#[prost(skip_debug)]
struct Credentials {
    #[prost(string, tag = "1")]
    connection_id: String,
    #[prost(message, optional, tag = "3")]
    auth_data: Option<AuthData>,
}

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
    let id = authenticate(&frame.payload, door)?;
    let invalid = |_| CloseCode::HelloInvalidPayload;
    if count_apps(&frame.payload).map_err(invalid)? > gateway.options().apps_max {
        return Err(CloseCode::TooManyApps);
    }
    let connect = WorkerConnect::decode(&*frame.payload).map_err(invalid)?;
    check(&connect)?;
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

/// Whether a worker may be here; the connection's id.
fn authenticate(payload: &[u8], door: &Door) -> Result<Ulid, CloseCode> {
    let credentials = Credentials::decode(payload).map_err(|_| CloseCode::HelloInvalidPayload)?;
    let id = Ulid::from_string(&credentials.connection_id);
    let id = id.map_err(|_| CloseCode::HelloInvalidPayload)?;
    let auth = credentials.auth_data.as_ref();
    let token = auth.map_or("", |auth| auth.session_token.as_str());
    let now_s = door.handle.now().ms() / 1_000;
    let tokens = &door.gateway.0.tokens;
    tokens
        .check_for_connection(token, &credentials.connection_id, now_s)
        .map_err(|_| CloseCode::AuthenticationFailed)?;
    Ok(id)
}

/// The apps of a [`WorkerConnect`], without decoding any.
fn count_apps(mut payload: &[u8]) -> Result<usize, DecodeError> {
    let mut apps = 0;
    while !payload.is_empty() {
        let (tag, wire_type) = decode_key(&mut payload)?;
        if tag == APPS_TAG {
            apps += 1;
        }
        skip_field(wire_type, tag, &mut payload, DecodeContext::default())?;
    }
    Ok(apps)
}

/// What can be said of a worker without looking further.
fn check(connect: &WorkerConnect) -> Result<(), CloseCode> {
    let named = (1..=INSTANCE_BYTES_MAX).contains(&connect.instance_id.len());
    let capable = serde_json::from_slice::<serde::de::IgnoredAny>(&connect.capabilities).is_ok();
    let has_apps = !connect.apps.is_empty();
    if named && capable && has_apps {
        Ok(())
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
