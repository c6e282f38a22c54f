//! How a function is configured, as both the REST API and GraphQL show it.

use async_graphql::SimpleObject;
use serde::Serialize;
use stepwell_protocol::config::{self, ConcurrencyLimit, FunctionConfig};
use stepwell_store::FunctionRecord;
use utoipa::ToSchema;

/// Retries of a function that does not say.
const RETRIES_DEFAULT: u32 = 4;

/// The configuration that a function was registered with; an empty one when it does not read.
pub(crate) fn registered(record: &FunctionRecord) -> FunctionConfig {
    let parsed = serde_json::from_str(&record.config).map(config::lower_keys);
    let config = parsed.ok();
    let config = config.and_then(|config| stepwell_protocol::decode::from_value(config).ok());
    config.unwrap_or_default()
}

/// What starts a function.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct FunctionTrigger {
    /// `EVENT` or `CRON`.
    r#type: &'static str,
    /// The event's name, or the schedule.
    value: String,
    /// Which of the events.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

/// The function that runs when another one fails.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct FailureHandler {
    slug: String,
    name: String,
}

/// How a function is called, and how often.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration {
    cancellations: Vec<Cancellation>,
    retries: Retries,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_batch: Option<EventsBatch>,
    concurrency: Vec<Concurrency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debounce: Option<Debounce>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle: Option<Throttle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    singleton: Option<Singleton>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct Cancellation {
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Retries {
    value: u32,
    is_default: bool,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsBatch {
    max_size: u32,
    timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct Concurrency {
    /// `FUNCTION`, `ENVIRONMENT` or `ACCOUNT`.
    scope: &'static str,
    limit: ConcurrencyValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConcurrencyValue {
    value: u32,
    is_plan_limit: bool,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct RateLimit {
    limit: u32,
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct Debounce {
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct Throttle {
    limit: u32,
    burst: u32,
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema, SimpleObject)]
pub(crate) struct Singleton {
    /// `SKIP` or `CANCEL`.
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl FunctionTrigger {
    pub(crate) fn all(config: &FunctionConfig) -> Vec<Self> {
        config.triggers.iter().filter_map(Self::of).collect()
    }

    fn of(trigger: &config::Trigger) -> Option<Self> {
        let (kind, value) = match (&trigger.event, &trigger.cron) {
            (Some(event), _) => ("EVENT", event),
            (None, Some(cron)) => ("CRON", cron),
            (None, None) => return None,
        };
        Some(Self {
            r#type: kind,
            value: value.clone(),
            condition: trigger.expression.clone(),
        })
    }
}

impl FailureHandler {
    /// The function that SDKs make of a function's `onFailure`, if there is one among the others.
    pub(crate) fn of(record: &FunctionRecord, others: &[FunctionRecord]) -> Option<Self> {
        let slug = format!("{}-failure", record.slug);
        let mut others = others.iter().filter(|other| other.app == record.app);
        let handler = others.find(|other| other.slug == slug && !other.archived)?;
        Some(Self {
            slug,
            name: handler.name.clone(),
        })
    }
}

impl Configuration {
    pub(crate) fn of(config: FunctionConfig) -> Self {
        let of_step = config.steps.values().find_map(|step| step.retries);
        let retries = of_step.map(|retries| retries.attempts).or(config.retries);
        let limits = config.concurrency.runs.into_iter();
        Self {
            cancellations: config.cancel.into_iter().map(Cancellation::of).collect(),
            retries: Retries {
                value: retries.unwrap_or(RETRIES_DEFAULT),
                is_default: retries.is_none(),
            },
            priority: config.priority.and_then(|priority| priority.run),
            events_batch: config.batch_events.map(|batch| EventsBatch {
                max_size: batch.max_size,
                timeout: batch.timeout,
                key: batch.key,
            }),
            concurrency: limits
                .chain(config.concurrency.steps)
                .map(Concurrency::of)
                .collect(),
            rate_limit: config.rate_limit.map(|limit| RateLimit {
                limit: limit.limit,
                period: limit.period,
                key: limit.key,
            }),
            debounce: config.debounce.map(|debounce| Debounce {
                period: debounce.period,
                key: debounce.key,
            }),
            throttle: config.throttle.map(|throttle| Throttle {
                limit: throttle.limit,
                burst: throttle.burst,
                period: throttle.period,
                key: throttle.key,
            }),
            singleton: config.singleton.map(|singleton| Singleton {
                mode: singleton.mode.to_uppercase(),
                key: singleton.key,
            }),
        }
    }
}

impl Cancellation {
    fn of(cancel: config::CancelOn) -> Self {
        Self {
            event: cancel.event,
            timeout: cancel.timeout,
            condition: cancel.condition,
        }
    }
}

impl Concurrency {
    fn of(limit: ConcurrencyLimit) -> Self {
        Self {
            scope: match limit.scope.as_deref() {
                Some("env") => "ENVIRONMENT",
                Some("account") => "ACCOUNT",
                _ => "FUNCTION",
            },
            limit: ConcurrencyValue {
                value: limit.limit,
                is_plan_limit: false,
            },
            key: limit.key,
        }
    }
}
