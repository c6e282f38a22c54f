//! `GET /v1/realtime/connect`: a subscription over a WebSocket, whose topics the subscriber may change.

use super::access;
use super::hub::Subscription;
use super::mailbox::{Cut, Delivery};
use super::sse::TokenQuery;
use crate::answer::{ApiError, Failure};
use crate::state::Shared;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell_protocol::realtime::{Kind, Message, Wish};
use stepwell_protocol::shared_json;
use stepwell_protocol::token::{Grant, TOKEN_BYTES_MAX};
use tokio::time::{Instant, MissedTickBehavior};

/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long a client may say nothing, not even in answer to that.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long a client gets to take note of the end.
const PARTING: Duration = Duration::from_secs(1);
/// What a client may say at once: a token, or the topics that one opens.
const WISH_BYTES_MAX: usize = 8 * TOKEN_BYTES_MAX;
/// What is read from a client at once. Each has such a buffer, and most say nothing.
const READ_BYTES: usize = 4 * 1024;

/// A subscription over a WebSocket, whose topics the subscriber may change.
#[utoipa::path(get, path = "/v1/realtime/connect", tag = "Realtime", params(("token" = Option<String>, Query, description = "A token, unless it is a bearer's.")),
    responses(
        (status = 101, description = "The WebSocket."),
        (status = 400, content((Failure = "application/json"), (String = "text/plain"))), (status = 401, body = Failure),
        (status = 426, description = "The request asks for no WebSocket.", body = String, content_type = "text/plain")))]
pub(super) async fn connect(
    State(shared): State<Shared>,
    Query(query): Query<TokenQuery>,
    sent: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let topics = access::subscriber(&shared, &sent, query.token.as_deref())?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(WISH_BYTES_MAX)
            .max_frame_size(WISH_BYTES_MAX)
            .read_buffer_size(READ_BYTES),
        Err(rejection) => return Ok(rejection.into_response()),
    };
    // From here on nothing is missed, though the client has yet to be told.
    let subscription = shared.hub.subscribe(topics)?;
    Ok(upgrade.on_upgrade(async move |socket| {
        Conversation {
            shared,
            subscription,
            socket,
        }
        .hold()
        .await;
    }))
}

/// A client and its subscription.
struct Conversation<S> {
    shared: Shared,
    subscription: Subscription,
    socket: S,
}

/// How a conversation ends.
enum End {
    /// The client is gone, or does not answer.
    Gone,
    /// The server ends it.
    Cut(Cut),
}

impl<S, E> Conversation<S>
where
    S: Stream<Item = Result<Frame, E>> + Sink<Frame> + Unpin,
{
    async fn hold(mut self) {
        if let End::Cut(cut) = self.converse().await {
            // A client that reads slowly, or not at all, is not waited for.
            let parting = tokio::time::timeout(PARTING, self.part(cut));
            parting.await.unwrap_or_default();
        }
    }

    async fn converse(&mut self) -> End {
        let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_since = Instant::now();
        loop {
            let frame = tokio::select! {
                next = self.subscription.mailbox().next() => match next {
                    Ok(Delivery::Message(text)) => Frame::Text(text),
                    Ok(Delivery::Raw(bytes)) => Frame::Text(text(&bytes)),
                    Ok(Delivery::StreamEnded) => continue,
                    Err(cut) => return End::Cut(cut),
                },
                said = self.socket.next() => {
                    silent_since = Instant::now();
                    match said {
                        Some(Ok(Frame::Text(said))) => match self.grant(&said) {
                            Some(frame) => frame,
                            None => continue,
                        },
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => return End::Gone,
                        // Pings are answered underneath, and nothing else means anything.
                        Some(Ok(_)) => continue,
                    }
                }
                _ = pings.tick() => {
                    if silent_since.elapsed() >= SILENCE_MAX {
                        return End::Gone;
                    }
                    Frame::Ping(bytes::Bytes::new())
                }
            };
            let mailbox = self.subscription.mailbox();
            let sent = tokio::select! {
                sent = tokio::time::timeout(SILENCE_MAX, self.socket.send(frame)) => sent,
                // It need not be sent to its end.
                cut = mailbox.severed() => return End::Cut(cut),
            };
            if !matches!(sent, Ok(Ok(()))) {
                return End::Gone;
            }
        }
    }

    /// Does what a client asks for; what to say if that cannot be done.
    fn grant(&mut self, said: &str) -> Option<Frame> {
        let refused: String = match Wish::parse(said)? {
            Wish::Subscribe(token) => {
                let now_s = self.shared.handle.now().ms() / 1_000;
                match self.shared.tokens.check_realtime(&token, now_s) {
                    Ok(Grant::Subscribe(topics)) => {
                        self.subscription.add(topics).err()?.to_string()
                    }
                    Ok(Grant::Publish { .. }) => "the token is for something else".to_owned(),
                    Err(why) => why.to_string(),
                }
            }
            Wish::Unsubscribe(topics) => {
                self.subscription.remove(topics);
                return None;
            }
        };
        let about = json!({"error": refused});
        Some(Frame::Text(notice(Kind::Sub, &about)))
    }

    /// Says why this is the end, and waits for the client to have read it.
    async fn part(&mut self, cut: Cut) {
        let closing = cut == Cut::Closing;
        if closing {
            let notice = Frame::Text(notice(Kind::Closing, &Value::Null));
            // One that is gone need not know.
            drop(self.socket.feed(notice).await);
        }
        let close = CloseFrame {
            code: if closing {
                close_code::AWAY
            } else {
                close_code::AGAIN
            },
            reason: cut.reason().into(),
        };
        if self.socket.send(Frame::Close(Some(close))).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

/// What the server says about a connection itself.
fn notice(kind: Kind, about: &Value) -> Utf8Bytes {
    let data = shared_json(about.to_string()).expect("serialised JSON is JSON");
    let message = Message {
        kind,
        data: &data,
        metadata: None,
        created_at: None,
        channel: "",
        env_id: "",
        topic: "",
        stream_id: None,
        run_id: None,
    };
    message.to_json().into()
}

/// A part of a stream as text; what is none is replaced.
fn text(bytes: &[u8]) -> Utf8Bytes {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests;
