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

use crate::state::Shared;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes that take tokens.
pub(crate) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(websocket::connect))
        .routes(routes!(sse::follow))
        .routes(routes!(publish::publish))
        .routes(routes!(streams::tee))
}

/// The routes behind the signing key: tokens are made with that alone.
pub(crate) fn locked() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(tokens::create))
}
