//! The keys that the server was started with.

use super::{Answer, Envelope, found};
use crate::access::EventKeys;
use crate::state::Shared;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Characters of a key that tell it from others, when not all of it is shown.
const SHOWN: usize = 4;

/// A key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    id: String,
    name: String,
    /// The key, or its last characters.
    key: String,
}

/// The keys that events may be sent with; none when every key will do.
#[utoipa::path(get, path = "/keys/events", tag = "Server",
    responses((status = 200, body = Envelope<Vec<Key>>)))]
pub(super) async fn events(State(shared): State<Shared>) -> Answer<Vec<Key>> {
    let keys = match &shared.options.event_keys {
        EventKeys::Any => &[][..],
        EventKeys::These(keys) => keys,
    };
    // Whoever holds the signing key may know the others.
    let is_locked = shared.options.signing_key.is_some();
    let keys = (1..).zip(keys).map(|(number, key)| Key {
        id: number.to_string(),
        name: format!("Event key {number}"),
        key: if is_locked { key.clone() } else { masked(key) },
    });
    Ok(found(&shared, keys.collect()))
}

/// The signing key: its last characters.
#[utoipa::path(get, path = "/keys/signing", tag = "Server",
    responses((status = 200, body = Envelope<Vec<Key>>)))]
pub(super) async fn signing(State(shared): State<Shared>) -> Answer<Vec<Key>> {
    let key = shared.options.signing_key.as_ref().map(|key| Key {
        id: "1".to_owned(),
        name: "Signing key".to_owned(),
        // Whoever holds the old one of two need not learn the new one.
        key: masked(&key.hashed()),
    });
    Ok(found(&shared, key.into_iter().collect()))
}

fn masked(key: &str) -> String {
    let shown = key.char_indices().rev().nth(SHOWN - 1);
    match shown {
        Some((at, _)) if at > 0 => format!("…{}", &key[at..]),
        _ => "…".to_owned(),
    }
}
