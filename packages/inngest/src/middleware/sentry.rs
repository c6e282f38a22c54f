//! Failures to Sentry, or whatever takes its envelopes.
//!
//! Sources: the parts of a DSN, the authentication header, envelopes, event payloads and rate limits as
//! <https://develop.sentry.dev/sdk/foundations/transport/> has them.

use super::courier::{
    Courier, Deliveries, Delivery, Letter, Patience, Service, USER_AGENT, http_client, judged,
    retry_after,
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use stepwell::middleware::{ErrorReport, Reporter};
use tokio::time::Instant;
use url::Url;

/// How long nothing is sent after a 429 that does not say.
const LIMITED_FOR: Duration = Duration::from_secs(60);

/// No limit is kept longer: a wrong answer must not silence the program for good.
const LIMITED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Errors that led to an error, of which so many are told.
const CAUSES_MAX: usize = 10;

/// Where events go, and the key to it: `https://<public key>@<host>/<project>`.
#[derive(Clone)]
pub struct Dsn {
    endpoint: Url,
    project: String,
    public_key: String,
    secret_key: Option<String>,
}

/// Why a text is no DSN. Nothing of it is told, for it holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Sentry DSN is not valid: {problem}; copy it from the project's settings, under client keys"
)]
pub struct InvalidDsn {
    problem: &'static str,
}

impl FromStr for Dsn {
    type Err = InvalidDsn;

    fn from_str(text: &str) -> Result<Self, InvalidDsn> {
        let invalid = |problem| InvalidDsn { problem };
        let mut url = Url::parse(text).map_err(|_| invalid("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("it is not an http(s) URL"));
        }
        let is_key = |key: &str| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let public_key = url.username().to_owned();
        if !is_key(&public_key) {
            return Err(invalid("it has no public key before the @"));
        }
        let secret_key = url.password().map(str::to_owned);
        if secret_key.as_deref().is_some_and(|key| !is_key(key)) {
            return Err(invalid(
                "its secret key has characters that keys do not have",
            ));
        }
        let path = url.path().trim_end_matches('/');
        let (before, project) = path.rsplit_once('/').unwrap_or(("", path));
        if !is_key(project) {
            return Err(invalid("it does not end with a project's id"));
        }
        let (endpoint, project) = (
            format!("{before}/api/{project}/envelope/"),
            project.to_owned(),
        );
        url.set_path(&endpoint);
        url.set_query(None);
        url.set_fragment(None);
        // These fail only for URLs that cannot have any.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self {
            endpoint: url,
            project,
            public_key,
            secret_key,
        })
    }
}

/// Host and project; the keys are secret.
impl fmt::Debug for Dsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.endpoint.origin().ascii_serialization();
        write!(formatter, "Dsn({origin}, project {})", self.project)
    }
}

/// Where reports are sent, and what they say of the program.
#[derive(Debug, Clone)]
pub struct SentrySettings {
    dsn: Dsn,
    server_name: Option<String>,
    release: Option<String>,
    environment: Option<String>,
    patience: Patience,
}

impl SentrySettings {
    /// Reports to this project.
    #[must_use]
    pub fn new(dsn: Dsn) -> Self {
        Self {
            dsn,
            server_name: None,
            release: None,
            environment: None,
            patience: Patience::default(),
        }
    }

