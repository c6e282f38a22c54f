//! What no server would take, told before one is asked.

use std::time::Duration;
use stepwell_protocol::config::{Concurrency, FunctionConfig, Trigger};
use stepwell_protocol::{limits, span};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Step limits, and limits on runs, of one function.
const STEP_LIMITS_MAX: usize = 2;
/// Events that cancel runs of one function.
const CANCELS_MAX: usize = 5;

/// All that is wrong with a function, each with its place.
pub(super) fn problems(id: &str, config: &FunctionConfig) -> Vec<String> {
    let mut problems = Problems::default();
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if id.is_empty() || !id.chars().all(usable) {
        problems.add("id", "an id has letters, digits and -_./ only");
    }
    if let Some(retries) = config.retries
        && retries > limits::RETRIES_MAX
    {
        let max = limits::RETRIES_MAX;
        problems.add("retries", format!("{retries}; at most {max} are made"));
    }
    check_triggers(&config.triggers, &mut problems);
    check_combinations(config, &mut problems);
    check_concurrency(&config.concurrency, &mut problems);
    check_rates(config, &mut problems);
    if config.cancel.len() > CANCELS_MAX {
        problems.add("cancel_on", format!("more than {CANCELS_MAX} events"));
    }
    check_expressions(config, &mut problems);
    problems.0
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, message: impl AsRef<str>) {
        self.0.push(format!("{place}: {}", message.as_ref()));
    }

    /// Checks a duration, which is given in whole milliseconds.
    fn within(&mut self, place: &str, text: &str, low: Duration, high: Duration) {
        let Ok(ms) = span::parse_ms(text) else {
            return self.add(place, format!("'{text}' is not a duration"));
        };
        let given = Duration::from_millis(ms);
        if given < low || given > high {
            self.add(
                place,
                format!("{given:?}; it is between {low:?} and {high:?}"),
            );
        }
    }
}

fn check_triggers(triggers: &[Trigger], problems: &mut Problems) {
    if triggers.len() > limits::TRIGGERS_MAX {
        problems.add(
            "triggers",
            format!("more than {} triggers", limits::TRIGGERS_MAX),
        );
    }
    for (index, trigger) in triggers.iter().enumerate() {
        let before = &triggers[..index];
        if let Some(cron) = &trigger.cron {
            let fields = match cron.split_once(' ') {
                Some((zone, rest)) if zone.contains("TZ=") => rest,
                _ => cron,
            };
            let count = fields.split_whitespace().count();
            if count != 5 {
                let message = format!(
                    "'{cron}' has {count} fields; write five: minute, hour, day of the month, month, day of the week"
                );
                problems.add("cron", message);
            }
            if before.iter().any(|other| other.cron == trigger.cron) {
                problems.add("cron", format!("'{cron}' is given twice"));
            }
            if let Some(jitter) = &trigger.jitter {
                problems.within("cron jitter", jitter, SECOND, 300 * SECOND);
            }
        }
        if let Some(event) = &trigger.event {
            if event.is_empty() || event.len() > limits::TRIGGER_BYTES_MAX {
                let max = limits::TRIGGER_BYTES_MAX;
                problems.add("triggers", format!("an event's name has 1 to {max} bytes"));
            }
            if event.contains('*') && !(event.ends_with("/*") || event.ends_with(".*"))
                || event.matches('*').count() > 1
            {
                problems.add(
                    "triggers",
                    format!("the pattern '{event}' matches nothing; a pattern ends in /* or .*"),
                );
            }
            let same = |other: &Trigger| {
                other.event == trigger.event && other.expression == trigger.expression
            };
            if before.iter().any(same) {
                problems.add("triggers", format!("event '{event}' is given twice"));
            }
        }
    }
}

