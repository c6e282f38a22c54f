//! The commands of a scenario, one a line.
//!
//! ```text
//! config calls=2 | config backoff=table            before anything else
//! sync [app=shop] [url=http://..] fn=a trigger=x/y [if=".."] [retries=1] [concurrency=2[:key[:scope]]]
//!      [throttle=1/60s[:key]] [burst=2] [ratelimit=1/60s[:key]] [idempotency=key] [priority=seconds] ; fn=b ..
//!                                                  functions, `;` between them; `sync app=shop` has none
//! event x/y [id=1] [data={..}] [ts=+1h|-1h] [once] ; ..  in one input; `once`: it cannot come again
//! reply 1 [version=2] [retry-after=5s] [no-retry] return JSON | fail MESSAGE | not-made | ops OP | OP ..
//! checkpoint 1 [generation=stale|none] OP | OP ..
//!      [debounce=5s[:key]] [debounce-timeout=1m] [batch=3/10s[:key]] [batch-if=".."] [singleton=skip[:key]]
//!      [cancel=x/z] [cancel-if=".."] [cancel-timeout=1h] [start=10s] [finish=1m] [runs=1[:key]] [cron="* * * * *"]
//!      [jitter=10s]
//! endpoint /path [fn=name] [domain=http://..] [retries=1] [again=1] [version=1] OP | OP ..
//!                                                  an app reports the run of an endpoint (again: with run 1's id)
//! report 1 OP | OP ..                              it reports more of run 1
//! announce 1                                       the events of a run's end come back
//! signal name JSON                                 a signal comes
//! invoke app-fn JSON                               someone wants a function run with this payload
//! fetched 1 [retry-after=5s] JSON | fail MESSAGE | refuse MESSAGE
//!                                                  an HTTP request is answered, fails, or never will work
//! looked-back 1 [EVENT]                            the past has been looked through, and had this event
//! deliver 1 [gone]                                 an event reaches more of the waits that it matches, or is gone
//! pause app-fn | unpause app-fn
//! repeat 1 [from STEP [JSON]]                      a run is repeated, from a step on, which gets these arguments
//! audit
//! standing 1                                       what a run waits for
//! cancel 1
//! advance 10s                                      timers are handled as they come due
//! clock 10s                                        time passes, and timers are late
//! timers                                           timers that are due are handled
//! reload | reload at once                          the process dies and starts again, by the clock in no time or a bit later
//! down 10m                                         the process dies, and starts again so much later
//! ```
//!
//! Calls, runs and announcements are numbered as they appear. An `OP` is its name, a step, and what it carries:
//! `StepRun a 5`, `Sleep s 10s`, `StepError a boom`, `StepPlanned b`, `WaitForEvent w x/y 1h [if CONDITION]`,
//! `WaitForSignal s name 1h [replace]`, `InvokeFunction i app-fn 1h [JSON]`, `Gateway g https://..`, `DeferAdd d slug
//! [JSON] [meta JSON]`, `DeferAbort a d`; `race` at its end marks a race. `back=10m` lets a wait look back. A step
//! `s[1..3]` stands for the same op of three steps, `@handler` for an endpoint's handler; a value `bytes[9]` for a
//! text of that size.

use std::sync::Arc;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{Ask, Deferral, EventWait, Invocation, ReportedOp, SignalWait};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{Op, Opcode};
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
    Endpoint {
        path: String,
        options: Vec<(String, String)>,
        steps: Vec<ReportedOp>,
    },
    Report {
        run: usize,
        steps: Vec<ReportedOp>,
    },
    Announce(usize),
    Signal {
        name: String,
        data: SharedJson,
    },
    Invoke {
        function: String,
        payload: serde_json::Value,
    },
    Fetched {
        fetch: usize,
        retry_after: Option<RetryAfter>,
        result: Result<SharedJson, (String, bool)>,
    },
    LookedBack {
        look: usize,
        event: Option<EventSpec>,
    },
    Deliver {
        delivery: usize,
        gone: bool,
    },
    Pause {
        function: String,
        paused: bool,
    },
    Repeat {
        run: usize,
        from: Option<(String, Option<SharedJson>)>,
    },
    Audit,
    Standing(usize),
    Cancel(usize),
    Advance(u64),
    Clock(u64),
    Timers,
    Down(u64),
}

