//! Flow control as users configure it, and what its keys and conditions make of an event.

use super::App;
use crate::dice::Dice;
use serde_json::{Value, json};

/// The longest head start or handicap: 12 hours.
const SECONDS_MAX: i64 = 12 * 60 * 60;

/// What events carry: whose they are, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Data {
    pub(crate) user: u64,
    pub(crate) number: u64,
}

/// The flow control of one variant of a function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) concurrency: Vec<Limit>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) rate_limit: Option<RateLimit>,
    /// One start a day for each value; takes the place of the rate limit.
    pub(crate) idempotency: Option<Key>,
    pub(crate) priority: Option<Priority>,
    pub(crate) singleton: Option<Singleton>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) limit: usize,
    pub(crate) key: Key,
    pub(crate) scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Function,
    Environment,
    Account,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Throttle {
    pub(crate) limit: u64,
    pub(crate) period_s: u64,
    pub(crate) burst: u64,
    pub(crate) key: Key,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimit {
    pub(crate) limit: u64,
    pub(crate) period_s: u64,
    pub(crate) key: Key,
}

/// One unfinished run for each value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Singleton {
    pub(crate) key: Key,
    /// Whether a new run cancels the one there is, rather than being skipped.
    pub(crate) cancels: bool,
}

/// How many seconds a run goes before others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Priority {
    /// So many for each of the event's number.
    ByNumber(i64),
    Broken,
}

/// An expression that gives a value to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// None: one value for all events.
    None,
    User,
    Number,
    /// Whether it is user 1's.
    IsUserOne,
    /// Of an attribute that events do not have.
    Missing,
    /// One that cannot be told.
    Broken,
}

/// What a key makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyValue {
    Text(String),
    /// The boolean, which takes an event out of a rate limit.
    False,
    Broken,
}

impl Key {
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::User,
        Self::Number,
        Self::IsUserOne,
        Self::Missing,
        Self::Broken,
    ];

    pub(super) fn expression(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::User => Some("event.data.u"),
            Self::Number => Some("event.data.n"),
            Self::IsUserOne => Some("event.data.u == 1"),
            Self::Missing => Some("event.data.gone"),
            Self::Broken => Some("1 / 0"),
        }
    }

    pub(crate) fn value(self, data: Data) -> KeyValue {
        match self {
            Self::None => KeyValue::Text(String::new()),
            Self::User => KeyValue::Text(data.user.to_string()),
            Self::Number => KeyValue::Text(data.number.to_string()),
            Self::IsUserOne if data.user == 1 => KeyValue::Text("true".to_owned()),
            Self::IsUserOne | Self::Missing => KeyValue::False,
            Self::Broken => KeyValue::Broken,
        }
    }

    /// The value where all events count somewhere.
    pub(crate) fn text(self, data: Data) -> String {
        match self.value(data) {
            KeyValue::Text(text) => text,
            KeyValue::False => "false".to_owned(),
            KeyValue::Broken => "<invalid>".to_owned(),
        }
    }
}

impl Singleton {
    /// The value of which a run of this event is the only one; nothing when it may run beside others.
    pub(crate) fn value(&self, data: Data) -> Option<String> {
        match self.key.value(data) {
            KeyValue::Text(text) => Some(text),
            KeyValue::False | KeyValue::Broken => None,
        }
    }
}

/// Makes some variants of some functions run one at a time.
pub(crate) fn add_singletons(dice: &mut Dice, apps: &mut [App]) {
    let functions = apps.iter_mut().flat_map(|app| &mut app.functions);
    for variant in functions.flat_map(|function| &mut function.variants) {
        if dice.chance(55) {
            variant.flow.singleton = Some(Singleton {
                key: dice.pick(&Key::ALL),
                cancels: dice.chance(50),
            });
        }
    }
}

impl Throttle {
    /// Time between two starts, in microseconds.
    pub(crate) fn emission_us(&self) -> u64 {
        self.period_s * 1_000_000 / self.limit
    }
}

impl Priority {
    /// The head start in seconds.
    pub(crate) fn seconds(self, data: Data) -> i64 {
        let seconds = match self {
            Self::ByNumber(seconds) => {
                seconds * i64::try_from(data.number).expect("a small number")
            }
            Self::Broken => 0,
        };
        seconds.clamp(-SECONDS_MAX, SECONDS_MAX)
    }

    fn expression(self) -> String {
        match self {
            Self::ByNumber(seconds) => format!("event.data.n * {seconds}"),
            Self::Broken => "1 / 0".to_owned(),
        }
    }
}

impl Flow {
    /// Adds it to a function's configuration.
    pub(super) fn write(&self, config: &mut Value) {
        if !self.concurrency.is_empty() {
            let limits: Vec<Value> = self
                .concurrency
                .iter()
                .map(|limit| {
                    let scope = match limit.scope {
                        Scope::Function => "fn",
                        Scope::Environment => "env",
                        Scope::Account => "account",
                    };
                    json!({"limit": limit.limit, "key": limit.key.expression(), "scope": scope})
                })
                .collect();
            config["concurrency"] = limits.into();
        }
        if let Some(throttle) = self.throttle {
            config["throttle"] = json!({
                "limit": throttle.limit,
                "period": format!("{}s", throttle.period_s),
                "burst": throttle.burst,
                "key": throttle.key.expression(),
            });
        }
        if let Some(rate) = self.rate_limit {
            let period = format!("{}s", rate.period_s);
            config["rateLimit"] =
                json!({"limit": rate.limit, "period": period, "key": rate.key.expression()});
        }
        if let Some(expression) = self.idempotency.and_then(Key::expression) {
            config["idempotency"] = expression.into();
        }
        if let Some(singleton) = self.singleton {
            let mode = if singleton.cancels { "cancel" } else { "skip" };
            config["singleton"] = json!({"mode": mode, "key": singleton.key.expression()});
        }
        if let Some(priority) = self.priority {
            config["priority"] = json!({"run": priority.expression()});
        }
    }
}
