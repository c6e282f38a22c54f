//! The commands of a scenario, one a line.
//!
//! ```text
//! config calls=2 | config backoff=table            before anything else
//! sync [app=shop] [url=http://..] fn=a trigger=x/y [if=".."] [retries=1] [concurrency=2[:key[:scope]]]
//!      [throttle=1/60s[:key]] [burst=2] [ratelimit=1/60s[:key]] [idempotency=key] [priority=seconds] ; fn=b ..
//!                                                  functions, `;` between them; `sync app=shop` has none
//! event x/y [id=1] [data={..}] [ts=+1h] [once] ; ..  in one input; `once`: it cannot come again
//! reply 1 [version=2] [retry-after=5s] [no-retry] return JSON | fail MESSAGE | not-made | ops OP | OP ..
//! checkpoint 1 [generation=stale|none] OP | OP ..
//! announce 1                                       the events of a run's end come back
//! cancel 1
//! advance 10s                                      timers are handled as they come due
//! reload                                           the process dies and starts again
//! ```
//!
//! Calls, runs and announcements are numbered as they appear. An `OP` is its name, a step, and what it carries:
//! `StepRun a 5`, `Sleep s 10s`, `StepError a boom`, `StepPlanned b`; `race` at its end marks a race. A step
//! `s[1..3]` stands for the same op of three steps; a value `bytes[9]` for a text of that size.

use stepwell_engine::ReportedOp;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::RetryAfter;
use stepwell_protocol::{SharedJson, StepId, UserError, shared_json, span};

pub(crate) enum Command {
    Config(Vec<(String, String)>),
    Sync {
        app: String,
        url: Option<String>,
        functions: Vec<Vec<(String, String)>>,
    },
    Events(Vec<EventSpec>),
    Reply {
        call: usize,
        version: Option<i32>,
        retry_after: Option<RetryAfter>,
        no_retry: bool,
        outcome: Outcome,
    },
    Checkpoint {
        call: usize,
        generation: Generation,
        steps: Vec<ReportedOp>,
    },
    Announce(usize),
    Cancel(usize),
    Advance(u64),
    Reload,
}

pub(crate) struct EventSpec {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
    pub(crate) later_ms: u64,
    pub(crate) once: bool,
}

pub(crate) enum Outcome {
    Returned(SharedJson),
    Failed(String),
    NotMade,
    Ops(Vec<ReportedOp>),
}

#[derive(PartialEq, Eq)]
pub(crate) enum Generation {
    OfTheCall,
    Stale,
    NotSaid,
}

impl Command {
    pub(crate) fn parse(line: &str) -> Self {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "config" => Self::Config(pairs(rest)),
            "sync" => sync(rest),
            "event" => Self::Events(rest.split(" ; ").map(event).collect()),
            "reply" => reply(rest),
            "checkpoint" => checkpoint(rest),
            "announce" => Self::Announce(number(rest)),
            "cancel" => Self::Cancel(number(rest)),
            "advance" => Self::Advance(duration(rest)),
            "reload" => Self::Reload,
            _ => panic!("'{line}' is no command"),
        }
    }
}

fn number(text: &str) -> usize {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("'{text}' is no number"))
}

fn duration(text: &str) -> u64 {
    span::parse_ms(text).unwrap_or_else(|error| panic!("{error}"))
}

fn json(text: &str) -> SharedJson {
    let text = match text
        .strip_prefix("bytes[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(size) => format!("\"{}\"", "x".repeat(number(size) - 2)),
        None => text.to_owned(),
    };
    shared_json(text.clone()).unwrap_or_else(|error| panic!("'{text}' is not JSON: {error}"))
}

/// `key=value` words; a value in double quotes may hold spaces.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .unwrap_or_else(|| panic!("'{rest}' is not key=value"));
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a quote is closed"),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        found.push((key.to_owned(), value.to_owned()));
        rest = left.trim_start();
    }
    found
}

