//! Functions: a registered configuration, checked and compiled.

use crate::endpoint::RUNTIME;
use crate::flow::batch::Batch;
use crate::flow::cancel_on::CancelOn;
use crate::flow::concurrency::Limit;
use crate::flow::cron::Schedule;
use crate::flow::debounce::Debounce;
use crate::flow::rate_limit::RateLimit;
use crate::flow::singleton::Singleton;
use crate::flow::throttle::Throttle;
use crate::flow::timeouts::Timeouts;
use crate::{Bounds, FunctionRow};
use std::sync::Arc;
use stepwell_expr::Expr;
use stepwell_protocol::config::{FunctionConfig, Trigger as TriggerConfig};
use stepwell_protocol::register::{Registration, normalize_url};
use stepwell_protocol::{AppId, FunctionId, limits};
use url::Url;

/// A function that can be run.
#[derive(Debug, Clone)]
pub struct Function {
    /// The function.
    pub id: FunctionId,
    /// Its app.
    pub app: AppId,
    /// Its public id, `<app>-<function>`.
    pub slug: Arc<str>,
    /// Its name for people.
    pub name: String,
    /// Where it is called.
    pub url: Arc<str>,
    /// Whether it is a durable endpoint: an HTTP handler that its app executes by itself and reports.
    pub endpoint: bool,
    /// Attempts of each step and of the function.
    pub attempts_max: u32,
    /// Which events start it.
    pub triggers: Vec<Trigger>,
    /// When it starts by itself.
    pub schedules: Vec<Schedule>,
    /// How many of its steps may execute at once.
    pub concurrency: Vec<Limit>,
    /// How many of its runs may be under way at once.
    pub run_limits: Vec<Limit>,
    /// How often it may start: starts over the rate wait.
    pub throttle: Option<Throttle>,
    /// How often it may start: starts over the rate are dropped.
    pub rate_limit: Option<RateLimit>,
    /// It starts when events have stopped coming for a while.
    pub debounce: Option<Debounce>,
    /// It runs for several events at once.
    pub batch: Option<Batch>,
    /// At most one unfinished run.
    pub singleton: Option<Singleton>,
    /// Which events cancel its runs.
    pub cancel_on: Vec<CancelOn>,
    /// How long its runs may wait and take.
    pub timeouts: Timeouts,
    /// Which of its runs go first: an expression of seconds.
    pub priority: Option<Expr>,
    /// Its configuration as registered, in JSON.
    pub config: String,
    /// How often it has changed, from 1.
    pub version: u32,
    /// Whether the app's last registration no longer had it.
    pub archived: bool,
    /// Whether someone has paused it.
    pub paused: bool,
    /// How large its runs may become.
    pub bounds: Bounds,
}

/// What starts a function.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// An exact name, or a pattern that ends in `/*` or `.*`.
    pub event: Arc<str>,
    /// Which of the events.
    pub condition: Option<Expr>,
}

