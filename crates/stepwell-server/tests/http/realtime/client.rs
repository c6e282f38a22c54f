//! Subscribers: over a WebSocket, or over server-sent events.

use crate::server::{Server, soon};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};

/// A token that opens these topics of a channel, as the server hands it out.
pub(crate) async fn token(server: &Server, channel: &str, topics: &[&str]) -> String {
    let topics = topics
        .iter()
        .map(|topic| json!({"kind": "run", "channel": channel, "name": topic}));
    let topics = Value::from_iter(topics).to_string();
    let answer = server.post("/v1/realtime/token", topics).await.expect(201);
    answer["jwt"].as_str().expect("it is a text").to_owned()
}

/// A client on a WebSocket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn subscribe(server: &Server, channel: &str, topics: &[&str]) -> Self {
        let token = token(server, channel, topics).await;
        Self::open(server, &token).await.expect("it is let in")
    }

    /// Connects with a token in the query; what the server answers if it refuses.
    pub(crate) async fn open(server: &Server, token: &str) -> Result<Self, u16> {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        // Small, so that a client that does not read is noticed soon.
        socket
            .set_recv_buffer_size(64 * 1024)
            .expect("a buffer may be small");
        let address = server.url.trim_start_matches("http://");
        let address = address.parse().expect("it is an address");
        let stream = socket.connect(address).await.expect("the server listens");
        let url = format!("ws{}/v1/realtime/connect?token={token}", &server.url[4..]);
        match tokio_tungstenite::client_async(url, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let text = self.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) async fn next_text(&mut self) -> String {
        let text = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                    Some(Ok(Message::Ping(_))) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        soon("a message comes", text).await
    }

    /// Begins a message of this many bytes, and sends none of them; whether the server ends the connection at once, or asks
    /// whether there is more to come.
    pub(crate) async fn announce(mut self, bytes: u64) -> bool {
        let mut header = vec![0x81, 0xff];
        header.extend(bytes.to_be_bytes());
        header.extend([0; 4]);
        let stream = self.0.get_mut();
        stream.write_all(&header).await.expect("it is open");
        let next = soon("the server says something", self.0.next()).await;
        !matches!(next, Some(Ok(Message::Ping(_))))
    }

    /// Reads on until the server closes the connection; what it says.
    pub(crate) async fn closed(mut self) -> Option<CloseFrame> {
        let closed = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(close))) => return close,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        soon("the connection is closed", closed).await
    }
}

/// A client of server-sent events.
pub(crate) struct Events {
    response: reqwest::Response,
    read: String,
}

impl Events {
    pub(crate) async fn subscribe(server: &Server, channel: &str, topics: &[&str]) -> Self {
        let token = token(server, channel, topics).await;
        Self::open(server, &token).await.expect("it is let in")
    }

    pub(crate) async fn open(server: &Server, token: &str) -> Result<Self, u16> {
        let url = format!("{}/v1/realtime/sse?token={token}", server.url);
        let response = reqwest::get(url).await.expect("the server answers");
        if !response.status().is_success() {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self {
            response,
            read: String::new(),
        })
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let event = self.next_raw().await.expect("there is a message");
        let data = event
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("{event}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {event}"))
    }

    /// The next event as it is, without comments; nothing when the stream is over.
    pub(crate) async fn next_raw(&mut self) -> Option<String> {
        let event = async {
            loop {
                if let Some((event, rest)) = self.read.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.read = rest;
                    if event.starts_with(':') {
                        continue;
                    }
                    return Some(event);
                }
                let part = self.response.chunk().await.expect("the stream goes on")?;
                self.read
                    .push_str(std::str::from_utf8(&part).expect("it is text"));
            }
        };
        soon("an event comes", event).await
    }
}
