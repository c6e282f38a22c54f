//! Many subscribers of one realtime topic.

use super::{Measured, percentile};
use crate::client::Target;
use crate::memory;
use anyhow::{Context, bail};
use futures::StreamExt;
use hyper::Method;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const CHANNEL: &str = "bench";
const TOPIC: &str = "ticks";
/// Subscribers that connect at the same time.
const CONNECTING: usize = 32;
/// Messages, one after another: each goes to everyone.
const MESSAGES: usize = 20;

/// Connects subscribers, publishes to all of them, and weighs them.
pub(super) async fn subscribers(
    target: &Target,
    pid: Option<u32>,
    subscribers: usize,
) -> anyhow::Result<Measured> {
    let before = pid.map(memory::of).transpose()?;
    let mut connection = target.connect().await?;
    let topics = json!([{"channel": CHANNEL, "name": TOPIC}]).to_string();
    let token = connection
        .request(Method::POST, "/v1/realtime/token", topics.into())
        .await?;
    let token: Value = serde_json::from_slice(&token)?;
    let token = token["jwt"].as_str().context("no token was given")?;
    let url = target.websocket(&format!("/v1/realtime/connect?token={token}"));

    let begun = Instant::now();
    let connecting = (0..subscribers).map(|_| connect_async(url.as_str()));
    let mut connecting = futures::stream::iter(connecting).buffer_unordered(CONNECTING);
    let (heard, mut news) = mpsc::unbounded_channel();
    let mut tasks = Vec::with_capacity(subscribers);
    while let Some(connected) = connecting.next().await {
        let (socket, _) = connected.context("a subscriber was not let in")?;
        tasks.push(tokio::spawn(listen(socket, heard.clone())));
    }
    let connected = begun.elapsed().as_secs_f64();
    let mut measured = vec![("connected", subscribers as f64 / connected, "subscribers/s")];
    if let (Some(pid), Some(before)) = (pid, before) {
        let more = memory::of(pid)?.now.saturating_sub(before.now);
        let each = more as f64 / subscribers as f64 / 1_024.0;
        measured.push(("memory of a subscriber", each, "KiB"));
    }

    let path = format!("/v1/realtime/publish?channel={CHANNEL}&topic={TOPIC}");
    let (mut took, mut last, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..MESSAGES {
        let sent = Instant::now();
        let body = json!({"number": number, "text": "what a progress bar says"});
        connection
            .request(Method::POST, &path, body.to_string().into())
            .await?;
        answered.push(sent.elapsed());
        for _ in 0..subscribers {
            let at: Instant = news.recv().await.context("the subscribers are gone")?;
            took.push(at.duration_since(sent));
        }
        last.push(sent.elapsed());
    }
    if let Some(lost) = tasks.iter().position(tokio::task::JoinHandle::is_finished) {
        bail!("subscriber {lost} lost its connection");
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let all = last
        .iter()
        .map(std::time::Duration::as_secs_f64)
        .sum::<f64>();
    measured.extend([
        (
            "deliveries",
            (MESSAGES * subscribers) as f64 / all,
            "messages/s",
        ),
        (
            "publishing answered p50",
            percentile(&mut answered, 50),
            "ms",
        ),
        (
            "message to a subscriber p50",
            percentile(&mut took, 50),
            "ms",
        ),
        (
            "message to a subscriber p99",
            percentile(&mut took, 99),
            "ms",
        ),
        ("message to the last p50", percentile(&mut last, 50), "ms"),
    ]);
    Ok(measured)
}

/// Tells when each message comes, until the connection ends.
async fn listen(
    mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: mpsc::UnboundedSender<Instant>,
) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && text.contains("\"data\"")
            && heard.send(Instant::now()).is_err()
        {
            return;
        }
    }
}