    /// The machine's name.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The program's version, e.g. `studio233@1.4.0`.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// Where it runs, e.g. `production`.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    #[cfg(test)]
    pub(super) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

/// Reports failures to Sentry: an event each, with the error and its causes, and the tags `function`, `run`, `app`,
/// `event` and `step`. Clones share the queue and the counts: keep one, to [`close`](Self::close) it in the end.
///
/// ```no_run
/// use studio233_inngest::middleware::{Dsn, SentryReporter, SentrySettings};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let dsn: Dsn = "https://public@o1.ingest.sentry.io/42".parse()?;
/// let sentry = SentryReporter::start(SentrySettings::new(dsn).environment("production"))?;
/// # let _ = sentry;
/// # Ok(())
/// # }
/// ```
///
/// While the service limits the rate (`X-Sentry-Rate-Limits`, or 429 with `Retry-After`), reports are dropped, as it asks
/// for. What is not answered, or with 5xx, is sent again under the same id, four times at most.
#[derive(Debug, Clone)]
pub struct SentryReporter {
    courier: Courier,
}

/// No request can be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up requests to Sentry")]
pub struct SentryUnavailable(#[source] reqwest::Error);

impl SentryReporter {
    /// Starts a task that sends, on the current tokio runtime.
    ///
    /// # Errors
    /// [`SentryUnavailable`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(settings: SentrySettings) -> Result<Self, SentryUnavailable> {
        let http = http_client().map_err(SentryUnavailable)?;
        let patience = settings.patience;
        let sentry = Sentry {
            name: format!(
                "Sentry at {}",
                settings.dsn.endpoint.origin().ascii_serialization()
            ),
            settings,
            http,
            limited_until: None,
        };
        Ok(Self {
            courier: Courier::start(sentry, patience),
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

impl Reporter for SentryReporter {
    fn report(&self, report: ErrorReport) {
        self.courier.post(report);
    }
}

struct Sentry {
    name: String,
    settings: SentrySettings,
    http: reqwest::Client,
    limited_until: Option<Instant>,
}

impl Service for Sentry {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&mut self, letter: &Letter) -> Delivery {
        if self
            .limited_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Delivery::Refused {
                why: "it limits the rate".to_owned(),
            };
        }
        let dsn = &self.settings.dsn;
        let request = self.http.post(dsn.endpoint.clone());
        let request = request
            .header("X-Sentry-Auth", authentication(dsn))
            .header(CONTENT_TYPE, "application/x-sentry-envelope")
            .body(envelope(&self.settings, letter));
        let answer = request.send().await;
        let limit = answer.as_ref().ok().and_then(|answer| {
            let is_429 = answer.status().as_u16() == 429;
            rate_limit(answer.headers(), is_429)
        });
        let Some(limit) = limit else {
            return judged(answer);
        };
        self.limited_until = Some(Instant::now() + limit.min(LIMITED_MAX));
        match judged(answer) {
            // Sending again is what a limit asks not to do.
            Delivery::Again { why, .. } => Delivery::Refused { why },
            delivery => delivery,
        }
    }
}

fn authentication(dsn: &Dsn) -> HeaderValue {
    let secret = dsn.secret_key.as_ref();
    let secret = secret.map_or_else(String::new, |key| format!(", sentry_secret={key}"));
    let text = format!(
        "Sentry sentry_version=7, sentry_client={USER_AGENT}, sentry_key={}{secret}",
        dsn.public_key
    );
    let mut value =
        HeaderValue::from_str(&text).expect("a DSN's keys are ASCII letters and digits");
    value.set_sensitive(true);
    value
}

/// For how long no errors are to be sent, if the answer says so: `60:error;default:organization, 2700::key`.
fn rate_limit(headers: &HeaderMap, is_429: bool) -> Option<Duration> {
    let limits = headers
        .get("X-Sentry-Rate-Limits")
        .and_then(|value| value.to_str().ok());
    let Some(limits) = limits else {
        return is_429.then(|| retry_after(headers).unwrap_or(LIMITED_FOR));
    };
    let limits = limits.split(',').filter_map(|limit| {
        let mut parts = limit.trim().split(':');
        let seconds: f64 = parts.next()?.trim().parse().ok()?;
        let categories = parts.next().unwrap_or("");
        let is_ours = categories.is_empty()
            || categories
                .split(';')
                .any(|category| matches!(category.trim(), "error" | "default"));
        is_ours.then(|| Duration::try_from_secs_f64(seconds).ok())?
    });
    limits.max()
}

/// An envelope of one item: its headers, the item's, and the event, each on a line.
fn envelope(settings: &SentrySettings, letter: &Letter) -> Vec<u8> {
    let event = event(settings, letter).to_string();
    let id = letter.id.simple().to_string();
    let head = json!({
        "event_id": id,
        "sent_at": stepwell::Moment::from(std::time::SystemTime::now()).to_string(),
    });
    let item = json!({
        "type": "event",
        "content_type": "application/json",
        "length": event.len(),
    });
    format!("{head}\n{item}\n{event}\n").into_bytes()
}

fn event(settings: &SentrySettings, letter: &Letter) -> Value {
    let report = &letter.report;
    let mut tags = json!({
        "app": crate::APP_ID,
        "function": report.function_id,
        "run": report.run_id.to_string(),
        "event": report.event_name,
    });
    if let Some(step) = &report.step {
        tags["step"] = step.as_str().into();
    }
    let mut event = json!({
        "event_id": letter.id.simple().to_string(),
        "timestamp": letter.at.to_string(),
        "platform": "other",
        "level": if report.is_final { "error" } else { "warning" },
        "logger": "stepwell",
        "transaction": report.function_id,
        "exception": {"values": exceptions(report)},
        "tags": tags,
        "extra": {"attempt": report.attempt, "stack": report.error.stack},
        "sdk": {"name": "studio233", "version": env!("CARGO_PKG_VERSION")},
    });
    let about = [
        ("server_name", &settings.server_name),
        ("release", &settings.release),
        ("environment", &settings.environment),
    ];
    for (name, value) in about {
        if let Some(value) = value {
            event[name] = value.as_str().into();
        }
    }
    event
}

/// The error and what led to it, the oldest first.
fn exceptions(report: &ErrorReport) -> Vec<Value> {
    let exception = |name: &str, message: &str| json!({"type": name, "value": message});
    let mut exceptions = vec![exception(&report.error.name, &report.error.message)];
    let mut cause = report.error.cause.as_ref();
    while let Some(found) = cause
        && exceptions.len() <= CAUSES_MAX
    {
        let text = |key: &str| found.get(key).and_then(Value::as_str);
        exceptions.push(match (text("name"), text("message"), found) {
            (name, Some(message), _) => exception(name.unwrap_or("Error"), message),
            (_, None, Value::String(message)) => exception("Error", message),
            _ => exception("Error", &found.to_string()),
        });
        cause = found.get("cause").filter(|cause| !cause.is_null());
    }
    exceptions.reverse();
    exceptions
}

#[cfg(test)]
mod tests;