pub(crate) struct EventSpec {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
    pub(crate) later_ms: i64,
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
            "endpoint" => endpoint(rest),
            "report" => {
                let (run, steps) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::Report {
                    run: number(run),
                    steps: ops(steps),
                }
            }
            "announce" => Self::Announce(number(rest)),
            "signal" => {
                let (name, data) = rest.split_once(' ').unwrap_or((rest, "null"));
                Self::Signal {
                    name: name.to_owned(),
                    data: json(data),
                }
            }
            "invoke" => {
                let (function, payload) = rest.split_once(' ').unwrap_or((rest, "{}"));
                Self::Invoke {
                    function: function.to_owned(),
                    payload: serde_json::from_str(payload).expect("a payload is JSON"),
                }
            }
            "fetched" => fetched(rest),
            "looked-back" => {
                let (look, found) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::LookedBack {
                    look: number(look),
                    event: (!found.is_empty()).then(|| event(found)),
                }
            }
            "deliver" => Self::Deliver {
                delivery: number(rest.trim_end_matches("gone")),
                gone: rest.ends_with("gone"),
            },
            "pause" | "unpause" => Self::Pause {
                function: rest.to_owned(),
                paused: verb == "pause",
            },
            "repeat" => {
                let mut words = rest.splitn(4, ' ');
                let run = number(words.next().expect("a repetition names a run"));
                let from = words.nth(1).map(|step| {
                    let input = words.next().map(json);
                    (step.to_owned(), input)
                });
                Self::Repeat { run, from }
            }
            "audit" => Self::Audit,
            "standing" => Self::Standing(number(rest)),
            "cancel" => Self::Cancel(number(rest)),
            "advance" => Self::Advance(duration(rest)),
            "clock" => Self::Clock(duration(rest)),
            "timers" => Self::Timers,
            "reload" if rest == "at once" => Self::Down(0),
            "reload" => Self::Down(1),
            "down" => Self::Down(duration(rest)),
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
            "data" => event.data = json(&value).get().to_owned(),
            "ts" => event.later_ms = later_ms(&value),
            _ => panic!("an event has no '{key}'"),
        }
    }
    event
}

