//! What users wrote: apps, their functions, and how their registrations change.

pub(crate) mod cron;
pub(crate) mod cutoff;
pub(crate) mod defer;
mod draw;
pub(crate) mod edge;
pub(crate) mod flow;
pub(crate) mod gather;
mod print;
pub(crate) mod program;
pub(crate) mod wait;

use cron::Cron;
use cutoff::Cutoff;
use flow::{Data, Flow};
use gather::Gather;
use program::Program;
use serde_json::{Value, json};
use stepwell_engine::{AppRow, AppSync, Timestamp, function};
use stepwell_protocol::register::Registration;
use stepwell_protocol::{AppId, FunctionId};

pub(crate) use draw::apps;

/// An app and the registrations that it makes over time.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) versions: Vec<Version>,
}

/// One registration of an app.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Whether the app is called at its other address.
    pub(crate) moved: bool,
    /// For each function of the app the variant that is registered, if it is.
    pub(crate) variants: Vec<Option<usize>>,
}

/// A function: its code stays the same, its configuration does not.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) id: FunctionId,
    pub(crate) slug: String,
    pub(crate) retries: u32,
    /// The request version that its SDK speaks: 1 or 2.
    pub(crate) speaks: i32,
    /// After how many steps its SDK reports them ahead of its answer, if it does.
    pub(crate) checkpoints: Option<usize>,
    /// Whether it says with them which dispatch it is.
    pub(crate) says_generation: bool,
    /// Whether it returns though steps that nobody waits for have not run.
    pub(crate) abandons: bool,
    pub(crate) body: Body,
    pub(crate) variants: Vec<Variant>,
}

/// What a function does when it is called.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// What its program says.
    Program(Program),
    /// It answers anything, whatever it said before.
    Liar,
}

/// One configuration of a function.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) triggers: Vec<Trigger>,
    /// When it runs by the clock.
    pub(crate) crons: Vec<Cron>,
    pub(crate) flow: Flow,
    pub(crate) cutoff: Cutoff,
    pub(crate) gather: Gather,
}

/// What starts a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// A name or a pattern.
    pub(crate) event: &'static str,
    pub(crate) condition: Option<Condition>,
}

/// Which of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    UserIs(u64),
    NumberAbove(u64),
    /// One that cannot be told, which counts as not met.
    Broken,
}

impl Trigger {
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self.event.strip_suffix('*') {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => name == self.event,
        }
    }

    pub(crate) fn starts(&self, name: &str, data: Data) -> bool {
        self.covers(name) && self.condition.is_none_or(|condition| condition.met(data))
    }
}

impl Condition {
    pub(crate) fn met(self, data: Data) -> bool {
        match self {
            Self::UserIs(user) => data.user == user,
            Self::NumberAbove(number) => data.number > number,
            Self::Broken => false,
        }
    }

    pub(crate) fn expression(self) -> String {
        match self {
            Self::UserIs(user) => format!("event.data.u == {user}"),
            Self::NumberAbove(number) => format!("event.data.n > {number}"),
            Self::Broken => "1 / 0 == 1".to_owned(),
        }
    }
}

impl App {
    pub(crate) fn id(&self) -> AppId {
        AppId::of(&self.name)
    }

    /// Whether anything in it runs by the clock.
    pub(crate) fn ticks(&self) -> bool {
        let mut variants = self
            .functions
            .iter()
            .flat_map(|function| &function.variants);
        variants.any(|variant| !variant.crons.is_empty())
    }

    /// The registration as it reaches the engine; without what runs by the clock if that is to be `quiet`.
    pub(crate) fn sync(&self, version: usize, quiet: bool) -> AppSync {
        let version = &self.versions[version];
        let url = if version.moved {
            format!("http://{}.new.test", self.name)
        } else {
            format!("http://{}.test", self.name)
        };
        let held = self.functions.iter().zip(&version.variants);
        let configs: Vec<Value> = held
            .filter_map(|(function, variant)| {
                variant.map(|variant| function.config(&function.variants[variant], &url, quiet))
            })
            .collect();
        let body = json!({"appName": self.name, "url": url, "functions": configs}).to_string();
        let registration =
            Registration::parse(body.as_bytes()).expect("plans make registrations that decode");
        let functions =
            function::compile_all(&registration).expect("plans make registrations that compile");
        AppSync {
            app: AppRow {
                id: self.id(),
                name: self.name.clone(),
                url,
                sdk: "sim".to_owned(),
                framework: String::new(),
                checksum: body,
                synced_at: Timestamp::default(),
            },
            functions,
        }
    }
}

impl Function {
    fn config(&self, variant: &Variant, url: &str, quiet: bool) -> Value {
        let crons = variant.crons.iter().filter(|_| !quiet).map(Cron::trigger);
        let triggers: Vec<Value> = variant
            .triggers
            .iter()
            .map(|trigger| match trigger.condition {
                None => json!({"event": trigger.event}),
                Some(condition) => {
                    json!({"event": trigger.event, "expression": condition.expression()})
                }
            })
            .chain(crons)
            .collect();
        let runtime = json!({"type": "http", "url": format!("{url}/?fnId={}", self.slug)});
        let mut config = json!({
            "id": self.slug,
            "name": self.slug,
            "retries": self.retries,
            "triggers": triggers,
            "steps": {"step": {"id": "step", "name": "step", "runtime": runtime}},
        });
        variant.flow.write(&mut config);
        variant.cutoff.write(&mut config);
        variant.gather.write(&mut config);
        config
    }
}
