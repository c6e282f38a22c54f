//! The web API's client, for the commands.

use bytes::BytesMut;
use futures::stream::{BoxStream, StreamExt};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use studio233_setup::{Failure, chain};
use url::Url;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const HEALTH_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Without a sign of life for this long, a stream is broken; the API sends one every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A larger event is not read: a run's record with its outputs.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A studio's web API.
#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    http: reqwest::Client,
    base: Url,
}

/// One of a run's events.
#[derive(Debug, Clone)]
pub(crate) struct RunEvent {
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl ApiClient {
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let base = Url::parse(url).ok();
        let base = base.filter(|base| matches!(base.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| {
            Failure::new("bad_url", format!("'{url}' is no studio's URL"))
                .hint("give its origin: http://127.0.0.1:8233")
        })?;
        // Fails when a provider is chosen already, which is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .no_proxy()
            .build()
            .map_err(|error| Failure::of("client", &error))?;
        Ok(Self { http, base })
    }

    /// Whether a studio answers, and as which process.
    pub(crate) async fn health(&self) -> Option<u32> {
        let request = self.request(Method::GET, &["health"]).timeout(HEALTH_MAX);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        if answer["service"] != "studio233" {
            return None;
        }
        answer["pid"].as_u64().and_then(|pid| pid.try_into().ok())
    }

    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let mut url = self.url(path);
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let request = self.http.get(url);
        self.answer(request.timeout(ANSWER_MAX)).await
    }

    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).json(body);
        self.answer(request.timeout(ANSWER_MAX)).await
    }

    pub(crate) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::PUT, path).json(body);
        self.answer(request.timeout(ANSWER_MAX)).await
    }

    pub(crate) async fn delete(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.answer(self.http.delete(url).timeout(ANSWER_MAX)).await
    }

    /// Uploads a PDF, piece by piece.
    pub(crate) async fn upload(&self, name: &str, file: &Path) -> Result<Value, Failure> {
        let unreadable = |error: std::io::Error| unreadable(file, &error);
        let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
        let size = opened.metadata().await.map_err(unreadable)?.len();
        let pieces = futures::stream::try_unfold(opened, |mut file| async move {
            use tokio::io::AsyncReadExt;
            let mut piece = BytesMut::with_capacity(64 * 1024);
            let read = file.read_buf(&mut piece).await?;
            Ok::<_, std::io::Error>((read > 0).then(|| (piece.freeze(), file)))
        });
        let request = self
            .request(Method::PUT, &["api", "files", name])
            .header("content-type", "application/pdf")
            .header("content-length", size)
            .body(reqwest::Body::wrap_stream(pieces));
        self.answer(request.timeout(ANSWER_MAX)).await
    }

    /// What happens to a run, from its beginning to its end.
    pub(crate) async fn watch(
        &self,
        run: &str,
    ) -> Result<BoxStream<'static, Result<RunEvent, Failure>>, Failure> {
        let request = self.request(Method::GET, &["api", "runs", run, "stream"]);
        let response = self.send(request).await?;
        let pieces = response.bytes_stream().boxed();
        let events = futures::stream::try_unfold(
            (pieces, BytesMut::new()),
            |(mut pieces, mut buffer)| async {
                loop {
                    if let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                        let text = buffer.split_to(end + 2);
                        match parse_event(&text) {
                            Some(event) => return Ok(Some((event, (pieces, buffer)))),
                            None => continue,
                        }
                    }
                    let piece = tokio::time::timeout(SILENCE_MAX, pieces.next()).await;
                    match piece {
                        Ok(Some(Ok(piece))) if buffer.len() + piece.len() <= EVENT_BYTES_MAX => {
                            buffer.extend_from_slice(&piece);
                        }
                        Ok(Some(Ok(_))) => return Err(lost("an event is too large".to_owned())),
                        Ok(Some(Err(error))) => return Err(lost(chain(&error))),
                        Ok(None) => return Ok(None),
                        Err(_) => return Err(lost("it fell silent".to_owned())),
                    }
                }
            },
        );
        Ok(events.boxed())
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        response.json().await.map_err(|error| lost(chain(&error)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| {
            Failure::new(
                "unreachable",
                format!(
                    "no answer from the studio at {}: {}",
                    self.base,
                    chain(&error)
                ),
            )
            .hint("check that it runs, or leave --url out to use one of your own")
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let told = serde_json::from_value::<Failure>(body["error"].clone());
        Err(told.unwrap_or_else(|_| {
            Failure::new("not_understood", format!("{} answered {status}", self.base))
                .hint("check that a studio of this version runs there")
        }))
    }
}

fn lost(why: String) -> Failure {
    Failure::new(
        "unreachable",
        format!("the connection to the studio was lost: {why}"),
    )
    .hint("run the same command again: it goes on with the same run")
}

pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "no_such_file",
        _ => "unreadable_file",
    };
    Failure::new(code, format!("cannot read {}: {error}", file.display()))
        .hint("check the path of the file")
}

/// One event of the stream; nothing for a sign of life.
fn parse_event(text: &[u8]) -> Option<RunEvent> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim_start)
    };
    Some(RunEvent {
        kind: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_signs_of_life() {
        let event = parse_event(b"event: step\ndata: {\"name\":\"a\"}\n\n").unwrap();
        assert_eq!(
            (event.kind.as_str(), &event.data["name"]),
            ("step", &"a".into())
        );
        assert!(parse_event(b":\n\n").is_none());
    }
}
