//! The connection of a subscription: opened, read, and opened again.

use super::SubscribeError;
use super::message::{Json, Message};
use super::subscription::Arrivals;
use crate::client::{ApiError, Client, api_refused};
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::headers;
use stepwell_protocol::realtime::Topic;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// Until there is a token; and until there is a connection.
const REQUEST_MAX: Duration = Duration::from_secs(15);
/// A server asks every 15 seconds whether its subscriber is there: after this, it is itself gone.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long the server gets to close its side.
const FAREWELL: Duration = Duration::from_secs(1);
/// The pause before a first try to connect again; it doubles with each up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The largest message: 512 KiB of data, of which what is not text may grow threefold, and what is said of it.
const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What waits for the subscriber. While there is no room nothing is read, and the server cuts off whom it cannot send to.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_MAX: u32 = 8 * 1024 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Arrived = Result<(Message<Json>, OwnedSemaphorePermit), SubscribeError>;

/// What is subscribed to, and where.
pub(super) struct Link {
    client: Client,
    channel: String,
    topics: Vec<String>,
    room: Arc<Semaphore>,
}

/// Why there is no connection.
struct Failure {
    error: ApiError,
    /// Whether another try goes the same way.
    is_lasting: bool,
}

/// How a connection ends.
enum End {
    /// Nobody reads any more.
    Unwanted,
    /// It broke, or the server closed it; and whether it had brought anything.
    Lost { reason: String, was_of_use: bool },
}

