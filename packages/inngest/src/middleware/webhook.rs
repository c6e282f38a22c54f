//! Failures as JSON to any HTTP service.

use super::courier::{
    Courier, Deliveries, Delivery, Letter, Patience, Service, http_client, judged,
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use stepwell::middleware::{ErrorReport, Reporter};
use url::Url;

/// Where reports are posted.
#[derive(Clone)]
pub struct WebhookSettings {
    url: Url,
    headers: HeaderMap,
    patience: Patience,
}

/// Why there is no web hook to be had. Messages hold nothing of what was given, which may be secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// The address is not one.
    #[error(
        "the web hook's address is not an http(s) URL; write it like https://example.com/errors"
    )]
    Url,
    /// The header cannot be sent.
    #[error("the web hook's header {name:?} cannot be sent; use visible ASCII characters")]
    Header {
        /// Its name.
        name: String,
    },
    /// No request can be made.
    #[error("cannot set up requests to the web hook")]
    Client(#[source] reqwest::Error),
}

impl WebhookSettings {
    /// Posts to a URL. It is the operator's, so it may be anywhere, also in a private network.
    ///
    /// # Errors
    /// [`InvalidWebhook::Url`].
    pub fn new(url: &str) -> Result<Self, InvalidWebhook> {
        let url = Url::parse(url).map_err(|_| InvalidWebhook::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidWebhook::Url);
        }
        Ok(Self {
            url,
            headers: HeaderMap::new(),
            patience: Patience::default(),
        })
    }

    /// Sends a header along, e.g. `Authorization` with a secret that the service knows us by.
    ///
    /// # Errors
    /// [`InvalidWebhook::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidWebhook> {
        let invalid = || InvalidWebhook::Header {
            name: name.to_owned(),
        };
        let header = name.parse::<HeaderName>().map_err(|_| invalid())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    #[cfg(test)]
    pub(super) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

/// The address without what may be secret: services know some web hooks by their path alone.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebhookSettings")
            .field("origin", &self.url.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

/// Posts failures as JSON. Clones share the queue and the counts: keep one, to [`close`](Self::close) it in the end.
///
/// ```no_run
/// use std::time::Duration;
/// use studio233_inngest::middleware::{LogReporter, Reporters, WebhookReporter, WebhookSettings};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = WebhookSettings::new("https://alerts.example.com/studio")?;
/// let webhook = WebhookReporter::start(settings.header("Authorization", "Bearer secret")?)?;
/// let reporters = Reporters::default().and(LogReporter).and(webhook.clone());
/// // … functions::app(client, &deps, reporters), until the program ends:
/// let deliveries = webhook.close(Duration::from_secs(5)).await;
/// # let _ = (reporters, deliveries);
/// # Ok(())
/// # }
/// ```
///
/// A body is `{"id", "at", "function", "run", "event", "step", "attempt", "final", "error": {"name", "message", "stack"?,
/// "cause"?}}`; `id` is the same when a report is posted again. What is answered with 2xx is delivered; after 408, 425, 429,
/// 5xx or nothing within 10 s it is posted again, four times at most, at growing distances or when `Retry-After` says.
#[derive(Debug, Clone)]
pub struct WebhookReporter {
    courier: Courier,
}

impl WebhookReporter {
    /// Starts a task that posts, on the current tokio runtime.
    ///
    /// # Errors
    /// [`InvalidWebhook::Client`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(settings: WebhookSettings) -> Result<Self, InvalidWebhook> {
        let http = http_client().map_err(InvalidWebhook::Client)?;
        let patience = settings.patience;
        let webhook = Webhook {
            name: format!("web hook {}", settings.url.origin().ascii_serialization()),
            settings,
            http,
        };
        Ok(Self {
            courier: Courier::start(webhook, patience),
        })
    }

    /// How many reports went which way so far.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        self.courier.deliveries()
    }

    /// Takes no more reports, and delivers what waits within `limit`.
    pub async fn close(&self, limit: Duration) -> Deliveries {
        self.courier.close(limit).await
    }
}

impl Reporter for WebhookReporter {
    fn report(&self, report: ErrorReport) {
        self.courier.post(report);
    }
}

struct Webhook {
    name: String,
    settings: WebhookSettings,
    http: reqwest::Client,
}

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    at: String,
    function: &'a str,
    run: String,
    event: &'a str,
    step: Option<&'a str>,
    attempt: u32,
    #[serde(rename = "final")]
    is_final: bool,
    error: BodyError<'a>,
}

#[derive(Serialize)]
struct BodyError<'a> {
    name: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Value>,
}

impl<'a> Body<'a> {
    fn of(letter: &'a Letter) -> Self {
        let report = &letter.report;
        Self {
            id: letter.id.to_string(),
            at: letter.at.to_string(),
            function: &report.function_id,
            run: report.run_id.to_string(),
            event: &report.event_name,
            step: report.step.as_deref(),
            attempt: report.attempt,
            is_final: report.is_final,
            error: BodyError {
                name: &report.error.name,
                message: &report.error.message,
                stack: report.error.stack.as_deref(),
                cause: report.error.cause.as_ref(),
            },
        }
    }
}

impl Service for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&mut self, letter: &Letter) -> Delivery {
        let body = match serde_json::to_vec(&Body::of(letter)) {
            Ok(body) => body,
            Err(error) => {
                return Delivery::Refused {
                    why: format!("it cannot be written as JSON: {error}"),
                };
            }
        };
        let request = self.http.post(self.settings.url.clone());
        let request = request
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        judged(request.send().await)
    }
}

#[cfg(test)]
mod tests;
