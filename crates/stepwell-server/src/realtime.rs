//! Realtime: programs publish messages to topics of channels, and browsers get them while they are connected.
//!
//! The [`Hub`] knows who is subscribed to what. Each subscriber has a bounded [`mailbox`]; nobody who publishes waits for one.
//! What the engine says of runs comes through the [`herald`], after the commit and only for runs that someone follows.

mod access;
mod herald;
mod hub;
mod mailbox;
mod pieces;
mod publish;
mod sse;
mod streams;
mod tokens;
mod websocket;

pub(crate) use hub::Hub;

use crate::access::require_signing_key;
use crate::state::Shared;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

/// The routes. Only tokens are made with the signing key alone.
pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    let locked = Router::new()
        .route("/v1/realtime/token", post(tokens::create))
        .route_layer(middleware::from_fn_with_state(
            shared.clone(),
            require_signing_key,
        ));
    Router::new()
        .route("/v1/realtime/connect", get(websocket::connect))
        .route("/v1/realtime/sse", get(sse::follow))
        .route("/v1/realtime/publish", post(publish::publish))
        .route("/v1/realtime/publish/tee", post(streams::tee))
        .merge(locked)
}
