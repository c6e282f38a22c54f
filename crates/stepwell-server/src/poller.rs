//! The poller: asks development apps to register, again and again, so that a changed app is known in seconds.

use reqwest::header::HeaderValue;
use std::collections::HashMap;
use std::time::Duration;
use stepwell_protocol::headers;
use stepwell_protocol::signing::SigningKey;

/// How apps are asked.
#[derive(Debug, Clone)]
pub struct PollerOptions {
    /// Where the apps are.
    pub urls: Vec<String>,
    /// Time between two questions.
    pub every: Duration,
    /// Ask once only.
    pub once: bool,
    /// How the server presents itself.
    pub kind: crate::ServerKind,
    /// Signs the questions, if there is one.
    pub signing_key: Option<SigningKey>,
}

/// Asks apps to register.
#[derive(Debug)]
pub struct Poller {
    client: reqwest::Client,
    options: PollerOptions,
    /// What each app said last, to log only what changes.
    said: HashMap<String, Result<(), String>>,
}

/// How long an app may take to register.
const PATIENCE: Duration = Duration::from_secs(10);

impl Poller {
    /// A poller with these options.
    ///
    /// # Errors
    /// The client's error when it cannot be set up.
    pub fn new(options: PollerOptions) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: client()?,
            options,
            said: HashMap::new(),
        })
    }

    /// Asks until dropped, or once.
    pub async fn run(mut self) {
        loop {
            for url in self.options.urls.clone() {
                let key = self.options.signing_key.as_ref();
                let said = ask(&self.client, self.options.kind, key, &url).await;
                if self.said.get(&url) != Some(&said) {
                    match &said {
                        Ok(()) => tracing::info!(url, "app is reachable"),
                        Err(reason) => {
                            tracing::warn!(url, reason, "app did not register; it is asked again")
                        }
                    }
                    self.said.insert(url, said);
                }
            }
            let all_well = self.said.values().all(Result::is_ok);
            if self.options.once && all_well {
                return;
            }
            tokio::time::sleep(self.options.every).await;
        }
    }
}

/// What apps are asked with.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().timeout(PATIENCE).build()
}

/// Asks the app at a URL to register; what is wrong if it does not.
pub(crate) async fn ask(
    client: &reqwest::Client,
    kind: crate::ServerKind,
    signing_key: Option<&SigningKey>,
    url: &str,
) -> Result<(), String> {
    let body = serde_json::json!({"url": url}).to_string();
    let mut request = client
        .put(url)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .header(
            headers::SERVER_KIND,
            HeaderValue::from_static(kind.as_str()),
        );
    if let Some(key) = signing_key {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        request = request.header(
            headers::SIGNATURE,
            key.sign(body.as_bytes(), since.as_secs()),
        );
    }
    let response = request.body(body).send().await.map_err(|error| {
        if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            "nothing answers there".to_owned()
        }
    })?;
    let status = response.status();
    if !response.headers().contains_key(headers::SDK) {
        return Err(format!(
            "what answers there is not an SDK (HTTP {})",
            status.as_u16()
        ));
    }
    if status.is_success() {
        return Ok(());
    }
    let text = response.text().await.unwrap_or_default();
    Err(format!(
        "the SDK answered HTTP {}: {}",
        status.as_u16(),
        text.chars().take(500).collect::<String>()
    ))
}
