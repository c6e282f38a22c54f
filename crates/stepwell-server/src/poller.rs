//! The poller: asks apps to register, again and again, so that a changed app is known in seconds.

use crate::apps::Apps;
use crate::finder::Finder;
use crate::routes::register;
use futures::future::join_all;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_protocol::headers;
use stepwell_protocol::register::{Registration, normalize_url};
use stepwell_protocol::signing::{self, SigningKey};
use stepwell_runtime::Handle;

/// How long an app may take to register.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer of an app that is read: its functions, when it registers by the answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters that are shown of an answer.
const SHOWN_MAX: usize = 500;
/// Why an app does not take the place of another.
pub(crate) const ANOTHER_APP: &str = "what answers at this URL is another app";
/// How an app registers by its answer, and by a request of its own.
const IN_BAND: &str = "in_band";
const OUT_OF_BAND: &str = "out_of_band";

/// Which apps are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// All that are known.
    All,
    /// Those that have not registered, or fail.
    Failing,
}

/// How apps are asked.
#[derive(Debug, Clone)]
pub struct PollerOptions {
    /// Where apps are, beside those that register by themselves.
    pub urls: Vec<String>,
    /// Time between two questions.
    pub every: Duration,
    /// Which apps are asked again.
    pub polling: Polling,
    /// Look for apps on this machine until one has registered. The port is the server's own, where it does not look.
    pub find: Option<u16>,
    /// Ports beside the usual ones.
    pub ports: Vec<u16>,
    /// How the server presents itself.
    pub kind: crate::ServerKind,
    /// Signs the questions, if there is one.
    pub signing_key: Option<SigningKey>,
    /// Signs a question that an app refused.
    pub signing_key_fallback: Option<SigningKey>,
    /// What is known of apps.
    pub apps: Apps,
}

/// Asks apps to register.
#[derive(Debug)]
pub struct Poller {
    client: reqwest::Client,
    handle: Handle,
    options: PollerOptions,
    finder: Option<Finder>,
    /// Asked for, or found.
    urls: BTreeSet<String>,
    /// Those that were asked before.
    asked: BTreeSet<String>,
}

