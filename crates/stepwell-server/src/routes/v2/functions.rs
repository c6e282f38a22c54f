//! An app's functions, and their runs.

use super::super::query::Params;
use super::apps::no_app;
use super::run_list::{RunListParams, Wanted, is_app, is_named};
use super::run_row::{AppReference, Run, id_in_app};
use super::{Answer, Envelope, Errors, Page, Refusal, found, page};
use crate::state::Shared;
use axum::extract::{Path, State};
use serde::Serialize;
use stepwell_protocol::config::{self, ConcurrencyLimit, FunctionConfig};
use stepwell_store::{FunctionRecord, Reader, StoreError};
use utoipa::ToSchema;

/// Retries of a function that does not say.
const RETRIES_DEFAULT: u32 = 4;
/// Functions of a page, when nobody says, and at most.
const FUNCTIONS_DEFAULT: usize = 20;
const FUNCTIONS_MAX: usize = 100;

/// A function.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function {
    /// Its id within its app.
    id: String,
    name: String,
    /// Its public id.
    slug: String,
    is_paused: bool,
    is_archived: bool,
    app: AppReference,
    triggers: Vec<FunctionTrigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_handler: Option<FailureHandler>,
    configuration: Configuration,
}

/// What starts a function.
#[derive(Debug, Serialize, ToSchema)]
struct FunctionTrigger {
    /// `EVENT` or `CRON`.
    r#type: &'static str,
    /// The event's name, or the schedule.
    value: String,
    /// Which of the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#if: Option<String>,
}

/// The function that runs when another one fails.
#[derive(Debug, Serialize, ToSchema)]
struct FailureHandler {
    slug: String,
    name: String,
}

/// How a function is called, and how often.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Configuration {
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

#[derive(Debug, Serialize, ToSchema)]
struct Cancellation {
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Retries {
    value: u32,
    is_default: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventsBatch {
    max_size: u32,
    timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Concurrency {
    /// `FUNCTION`, `ENVIRONMENT` or `ACCOUNT`.
    scope: &'static str,
    limit: ConcurrencyValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConcurrencyValue {
    value: u32,
    is_plan_limit: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct RateLimit {
    limit: u32,
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Debounce {
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Throttle {
    limit: u32,
    burst: u32,
    period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Singleton {
    /// `SKIP` or `CANCEL`.
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The functions of an app.
#[utoipa::path(get, path = "/apps/{app}/functions", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("archived" = Option<bool>, Query, description = "Only those that are, or are not."),
        ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 100)),
    responses(
        (status = 200, body = Envelope<Vec<Function>>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(app): Path<String>,
    params: Params,
) -> Answer<Vec<Function>> {
    let archived = params.flag("archived")?.unwrap_or(false);
    let limit = params.limit(FUNCTIONS_DEFAULT, FUNCTIONS_MAX)?;
    let cursor = params.one("cursor").map(str::to_owned);
    let read = shared.handle.read(move |reader| {
        let all = reader.all_functions()?;
        if !all.iter().any(|function| is_app(function, &app))
            && !reader.apps()?.iter().any(|known| known.name == app)
        {
            return Ok(Err(no_app(&app)));
        }
        let wanted = all.iter().filter(|function| {
            let is_after = cursor.as_ref().is_none_or(|cursor| function.slug > *cursor);
            is_app(function, &app) && is_after && function.archived == archived
        });
        let functions: Vec<Function> = wanted
            .take(limit + 1)
            .map(|record| Function::of(record, &all))
            .collect();
        Ok(Ok(functions))
    });
    let mut functions = read.await??;
    let has_more = functions.len() > limit;
    functions.truncate(limit);
    let last = functions.last().map(|function| function.slug.clone());
    let place = Page {
        cursor: last.filter(|_| has_more),
        has_more,
        limit,
    };
    Ok(page(&shared, functions, place))
}

/// A function.
#[utoipa::path(get, path = "/apps/{app}/functions/{function}", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("function" = String, Path, description = "The function's id, with or without the app's name.")),
    responses((status = 200, body = Envelope<Function>), (status = 404, body = Errors)))]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
) -> Answer<Function> {
    let read = shared.handle.read(move |reader| {
        let Some(record) = find(reader, &app, &function)? else {
            return Ok(Err(no_function(&app, &function)));
        };
        Ok(Ok(Function::of(&record, &reader.functions()?)))
    });
    let function = read.await??;
    Ok(found(&shared, function))
}

/// A function's runs, newest first.
#[utoipa::path(get, path = "/apps/{app}/functions/{function}/runs", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("function" = String, Path, description = "The function's id, with or without the app's name."),
        RunListParams),
    responses(
        (status = 200, body = Envelope<Vec<Run>>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn runs(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
    params: Params,
) -> Answer<Vec<Run>> {
    let wanted = Wanted::of(&params)?;
    let read = shared.handle.read(move |reader| {
        let record = find(reader, &app, &function)?;
        Ok(record.ok_or_else(|| no_function(&app, &function)))
    });
    let record = read.await??;
    wanted.page(&shared, Some(record.id)).await
}

/// The function of an app that goes by this name, rather one that is still registered.
pub(super) fn find(
    reader: &dyn Reader,
    app: &str,
    name: &str,
) -> Result<Option<FunctionRecord>, StoreError> {
    let all = reader.all_functions()?.into_iter();
    let mut named: Vec<FunctionRecord> = all
        .filter(|function| is_app(function, app) && is_named(function, name))
        .collect();
    named.sort_by_key(|function| (function.archived, function.slug != name));
    Ok(named.into_iter().next())
}

pub(super) fn no_function(app: &str, name: &str) -> Refusal {
    Refusal::not_found(format!("the app '{app}' has no function '{name}'"))
}

impl Function {
    fn of(record: &FunctionRecord, others: &[FunctionRecord]) -> Self {
        let parsed = serde_json::from_str(&record.config).map(config::lower_keys);
        let config: FunctionConfig = parsed
            .ok()
            .and_then(|config| stepwell_protocol::decode::from_value(config).ok())
            .unwrap_or_default();
        // What SDKs call the function that they make of an `onFailure`.
        let handler = format!("{}-failure", record.slug);
        let handler = others
            .iter()
            .find(|other| other.app == record.app && other.slug == handler && !other.archived);
        Self {
            id: id_in_app(record),
            name: record.name.clone(),
            slug: record.slug.clone(),
            is_paused: record.paused,
            is_archived: record.archived,
            app: AppReference {
                id: record.app_name.clone(),
            },
            triggers: config
                .triggers
                .iter()
                .filter_map(FunctionTrigger::of)
                .collect(),
            failure_handler: handler.map(|handler| FailureHandler {
                slug: handler.slug.clone(),
                name: handler.name.clone(),
            }),
            configuration: Configuration::of(config),
        }
    }
}

impl FunctionTrigger {
    fn of(trigger: &config::Trigger) -> Option<Self> {
        let (kind, value) = match (&trigger.event, &trigger.cron) {
            (Some(event), _) => ("EVENT", event),
            (None, Some(cron)) => ("CRON", cron),
            (None, None) => return None,
        };
        Some(Self {
            r#type: kind,
            value: value.clone(),
            r#if: trigger.expression.clone(),
        })
    }
}

impl Configuration {
    fn of(config: FunctionConfig) -> Self {
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