fn sync(rest: &str) -> Command {
    let (mut app, mut url, mut functions) = ("app".to_owned(), None, Vec::new());
    for part in rest.split(" ; ") {
        let mut function = Vec::new();
        for (key, value) in pairs(part) {
            match &*key {
                "app" => app = value,
                "url" => url = Some(value),
                _ => function.push((key, value)),
            }
        }
        if !function.is_empty() {
            functions.push(function);
        }
    }
    Command::Sync {
        app,
        url,
        functions,
    }
}

fn event(text: &str) -> EventSpec {
    let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let (rest, once) = match rest.strip_suffix("once") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let mut event = EventSpec {
        name: name.to_owned(),
        id: None,
        data: "{}".to_owned(),
        later_ms: 0,
        once,
    };
    for (key, value) in pairs(rest) {
        match &*key {
            "id" => event.id = Some(value),
            "data" => event.data = value,
            "ts" => event.later_ms = duration(value.trim_start_matches('+')),
            _ => panic!("an event has no '{key}'"),
        }
    }
    event
}

fn reply(rest: &str) -> Command {
    let (call, mut rest) = rest.split_once(' ').expect("a reply names a call");
    let (mut version, mut retry_after, mut no_retry) = (None, None, false);
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let outcome = match word {
            "return" => Outcome::Returned(json(after)),
            "fail" => Outcome::Failed(after.to_owned()),
            "not-made" => Outcome::NotMade,
            "ops" => Outcome::Ops(ops(after)),
            "no-retry" => {
                no_retry = true;
                rest = after;
                continue;
            }
            _ => {
                let (key, value) = word.split_once('=').expect("a reply says what it is");
                match key {
                    "version" => version = Some(value.parse().expect("a version is a number")),
                    "retry-after" => retry_after = Some(RetryAfter::In(duration(value))),
                    _ => panic!("a reply has no '{key}'"),
                }
                rest = after;
                continue;
            }
        };
        return Command::Reply {
            call: number(call),
            version,
            retry_after,
            no_retry,
            outcome,
        };
    }
}

fn checkpoint(rest: &str) -> Command {
    let (call, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (generation, rest) = match rest.split_once(' ') {
        Some(("generation=stale", rest)) => (Generation::Stale, rest),
        Some(("generation=none", rest)) => (Generation::NotSaid, rest),
        _ => (Generation::OfTheCall, rest),
    };
    Command::Checkpoint {
        call: number(call),
        generation,
        steps: ops(rest),
    }
}

fn ops(text: &str) -> Vec<ReportedOp> {
    text.split(" | ")
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .flat_map(op)
        .collect()
}

fn op(text: &str) -> Vec<ReportedOp> {
    let mut words = text.splitn(3, ' ');
    let opcode = words.next().expect("an op has a name");
    let opcode = Opcode::parse(opcode).unwrap_or_else(|| panic!("'{opcode}' is no op"));
    let step = words.next().unwrap_or("");
    let rest = words.next().unwrap_or("");
    let (carried, race) = match rest.strip_suffix("race") {
        Some(carried) => (carried.trim(), true),
        None => (rest, false),
    };
    let steps: Vec<String> = match step.split_once('[') {
        None => vec![step.to_owned()],
        Some((prefix, range)) => {
            let (from, to) = range
                .trim_end_matches(']')
                .split_once("..")
                .expect("a range of steps is [1..3]");
            (number(from)..=number(to))
                .map(|index| format!("{prefix}{index}"))
                .collect()
        }
    };
    let (mut value, mut error, mut sleep) = (None, None, String::new());
    match opcode {
        Opcode::StepError | Opcode::StepFailed => error = Some(UserError::new("Error", carried)),
        Opcode::Sleep => sleep = carried.to_owned(),
        _ if carried.is_empty() => {}
        // As the runtime reports it: what a step returned is wrapped.
        Opcode::StepRun => value = Some(json(&format!("{{\"data\":{}}}", json(carried).get()))),
        _ => value = Some(json(carried)),
    }
    steps
        .into_iter()
        .map(|step| ReportedOp {
            op: opcode,
            step: StepId::parse(&step),
            title: step,
            value: value.clone(),
            error: error.clone(),
            sleep: sleep.clone(),
            race,
            started_at: None,
        })
        .collect()
}