impl Poller {
    /// A poller with these options.
    ///
    /// # Errors
    /// The client's error when it cannot be set up.
    pub fn new(handle: Handle, options: PollerOptions) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let finder = match options.find {
            Some(own_port) => Some(Finder::new(own_port, &options.ports)?),
            None => None,
        };
        let urls = options.urls.iter().map(|url| with_scheme(url)).collect();
        Ok(Self {
            client,
            handle,
            options,
            finder,
            urls,
            asked: BTreeSet::new(),
        })
    }

    /// Asks until dropped.
    pub async fn run(mut self) {
        if self.options.polling == Polling::All {
            self.recall().await;
        }
        loop {
            if self.options.apps.any_registered() {
                self.finder = None;
            }
            if let Some(finder) = &mut self.finder {
                self.urls.extend(finder.sweep().await);
            }
            let urls = self.due();
            join_all(urls.iter().map(|url| self.ask(url))).await;
            self.asked.extend(urls);
            tokio::time::sleep(self.options.every).await;
        }
    }

    /// The apps that registered before the server was started again.
    async fn recall(&mut self) {
        match self.handle.read(|reader| reader.apps()).await {
            Ok(apps) => {
                let urls = apps.into_iter().map(|app| app.url);
                self.urls.extend(urls.filter(|url| is_http(url)));
            }
            Err(error) => tracing::warn!(%error, "the apps of before are not asked"),
        }
    }

    /// The apps to ask now.
    fn due(&self) -> Vec<String> {
        let known = self.options.apps.list();
        let mut urls = self.urls.clone();
        let known_urls = known.iter().map(|(url, _)| url);
        urls.extend(known_urls.filter(|url| is_http(url)).cloned());
        let fine = |url: &String| {
            let url = normalize_url(url).unwrap_or_else(|| url.clone());
            known
                .iter()
                .any(|(known, app)| *known == url && app.name.is_some() && app.error.is_none())
        };
        // One machine has several names.
        let mut seen = BTreeSet::new();
        urls.into_iter()
            .filter(|url| seen.insert(normalize_url(url)))
            .filter(|url| !self.options.apps.is_removed(url))
            .filter(|url| self.options.polling == Polling::All || !fine(url))
            .collect()
    }

    /// Asks an app to register, once: a URL under which none then is registered is not kept, and so not asked again.
    /// `named`: an answer that would register another app is refused.
    pub(crate) async fn ask_once(&self, url: &str, named: Option<&str>) -> Result<(), String> {
        let apps = &self.options.apps;
        let is_new = !apps.knows(url);
        apps.asked(url);
        let registered = self.register(url, named).await;
        if is_new {
            apps.forget(url);
        }
        registered
    }

    async fn ask(&self, url: &str) {
        self.options.apps.asked(url);
        match self.register(url, None).await {
            Ok(()) => {
                if self.options.apps.recovered(url) || !self.asked.contains(url) {
                    tracing::info!(url, "app is reachable");
                }
            }
            Err(reason) => {
                if self.options.apps.failed(url, &reason) {
                    tracing::warn!(url, reason, "app did not register; it is asked again");
                }
            }
        }
    }

    async fn register(&self, url: &str, named: Option<&str>) -> Result<(), String> {
        let mut answer = self.put(url, self.options.signing_key.as_ref()).await?;
        if matches!(answer.status, 401 | 403)
            && let Some(fallback) = &self.options.signing_key_fallback
        {
            answer = self.put(url, Some(fallback)).await?;
        }
        let known = self.options.apps.get(url);
        // An SDK that cannot verify this server does not say what it is.
        if !answer.is_sdk && !known.answered && !known.refused {
            return Err(match answer.status {
                401 | 403 => format!(
                    "it refuses this server (HTTP {}); do app and server have the same signing key?",
                    answer.status
                ),
                status => format!("what answers there is not an SDK (HTTP {status})"),
            });
        }
        if !(200..300).contains(&answer.status) {
            return Err(self.explain(url, &answer).await);
        }
        if answer.sync_kind.as_deref() == Some(IN_BAND) {
            return self.take_in(url, &answer, named).await;
        }
        if known.name.is_none()
            && let Some(other) = self.other_mode(url).await
        {
            return Err(other);
        }
        Ok(())
    }

    async fn put(&self, url: &str, key: Option<&SigningKey>) -> Result<Answer, String> {
        let body = serde_json::json!({"url": url}).to_string();
        let mut request = self
            .client
            .put(url)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .header(
                headers::SERVER_KIND,
                HeaderValue::from_static(self.options.kind.as_str()),
            );
        if let Some(key) = key {
            // An app that can verify this server may register by its answer; it need not know where the server is.
            request = request
                .header(headers::SYNC_KIND, IN_BAND)
                .header(headers::SIGNATURE, key.sign(body.as_bytes(), now_s()));
        } else {
            request = request.header(headers::SYNC_KIND, OUT_OF_BAND);
        }
        let response = request.body(body).send().await;
        let mut response = response.map_err(|error| {
            let reason = if error.is_timeout() {
                "it did not answer in time"
            } else if error.is_builder() {
                "this is not a URL"
            } else {
                "nothing answers there"
            };
            reason.to_owned()
        })?;
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let mut answer = Answer {
            status: response.status().as_u16(),
            is_sdk: response.headers().contains_key(headers::SDK),
            sync_kind: header(headers::SYNC_KIND),
            signature: header(headers::SIGNATURE),
            body: Vec::new(),
        };
        while let Ok(Some(chunk)) = response.chunk().await {
            if answer.body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Registers an app by its answer.
    async fn take_in(&self, url: &str, answer: &Answer, named: Option<&str>) -> Result<(), String> {
        // Without one, whoever answers there could take any app over.
        let is_signed =
            self.options.kind == crate::ServerKind::Cloud && self.options.signing_key.is_some();
        if is_signed || answer.signature.is_some() {
            let keys = [
                self.options.signing_key.as_ref(),
                self.options.signing_key_fallback.as_ref(),
            ];
            let keys = keys.into_iter().flatten();
            signing::verify(keys, answer.signature.as_deref(), &answer.body, now_s())
                .map_err(|error| format!("its answer is not to be trusted: {error}"))?;
        }
        let found: InBand = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("its answer is not a registration: {error}"))?;
        if named.is_some_and(|named| found.app_id != named) {
            return Err(ANOTHER_APP.to_owned());
        }
        let registration = serde_json::json!({
            "url": if found.url.is_empty() { url } else { &found.url },
            "deployType": "ping",
            "framework": found.framework.unwrap_or_default(),
            "appName": found.app_id,
            "appVersion": found.app_version,
            "sdk": found.sdk,
            "v": "0.1",
            "capabilities": found.capabilities,
            "functions": found.functions,
        });
        let registration = Registration::parse(registration.to_string().as_bytes())
            .map_err(|error| format!("its answer is not a registration: {error}"))?;
        register::take_in(&self.handle, &self.options.apps, &registration)
            .await
            .map(|_| ())
            .map_err(|error| {
                let details = error.details.join("; ");
                if details.is_empty() {
                    error.message
                } else {
                    format!("{}: {details}", error.message)
                }
            })
    }

    /// What an SDK's refusal means.
    async fn explain(&self, url: &str, answer: &Answer) -> String {
        let text = String::from_utf8_lossy(&answer.body);
        let message = serde_json::from_slice::<Refusal>(&answer.body).ok();
        let message = message.and_then(|refusal| refusal.message);
        let shown: String = message
            .as_deref()
            .unwrap_or(&text)
            .chars()
            .take(SHOWN_MAX)
            .collect();
        let mut reason = format!("the SDK answered HTTP {}: {shown}", answer.status);
        if let Some(other) = self.other_mode(url).await {
            reason.push_str("; ");
            reason.push_str(&other);
        } else if matches!(answer.status, 401 | 403) {
            reason.push_str("; do app and server have the same signing key?");
        }
        reason
    }

    /// Why an app does not register with a server of this kind, if that is why.
    async fn other_mode(&self, url: &str) -> Option<String> {
        let answer = self.client.get(url).send().await.ok()?;
        let mode = answer.json::<Introspection>().await.ok()?.mode;
        match (self.options.kind, mode.as_str()) {
            (crate::ServerKind::Dev, "cloud") => Some(
                "it runs in production mode and does not register here; start it with INNGEST_DEV=1"
                    .to_owned(),
            ),
            (crate::ServerKind::Cloud, "dev") => Some(
                "it runs in development mode and does not register here; start it without INNGEST_DEV, with INNGEST_SIGNING_KEY"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// What an app answered.
struct Answer {
    status: u16,
    is_sdk: bool,
    sync_kind: Option<String>,
    signature: Option<String>,
    body: Vec<u8>,
}

/// An app's registration in its answer.
#[derive(Deserialize)]
struct InBand {
    app_id: String,
    #[serde(default, rename = "appVersion")]
    app_version: Option<String>,
    #[serde(default)]
    capabilities: serde_json::Value,
    #[serde(default)]
    framework: Option<String>,
    functions: Vec<serde_json::Value>,
    #[serde(default)]
    sdk: String,
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Introspection {
    mode: String,
}

/// Whether an app can be asked: one that connects has another URL, and a durable endpoint's a domain in its place.
fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