/// `+1h` or `-1h`, in milliseconds.
fn later_ms(text: &str) -> i64 {
    let ms = |text| i64::try_from(duration(text)).expect("a span of this era");
    match text.strip_prefix('-') {
        Some(earlier) => -ms(earlier),
        None => ms(text.trim_start_matches('+')),
    }
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

fn fetched(rest: &str) -> Command {
    let (fetch, rest) = rest.split_once(' ').expect("a request has a number");
    let (retry_after, rest) = match rest.strip_prefix("retry-after=") {
        Some(rest) => {
            let (after, rest) = rest.split_once(' ').expect("an answer says what it is");
            (Some(RetryAfter::In(duration(after))), rest)
        }
        None => (None, rest),
    };
    let result = match rest.split_once(' ') {
        Some(("fail", message)) => Err((message.to_owned(), true)),
        Some(("refuse", message)) => Err((message.to_owned(), false)),
        _ => Ok(json(rest)),
    };
    Command::Fetched {
        fetch: number(fetch),
        retry_after,
        result,
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

fn endpoint(rest: &str) -> Command {
    let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut options = Vec::new();
    while let Some((key, after)) = rest.split_once('=') {
        // Ops begin without a key.
        if key.contains(' ') {
            break;
        }
        let (value, left) = after.split_once(' ').unwrap_or((after, ""));
        options.push((key.to_owned(), value.to_owned()));
        rest = left;
    }
    Command::Endpoint {
        path: path.to_owned(),
        options,
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
    let (mut value, mut error) = (None, None);
    let mut ask = Ask::Nothing;
    match opcode {
        Opcode::StepError | Opcode::StepFailed => error = Some(UserError::new("Error", carried)),
        Opcode::Sleep => ask = Ask::Sleep(carried.to_owned()),
        Opcode::WaitForEvent => ask = wait_for_event(carried),
        Opcode::WaitForSignal => ask = wait_for_signal(carried),
        Opcode::InvokeFunction => ask = invocation(carried),
        Opcode::Gateway | Opcode::AiGateway => ask = request(opcode, carried),
        Opcode::DeferAdd => {
            let (carried, meta) = match carried.split_once(" meta ") {
                Some((carried, meta)) => (carried, Some(json(meta))),
                None => (carried, None),
            };
            let (slug, input) = carried.split_once(' ').unwrap_or((carried, ""));
            ask = Ask::Defer(Box::new(Deferral {
                slug: slug.to_owned(),
                input: (!input.is_empty()).then(|| json(input)),
                meta,
            }));
        }
        Opcode::DeferAbort => ask = Ask::AbortDefer(StepId::parse(carried)),
        _ if carried.is_empty() => {}
        // As the runtime reports it: what a step returned is wrapped.
        Opcode::StepRun => value = Some(json(&format!("{{\"data\":{}}}", json(carried).get()))),
        _ => value = Some(json(carried)),
    }
    steps
        .into_iter()
        .map(|step| ReportedOp {
            op: opcode,
            step: step_id(&step),
            title: if step == "@handler" {
                String::new()
            } else {
                step
            },
            value: value.clone(),
            error: error.clone(),
            ask: ask.clone(),
            race,
            kind: None,
            started_at: None,
            metadata: Vec::new(),
        })
        .collect()
}

/// An endpoint's handler itself reports under a step of its own, without a name.
fn step_id(step: &str) -> StepId {
    match step {
        "@handler" => StepId::of("complete", 0),
        step => StepId::parse(step),
    }
}

fn wait_for_event(text: &str) -> Ask {
    let (text, condition) = match text.split_once(" if ") {
        Some((text, condition)) => (text, Some(condition)),
        None => (text, None),
    };
    let mut words = text.split(' ');
    let event = words.next().expect("a wait names an event").to_owned();
    let (mut timeout, mut look_back_ms) = (String::new(), None);
    for word in words {
        match word.strip_prefix("back=") {
            Some(span) => look_back_ms = Some(duration(span)),
            None => timeout = word.to_owned(),
        }
    }
    Ask::Event(Box::new(EventWait {
        event,
        // The runtime puts the values of the run's event in; conditions here have none.
        condition: condition_for(condition.unwrap_or(""), &serde_json::Value::Null),
        timeout,
        look_back_ms,
    }))
}

fn wait_for_signal(text: &str) -> Ask {
    let mut words = text.split(' ');
    Ask::Signal(Box::new(SignalWait {
        signal: words.next().expect("a wait names a signal").to_owned(),
        timeout: words.next().unwrap_or("").to_owned(),
        replaces: words.next() == Some("replace"),
    }))
}

fn invocation(text: &str) -> Ask {
    let mut words = text.splitn(3, ' ');
    Ask::Invoke(Box::new(Invocation {
        function: words
            .next()
            .expect("an invocation names a function")
            .to_owned(),
        timeout: words.next().unwrap_or("").to_owned(),
        payload: serde_json::from_str(words.next().unwrap_or("{}")).expect("a payload is JSON"),
    }))
}

fn request(opcode: Opcode, url: &str) -> Ask {
    let mut op = Op::new(opcode, StepId::parse("g"), "g");
    let opts = serde_json::json!({"url": url, "method": "GET"});
    op.opts = opts.as_object().cloned();
    Ask::Request(Request::from_op(&op).map(Arc::new))
}