/// Why a function's configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function '{function}': {place}: {message}")]
pub struct ConfigError {
    /// The function's public id, or its place in the list.
    pub function: String,
    /// Which part of the configuration.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Compiles all functions of a registration.
///
/// # Errors
/// Every error of every function, so that one registration shows them all.
pub fn compile_all(registration: &Registration) -> Result<Vec<Function>, Vec<ConfigError>> {
    let app = AppId::of(&registration.app_name);
    let mut functions: Vec<Function> = Vec::with_capacity(registration.functions.len());
    let mut errors = Vec::new();
    for (index, config) in registration.functions.iter().enumerate() {
        match Function::compile(app, config, index) {
            Ok(function) if function.endpoint => errors.push(ConfigError {
                function: config.id.clone(),
                place: "steps.step.runtime.type".to_owned(),
                message: "an endpoint is not registered: it reports itself when it is requested"
                    .to_owned(),
            }),
            Ok(function) if functions.iter().any(|other| other.id == function.id) => {
                errors.push(ConfigError {
                    function: config.id.clone(),
                    place: "id".to_owned(),
                    message: "the app has two functions of this id".to_owned(),
                })
            }
            Ok(function) => functions.push(function),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        Ok(functions)
    } else {
        Err(errors)
    }
}

impl Function {
    /// Checks and compiles a configuration; `index` names it when it has no id.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(
        app: AppId,
        config: &FunctionConfig,
        index: usize,
    ) -> Result<Self, Vec<ConfigError>> {
        let slug = if config.id.is_empty() {
            slugify(&config.name)
        } else {
            config.id.clone()
        };
        let mut problems = Problems {
            function: if slug.is_empty() {
                format!("#{index}")
            } else {
                slug.clone()
            },
            found: Vec::new(),
        };
        if slug.is_empty() {
            problems.add("name", "A function name is required");
        }
        refuse_combinations(config, &mut problems);
        let url = compile_step(config, &mut problems);
        let (triggers, schedules) = compile_triggers(&config.triggers, &mut problems);
        let concurrency = Limit::compile_steps(&config.concurrency, &mut problems);
        let run_limits = Limit::compile_runs(&config.concurrency, &mut problems);
        let debounce = config
            .debounce
            .as_ref()
            .and_then(|debounce| Debounce::compile(debounce, &mut problems));
        let batch = config
            .batch_events
            .as_ref()
            .and_then(|batch| Batch::compile(batch, &mut problems));
        let singleton = config
            .singleton
            .as_ref()
            .and_then(|singleton| Singleton::compile(singleton, &mut problems));
        let cancel_on = CancelOn::compile_all(&config.cancel, &mut problems);
        let timeouts = config
            .timeouts
            .as_ref()
            .map_or_else(Timeouts::default, |timeouts| {
                Timeouts::compile(timeouts, &mut problems)
            });
        let throttle = config
            .throttle
            .as_ref()
            .and_then(|throttle| Throttle::compile(throttle, &mut problems));
        let rate_limit = RateLimit::compile(config, &mut problems);
        let priority = config
            .priority
            .as_ref()
            .and_then(|priority| priority.run.as_deref());
        let priority = problems.expression("priority.run", priority);
        if !problems.found.is_empty() {
            return Err(problems.found);
        }
        let retries = config
            .steps
            .values()
            .next()
            .and_then(|step| step.retries)
            .map(|retries| retries.attempts)
            .or(config.retries)
            .unwrap_or(limits::RETRIES_DEFAULT);
        Ok(Self {
            id: FunctionId::of(app, &slug),
            app,
            name: if config.name.is_empty() {
                slug.clone()
            } else {
                config.name.clone()
            },
            slug: slug.into(),
            url: url.into(),
            endpoint: is_endpoint(config),
            attempts_max: retries.min(limits::RETRIES_MAX) + 1,
            triggers,
            schedules,
            concurrency,
            run_limits,
            throttle,
            rate_limit,
            debounce,
            batch,
            singleton,
            cancel_on,
            timeouts,
            priority,
            config: serde_json::to_string(config).expect("a configuration has only string keys"),
            version: 1,
            archived: false,
            paused: false,
            bounds: Bounds::default(),
        })
    }

    /// Compiles what [`Function::row`] gave.
    ///
    /// # Errors
    /// A text that says what does not fit; rows of a version that knew other rules may not.
    pub fn from_row(row: &FunctionRow) -> Result<Self, String> {
        let value = serde_json::from_str(&row.config).map_err(|error| error.to_string())?;
        let config: FunctionConfig =
            stepwell_protocol::decode::from_value(stepwell_protocol::config::lower_keys(value))
                .map_err(|error| error.to_string())?;
        let function = Self::compile(row.app, &config, 0).map_err(|errors| {
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        })?;
        Ok(Self {
            id: row.id,
            config: row.config.clone(),
            version: row.version,
            archived: row.archived,
            paused: row.paused,
            bounds: row.bounds,
            ..function
        })
    }

    /// The row that stores it.
    #[must_use]
    pub fn row(&self) -> FunctionRow {
        FunctionRow {
            id: self.id,
            app: self.app,
            slug: self.slug.to_string(),
            name: self.name.clone(),
            config: self.config.clone(),
            version: self.version,
            archived: self.archived,
            paused: self.paused,
            bounds: self.bounds,
        }
    }
}

/// Whether the configuration is of a durable endpoint, as [`Function::of_endpoint`] writes it.
fn is_endpoint(config: &FunctionConfig) -> bool {
    let mut steps = config.steps.values();
    steps.any(|step| step.runtime.kind == RUNTIME)
}

/// Collects what is wrong with one function.
#[derive(Debug)]
pub(crate) struct Problems {
    function: String,
    found: Vec<ConfigError>,
}

impl Problems {
    pub(crate) fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.found.push(ConfigError {
            function: self.function.clone(),
            place: place.into(),
            message: message.into(),
        });
    }