fn check_combinations(config: &FunctionConfig, problems: &mut Problems) {
    let Some(batch) = &config.batch_events else {
        return;
    };
    let clashes = [
        (!config.cancel.is_empty(), "cancel_on"),
        (config.debounce.is_some(), "debounce"),
        (config.singleton.is_some(), "singleton"),
        (config.priority.is_some(), "priority"),
    ];
    for (_, name) in clashes.into_iter().filter(|(given, _)| *given) {
        problems.add("batch", format!("batch and {name} exclude each other"));
    }
    if batch.max_size < 2 {
        problems.add("batch", "a batch has at least 2 events");
    }
    problems.within("batch timeout", &batch.timeout, SECOND, 7 * DAY);
}

fn check_concurrency(concurrency: &Concurrency, problems: &mut Problems) {
    if concurrency.steps.len() > STEP_LIMITS_MAX {
        problems.add(
            "concurrency",
            format!("more than {STEP_LIMITS_MAX} concurrency limits"),
        );
    }
    for limit in &concurrency.steps {
        let shared = limit.scope.as_deref().is_some_and(|scope| scope != "fn");
        if shared && limit.key.is_none() {
            problems.add(
                "concurrency",
                "a limit that functions share needs a key: they share it where the key's values are the same",
            );
        }
    }
}

fn check_rates(config: &FunctionConfig, problems: &mut Problems) {
    if let Some(throttle) = &config.throttle {
        if throttle.limit == 0 {
            problems.add("throttle", "a limit of 0 lets nothing start");
        }
        problems.within("throttle period", &throttle.period, SECOND, 366 * DAY);
    }
    if let Some(rate) = &config.rate_limit {
        if rate.limit == 0 {
            problems.add("rate_limit", "a limit of 0 lets nothing start");
        }
        let least = Duration::from_millis(1);
        problems.within("rate_limit period", &rate.period, least, DAY);
    }
    if let Some(debounce) = &config.debounce {
        problems.within("debounce period", &debounce.period, SECOND, 7 * DAY);
    }
}

#[cfg(not(feature = "expressions"))]
fn check_expressions(_: &FunctionConfig, _: &mut Problems) {}

#[cfg(feature = "expressions")]
fn check_expressions(config: &FunctionConfig, problems: &mut Problems) {
    use stepwell_expr::Expr;

    let mut given: Vec<(String, Option<&String>)> = Vec::new();
    for trigger in &config.triggers {
        let event = trigger.event.as_deref().unwrap_or_default();
        given.push((
            format!("the condition on '{event}'"),
            trigger.expression.as_ref(),
        ));
    }
    for limit in &config.concurrency.steps {
        given.push(("concurrency key".to_owned(), limit.key.as_ref()));
    }
    let throttle = config.throttle.as_ref();
    let rate = config.rate_limit.as_ref();
    let debounce = config.debounce.as_ref();
    let batch = config.batch_events.as_ref();
    let priority = config.priority.as_ref();
    let singleton = config.singleton.as_ref();
    let others = [
        ("idempotency", config.idempotency.as_ref()),
        ("throttle key", throttle.and_then(|rule| rule.key.as_ref())),
        ("rate_limit key", rate.and_then(|rule| rule.key.as_ref())),
        ("debounce key", debounce.and_then(|rule| rule.key.as_ref())),
        ("batch key", batch.and_then(|rule| rule.key.as_ref())),
        (
            "batch condition",
            batch.and_then(|rule| rule.condition.as_ref()),
        ),
        ("priority", priority.and_then(|rule| rule.run.as_ref())),
        (
            "singleton key",
            singleton.and_then(|rule| rule.key.as_ref()),
        ),
    ];
    given.extend(others.map(|(place, source)| (place.to_owned(), source)));
    for (place, source) in given {
        if let Some(source) = source
            && let Err(error) = Expr::compile(source)
        {
            problems.add(&place, error.render().to_string());
        }
    }
    for cancel in &config.cancel {
        if let Some(source) = &cancel.condition
            && let Err(error) = Expr::compile_restricted(source)
        {
            let place = format!("cancel_on '{}'", cancel.event);
            problems.add(&place, error.render().to_string());
        }
    }
}