impl Link {
    pub(super) fn new(client: Client, channel: String, topics: Vec<String>) -> Self {
        Self {
            client,
            channel,
            topics,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)),
        }
    }

    /// Connects, and reads from then on.
    pub(super) async fn start(self) -> Result<Arrivals, SubscribeError> {
        let opened = self.open().await;
        let socket = opened.map_err(|failure| self.not_subscribed(failure.error))?;
        let (arrived, mut arrivals) = mpsc::channel(WAITING_MAX);
        tokio::spawn(self.run(socket, arrived));
        Ok(Box::pin(futures::stream::poll_fn(move |cx| {
            let next = arrivals.poll_recv(cx);
            next.map(|next: Option<Arrived>| {
                next.map(|arrived| arrived.map(|(message, _room)| message))
            })
        })))
    }

    async fn run(self, mut socket: Socket, arrived: mpsc::Sender<Arrived>) {
        let mut failures = 0;
        loop {
            let reason = match self.read(&mut socket, &arrived).await {
                End::Unwanted => {
                    drop(timeout(FAREWELL, socket.close(None)).await);
                    return;
                }
                End::Lost { reason, was_of_use } => {
                    if was_of_use {
                        failures = 0;
                    }
                    reason
                }
            };
            let channel = &self.channel;
            tracing::debug!(channel, reason, "a subscription's connection was lost");
            let opened = tokio::select! {
                opened = self.open_again(&mut failures) => opened,
                () = arrived.closed() => return,
            };
            let told = match opened {
                Ok(opened) => {
                    socket = opened;
                    let channel = channel.clone();
                    SubscribeError::Interrupted { channel, reason }
                }
                Err(error) => self.not_subscribed(error),
            };
            let is_end = matches!(told, SubscribeError::NotSubscribed { .. });
            if arrived.send(Err(told)).await.is_err() || is_end {
                return;
            }
        }
    }

    /// Tries until there is a connection, or will never be one.
    async fn open_again(&self, failures: &mut u32) -> Result<Socket, ApiError> {
        loop {
            let pause = pause(*failures, crate::random::fraction());
            *failures = failures.saturating_add(1);
            self.client.clock().delay(pause).await;
            match self.open().await {
                Ok(socket) => return Ok(socket),
                Err(failure) if failure.is_lasting => return Err(failure.error),
                Err(failure) => {
                    let error = failure.error;
                    tracing::debug!(channel = self.channel, %error, "no connection yet");
                }
            }
        }
    }

    async fn open(&self) -> Result<Socket, Failure> {
        crate::http_client::use_ring();
        let token = self.token().await?;
        let origin = &self.client.config().api_url;
        let url = format!("{origin}/v1/realtime/connect");
        let passing = |reason: String| Failure {
            error: ApiError::Unreachable {
                url: url.clone(),
                reason,
            },
            is_lasting: false,
        };
        // `http` becomes `ws`, `https` becomes `wss`.
        let mut request = match url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}").into_client_request(),
            None => url.as_str().into_client_request(),
        }
        .map_err(|error| passing(error.to_string()))?;
        // In a header, so that it is in nobody's log.
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| passing("the token is no text".to_owned()))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        if let Some(environment) = &self.client.config().environment
            && let Ok(environment) = HeaderValue::try_from(environment)
        {
            request
                .headers_mut()
                .insert(headers::ENVIRONMENT, environment);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let opening = connect_async_with_config(request, Some(config), true);
        match timeout(REQUEST_MAX, opening).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(SocketError::Http(answer))) => {
                let answer = answer.map(|body| body.unwrap_or_default().into());
                Err(Failure {
                    is_lasting: is_lasting(answer.status()),
                    error: api_refused(&url, &answer),
                })
            }
            Ok(Err(error)) => Err(passing(error.to_string())),
            Err(_) => Err(passing(nothing_came())),
        }
    }

    /// A token for the topics: it is good for a minute, and counts when a connection begins.
    async fn token(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Made {
            jwt: String,
        }
        let url = format!("{}/v1/realtime/token", self.client.config().api_url);
        let topics = self.topics.iter();
        let topics: Vec<Topic> = topics
            .map(|topic| Topic::new(self.channel.clone(), topic))
            .collect();
        let body = serde_json::to_vec(&topics).expect("names are JSON");
        let passing = |error| Failure {
            error,
            is_lasting: false,
        };
        let asking = self.client.call_api(Method::POST, &url, &[], body.into());
        let answer = match timeout(REQUEST_MAX, asking).await {
            Ok(answer) => answer.map_err(passing)?,
            Err(_) => {
                let reason = nothing_came();
                return Err(passing(ApiError::Unreachable { url, reason }));
            }
        };
        if !answer.status().is_success() {
            return Err(Failure {
                is_lasting: is_lasting(answer.status()),
                error: api_refused(&url, &answer),
            });
        }
        match stepwell_protocol::decode::from_slice(answer.body()) {
            Ok(Made { jwt }) => Ok(jwt),
            Err(error) => Err(passing(ApiError::Answer {
                url,
                reason: error.to_string(),
            })),
        }
    }

    /// Reads what comes until it ends.
    async fn read(&self, socket: &mut Socket, arrived: &mpsc::Sender<Arrived>) -> End {
        let mut was_of_use = false;
        let reason = loop {
            let frame = tokio::select! {
                frame = timeout(SILENCE_MAX, socket.next()) => frame,
                () = arrived.closed() => return End::Unwanted,
            };
            let text = match frame {
                Ok(Some(Ok(Frame::Text(text)))) => text,
                Ok(Some(Ok(Frame::Close(frame)))) => {
                    let said = frame.map(|frame| frame.reason.as_str().to_owned());
                    break format!("the server closed it: {}", said.unwrap_or_default());
                }
                // Pings have to be answered: that happens with the next write, which nobody else makes.
                Ok(Some(Ok(Frame::Ping(_)))) => match timeout(REQUEST_MAX, socket.flush()).await {
                    Ok(Ok(())) => continue,
                    _ => break "the connection takes nothing".to_owned(),
                },
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => break error.to_string(),
                Ok(None) => break "the connection ended".to_owned(),
                Err(_) => break format!("nothing came for {} s", SILENCE_MAX.as_secs()),
            };
            let Some(message) = Message::parse(&self.channel, &self.topics, &text) else {
                continue;
            };
            was_of_use = true;
            let bytes = u32::try_from(text.len()).unwrap_or(WAITING_BYTES_MAX);
            let bytes = bytes.min(WAITING_BYTES_MAX);
            let room = tokio::select! {
                room = Arc::clone(&self.room).acquire_many_owned(bytes) => room,
                () = arrived.closed() => return End::Unwanted,
            };
            let room = room.expect("the semaphore is never closed");
            if arrived.send(Ok((message, room))).await.is_err() {
                return End::Unwanted;
            }
        };
        End::Lost { reason, was_of_use }
    }

    fn not_subscribed(&self, source: ApiError) -> SubscribeError {
        SubscribeError::NotSubscribed {
            channel: self.channel.clone(),
            source,
        }
    }
}

/// What stays as it is until somebody changes something.
fn is_lasting(status: StatusCode) -> bool {
    status.is_client_error()
        && ![StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

fn nothing_came() -> String {
    format!("nothing came for {} s", REQUEST_MAX.as_secs())
}

/// How long to wait after so many failures in a row: at least half of the doubled pause, so that subscribers which lost
/// one server do not come back all at once. `dice` is in `0.0..1.0`.
fn pause(failures: u32, dice: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1_u32 << failures.min(16));
    doubled.min(PAUSE_MAX).mul_f64(0.5 + dice / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_vary() {
        assert_eq!(pause(0, 0.0), Duration::from_millis(125));
        assert_eq!(pause(2, 0.5), Duration::from_millis(750));
        assert_eq!(pause(u32::MAX, 0.0), PAUSE_MAX / 2);
    }
}
