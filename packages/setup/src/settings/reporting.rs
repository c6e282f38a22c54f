//! Who is told of runs that failed for good, besides the log.

use super::{Hidden, bad, given, only_known};
use crate::Failure;
use std::collections::BTreeMap;
use studio233_inngest::middleware::{Dsn, SentrySettings, WebhookSettings};

const SENTRY_DSN: &str = "SENTRY_DSN";
const SENTRY_ENVIRONMENT: &str = "SENTRY_ENVIRONMENT";
const WEBHOOK: &str = "STUDIO233_ERROR_WEBHOOK";
const WEBHOOK_AUTHORIZATION: &str = "STUDIO233_ERROR_WEBHOOK_AUTHORIZATION";
const KNOWN: [&str; 4] = [
    "sentry_dsn",
    "sentry_environment",
    "webhook",
    "webhook_authorization",
];

/// Who is told.
#[derive(Debug, Clone, Default)]
pub struct Reporting {
    /// Sentry, or what takes its envelopes.
    pub sentry: Option<SentrySettings>,
    /// Any HTTP service.
    pub webhook: Option<Webhook>,
}

/// Where a web hook is.
pub type Webhook = WebhookSettings;

pub(super) fn read(
    file: &BTreeMap<String, Hidden>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Reporting, Failure> {
    only_known("reports", file, &KNOWN)?;
    let get = |variable: &str, key: &str| given(file, &environment, variable, key);
    let sentry = match get(SENTRY_DSN, "sentry_dsn") {
        Some(text) => {
            let dsn: Dsn = text
                .trim()
                .parse()
                .map_err(|error| bad(format!("{SENTRY_DSN}: {error}")))?;
            let release = concat!("studio233@", env!("CARGO_PKG_VERSION"));
            let settings = SentrySettings::new(dsn).release(release);
            Some(match get(SENTRY_ENVIRONMENT, "sentry_environment") {
                Some(name) => settings.environment(name),
                None => settings,
            })
        }
        None => None,
    };
    let invalid = |error| bad(format!("{WEBHOOK}: {error}"));
    let webhook = match get(WEBHOOK, "webhook") {
        Some(url) => {
            let settings = WebhookSettings::new(url.trim()).map_err(invalid)?;
            Some(match get(WEBHOOK_AUTHORIZATION, "webhook_authorization") {
                Some(value) => settings.header("authorization", &value).map_err(invalid)?,
                None => settings,
            })
        }
        None => None,
    };
    Ok(Reporting { sentry, webhook })
}
