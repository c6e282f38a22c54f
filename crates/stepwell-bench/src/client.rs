//! What the bench asks of the server, over connections that it keeps.

use crate::app::App;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    authority: String,
    event_path: String,
}

impl Target {
    pub(crate) fn new(url: &str, event_key: &str) -> anyhow::Result<Self> {
        let url = url::Url::parse(url).context("the server's URL is none")?;
        if url.scheme() != "http" {
            bail!("the bench speaks http only; put a TLS proxy in front if need be");
        }
        let host = url.host_str().context("the server's URL has no host")?;
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self {
            authority: format!("{host}:{port}"),
            event_path: format!("/e/{event_key}"),
        })
    }

    /// The URL of a WebSocket.
    pub(crate) fn websocket(&self, path: &str) -> String {
        format!("ws://{}{path}", self.authority)
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The next request on it says what went wrong.
            connection.await.unwrap_or_default();
        });
        Ok(Connection {
            sender,
            target: self.clone(),
        })
    }

    pub(crate) async fn register(&self, app: &App) -> anyhow::Result<()> {
        let functions: Vec<Value> = crate::app::FUNCTIONS
            .iter()
            .map(|(name, event)| {
                let id = format!("bench-{name}");
                let url = format!("{}?fnId={id}&stepId=step", app.url);
                json!({
                    "id": id, "name": name, "triggers": [{"event": event}],
                    "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": url}}},
                })
            })
            .collect();
        let body = json!({
            "url": app.url, "deployType": "ping", "framework": "bench", "appName": "bench",
            "sdk": "rust:v0.1.0", "v": "0.1", "functions": functions,
        });
        let mut connection = self.connect().await?;
        connection
            .request(Method::POST, "/fn/register", body.to_string().into())
            .await
            .map(|_| ())
    }
}

/// One connection to the server.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: Target,
}

impl Connection {
    /// Sends events; returns their ids.
    pub(crate) async fn send(&mut self, body: Bytes) -> anyhow::Result<Vec<String>> {
        let path = self.target.event_path.clone();
        let answer = self.request(Method::POST, &path, body).await?;
        let answer: stepwell_protocol::event::SendAnswer = serde_json::from_slice(&answer)?;
        Ok(answer.ids)
    }

    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.target.authority)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!(
                "{path} answered {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(body)
    }
}
