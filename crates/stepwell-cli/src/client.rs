//! Asks a running server, and says in plain words why it did not answer.

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;
use stepwell_protocol::signing::SigningKey;
use tokio::runtime::Runtime;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Characters that are shown of an answer that is not understood.
const SHOWN_MAX: usize = 300;

/// Which server, and with which key.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The server.
    #[arg(
        long,
        global = true,
        env = "STEPWELL_URL",
        default_value = "http://127.0.0.1:8288",
        value_name = "URL",
        help_heading = "Server"
    )]
    url: String,
    /// The server's signing key, if it has one.
    #[arg(
        long,
        global = true,
        env = "STEPWELL_SIGNING_KEY",
        value_name = "KEY",
        hide_env_values = true,
        help_heading = "Server"
    )]
    signing_key: Option<String>,
    /// Send keys also over plain HTTP to another machine, where whoever is in between can read them.
    #[arg(
        long,
        global = true,
        env = "STEPWELL_INSECURE",
        help_heading = "Server"
    )]
    insecure: bool,
}

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    tokio: Runtime,
    http: reqwest::Client,
    base: Url,
    bearer: Option<String>,
    insecure: bool,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Target {
    /// A client, which has not asked anything yet.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let text = if self.url.contains("://") {
            self.url.clone()
        } else {
            format!("http://{}", self.url)
        };
        let base = Url::parse(&text).with_context(|| format!("--url: '{text}' is not a URL"))?;
        if !matches!(base.scheme(), "http" | "https") {
            bail!("--url: '{text}' is not a URL of a server; it begins with http:// or https://");
        }
        let tls = rustls::crypto::ring::default_provider();
        // Another part of the program may have chosen a provider already; that one is as good.
        drop(tls.install_default());
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if is_this_machine(&base) {
            http = http.no_proxy();
        }
        let key = self.signing_key.as_deref().map(str::trim);
        Ok(Client {
            tokio: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the async runtime")?,
            http: http.build().context("cannot set up the HTTP client")?,
            base,
            // The key itself stays here.
            bearer: key
                .filter(|key| !key.is_empty())
                .map(|key| SigningKey::new(key).hashed()),
            insecure: self.insecure,
        })
    }
}

impl Client {
    /// Where the server is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// `GET` of a path with a query; the answer's body.
    pub(crate) fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.good(Method::GET, path, query, None)
    }

    /// `POST` of a body; the answer's.
    pub(crate) fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.good(Method::POST, path, &[], Some(body.to_string()))
    }

    fn good(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<String>,
    ) -> anyhow::Result<Value> {
        let answer = self.ask(method, path, query, body, true)?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(self.refused(&answer))
    }

    /// Whatever the server answers. `locked` says that the request wants the signing key.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<String>,
        locked: bool,
    ) -> anyhow::Result<Answer> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("--url: '{}' is not a URL of a server", self.base))?
            .pop_if_empty()
            .extend(path);
        url.query_pairs_mut().extend_pairs(query);
        if query.is_empty() {
            url.set_query(None);
        }
        let mut request = self.http.request(method, url);
        if let Some(bearer) = self.bearer.as_ref().filter(|_| locked) {
            self.check_channel()?;
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        self.tokio.block_on(async {
            let response = request.send().await;
            let mut response = response.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            let mut bytes = Vec::new();
            loop {
                let chunk = response.chunk().await;
                match chunk.map_err(|error| self.unreachable(&error))? {
                    Some(chunk) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                        bail!("the server's answer has more than {ANSWER_BYTES_MAX} bytes")
                    }
                    Some(chunk) => bytes.extend_from_slice(&chunk),
                    None => break,
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let body =
                serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(text.into_owned()));
            Ok(Answer { status, body })
        })
    }

    /// Refuses to send a key where others can read it.
    pub(crate) fn check_channel(&self) -> anyhow::Result<()> {
        if self.base.scheme() == "https" || is_this_machine(&self.base) || self.insecure {
            return Ok(());
        }
        bail!(
            "keys are not sent over plain HTTP to another machine ({}); use its https:// address, or --insecure where the \
             network is yours",
            self.base
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let base = self.base.as_str().trim_end_matches('/');
        if error.is_timeout() && !error.is_connect() {
            return anyhow!(
                "the server at {base} did not answer within {} s",
                PATIENCE.as_secs()
            );
        }
        if error.is_connect() {
            return anyhow!(
                "no server answers at {base}; start one with `stepwell dev`, or say where it is with --url or STEPWELL_URL"
            );
        }
        let mut source: &dyn std::error::Error = error;
        while let Some(inner) = source.source() {
            source = inner;
        }
        anyhow!("what answers at {base} is not a server of Stepwell: {source}")
    }

    /// What a refusal means.
    pub(crate) fn refused(&self, answer: &Answer) -> anyhow::Error {
        let status = answer.status.as_u16();
        if status == 401 {
            return if self.bearer.is_some() {
                anyhow!("the server refuses the signing key; give the one that it was started with")
            } else {
                anyhow!(
                    "the server wants its signing key: give it with --signing-key or STEPWELL_SIGNING_KEY"
                )
            };
        }
        // Both APIs' envelopes of errors.
        let body = &answer.body;
        let message = body["errors"][0]["message"]
            .as_str()
            .or_else(|| body["error"].as_str());
        match message {
            Some(message) => anyhow!("{message}"),
            None => {
                let text = match body {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let shown: String = text.chars().take(SHOWN_MAX).collect();
                anyhow!("the server answered HTTP {status}: {shown}")
            }
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