    /// Compiles a key or condition, noting what is wrong with it. Empty text counts as none.
    pub(crate) fn expression(&mut self, place: &str, source: Option<&str>) -> Option<Expr> {
        let source = source.filter(|source| !source.trim().is_empty())?;
        match Expr::compile(source) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.add(place, error.to_string());
                None
            }
        }
    }
}

/// Options that contradict each other.
fn refuse_combinations(config: &FunctionConfig, problems: &mut Problems) {
    if config.batch_events.is_none() {
        return;
    }
    let combinations = [
        (
            "cancel",
            !config.cancel.is_empty(),
            "Batching and cancellation are mutually exclusive",
        ),
        (
            "debounce",
            config.debounce.is_some(),
            "Batching and debouncing are mutually exclusive",
        ),
        (
            "singleton",
            config.singleton.is_some(),
            "Batching and singletons are mutually exclusive",
        ),
        (
            "priority.run",
            config
                .priority
                .as_ref()
                .is_some_and(|priority| priority.run.is_some()),
            "A function cannot specify Priority.Run and Batch together",
        ),
    ];
    for (place, asked, message) in combinations {
        if asked {
            problems.add(place, message);
        }
    }
}

fn compile_step(config: &FunctionConfig, problems: &mut Problems) -> String {
    let mut steps = config.steps.values();
    let (Some(step), None) = (steps.next(), steps.next()) else {
        problems.add("steps", "Functions must contain one step");
        return String::new();
    };
    let Some(url) = normalize_url(&step.runtime.url).filter(|url| Url::parse(url).is_ok()) else {
        problems.add(
            "steps.step.runtime.url",
            format!("'{}' is not a URL", step.runtime.url),
        );
        return String::new();
    };
    let scheme = url.split("://").next().unwrap_or("");
    if !matches!(scheme, "http" | "https" | "ws" | "wss" | "embedded") {
        problems.add(
            "steps.step.runtime.url",
            format!("Non-supported step schema: {scheme}"),
        );
    }
    url
}

fn compile_triggers(
    configs: &[TriggerConfig],
    problems: &mut Problems,
) -> (Vec<Trigger>, Vec<Schedule>) {
    if configs.len() > limits::TRIGGERS_MAX {
        problems.add(
            "triggers",
            format!(
                "This function exceeds the max number of triggers: {}",
                limits::TRIGGERS_MAX
            ),
        );
        return (Vec::new(), Vec::new());
    }
    let mut triggers: Vec<Trigger> = Vec::new();
    let mut schedules: Vec<Schedule> = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        if let Some(cron) = config.cron.as_deref().filter(|cron| !cron.is_empty()) {
            if schedules.iter().any(|known| known.source() == cron) {
                problems.add(
                    format!("triggers[{index}].cron"),
                    format!("duplicate cron expression: {cron}"),
                );
                continue;
            }
            match Schedule::parse(cron, config.jitter.as_deref()) {
                Ok(schedule) => schedules.push(schedule),
                Err(error) => problems.add(format!("triggers[{index}].cron"), error.to_string()),
            }
        }
        let Some(event) = config.event.as_deref().filter(|event| !event.is_empty()) else {
            if config.cron.as_deref().unwrap_or("").is_empty() {
                problems.add(
                    format!("triggers[{index}]"),
                    "a trigger needs an event or a cron expression",
                );
            }
            continue;
        };
        if event.len() > limits::TRIGGER_BYTES_MAX {
            problems.add(
                format!("triggers[{index}].event"),
                format!(
                    "an event name has at most {} characters",
                    limits::TRIGGER_BYTES_MAX
                ),
            );
            continue;
        }
        let same = |other: &Trigger| {
            &*other.event == event
                && other.condition.as_ref().map(Expr::source) == config.expression.as_deref()
        };
        if triggers.iter().any(same) {
            problems.add(
                format!("triggers[{index}].event"),
                format!("duplicate trigger event: {event}"),
            );
            continue;
        }
        let condition = problems.expression(
            &format!("invalid trigger expression on '{event}'"),
            config.expression.as_deref(),
        );
        triggers.push(Trigger {
            event: event.into(),
            condition,
        });
    }
    (triggers, schedules)
}

fn slugify(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
