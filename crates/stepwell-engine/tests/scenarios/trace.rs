//! What a decision says, in words.

use crate::world::{START, World};
use stepwell_engine::{
    Answer, Call, Cause, Change, Decision, DeferStatus, Effect, ItemKind, NewEvent, Standing,
    Timestamp, Verdict, WaitFor,
};
use stepwell_protocol::{SharedJson, span};

/// Values longer than this are told by their size.
const VALUE_CHARS_MAX: usize = 300;
/// More steps than this in one decision are told by their number.
const STEPS_MAX: usize = 5;
/// More queue items than this in one decision are told by their number.
const ITEMS_MAX: usize = 20;

/// What the decision does, line by line, and takes note of what it brings into the world.
pub(crate) fn tell(world: &mut World, decision: Decision) -> Vec<String> {
    let mut told = Vec::new();
    let steps = decision
        .changes
        .iter()
        .filter(|change| matches!(change, Change::StepPut(_)));
    let many = steps.count() > STEPS_MAX;
    let items = decision
        .changes
        .iter()
        .filter(|change| matches!(change, Change::ItemPut(_)));
    let many_items = items.count() > ITEMS_MAX;
    let defers = decision
        .changes
        .iter()
        .filter(|change| matches!(change, Change::DeferPut(_)));
    let many_defers = defers.count() > STEPS_MAX;
    let (mut counted, mut counted_items) = (0, 0);
    let mut counted_defers = Vec::new();
    let forgotten = decision
        .changes
        .iter()
        .filter(|change| matches!(change, Change::ThrottleDelete(_)))
        .count();
    for change in &decision.changes {
        if let (true, Change::StepPut(_)) = (many, change) {
            counted += 1;
            continue;
        }
        if let (true, Change::ItemPut(_)) = (many_items, change) {
            counted_items += 1;
            continue;
        }
        if let (true, Change::DeferPut(row)) = (many_defers, change) {
            counted_defers.push(row.status);
            continue;
        }
        told.extend(tell_change(world, change));
    }
    for status in [
        DeferStatus::AfterRun,
        DeferStatus::Aborted,
        DeferStatus::Rejected,
    ] {
        let count = counted_defers.iter().filter(|known| **known == status);
        match count.count() {
            0 => {}
            count => told.push(format!("{count} defers are {}", status.as_str())),
        }
    }
    if counted_items > 0 {
        told.push(format!("{counted_items} items queued"));
    }
    if counted > 0 {
        told.push(format!("{counted} steps recorded"));
    }
    if forgotten > 0 {
        told.push(format!("{forgotten} throttle buckets forgotten"));
    }
    for effect in decision.effects {
        match effect {
            Effect::Call(call) => {
                world.calls.push(*call);
                let call = world.calls.last().expect("one was just pushed");
                told.push(tell_call(world, world.calls.len(), call));
            }
            Effect::Announce(announcement) => {
                world.announcements.push(announcement);
                told.push(format!(
                    "announcement {}: {} {}",
                    world.announcements.len(),
                    run(world, announcement.run),
                    announcement.status
                ));
            }
            Effect::GiveUp { item, generation } => {
                let calls = world.calls.iter();
                let given_up = |call: &Call| call.item == item && call.generation == generation;
                match calls.clone().position(given_up) {
                    Some(call) => told.push(format!("call {} is given up", call + 1)),
                    None => told.push("a request is given up".to_owned()),
                }
            }
            Effect::Fetch(fetch) => {
                let url = fetch.request.url.clone();
                told.push(format!(
                    "request {}: {}, {url}",
                    world.fetches.len() + 1,
                    run(world, fetch.run)
                ));
                world.fetches.push(*fetch);
            }
            Effect::LookBack(look) => {
                told.push(format!(
                    "question {}: {}, {} since {} until {}",
                    world.looks.len() + 1,
                    run(world, look.run),
                    look.name,
                    before(look.since),
                    before(look.until)
                ));
                world.looks.push(*look);
            }
            Effect::Deliver(row) => {
                world.deliveries.push(row);
                told.push(format!("delivery {} goes on", world.deliveries.len()));
            }
            Effect::Sweep(_) => told.push("a bulk cancellation sweeps".to_owned()),
        }
    }
    told.extend(decision.answer.and_then(|answer| match answer {
        Answer::EventsAccepted => None,
        Answer::AppSynced { modified, .. } => {
            let modified = if modified { "modified" } else { "not modified" };
            Some(modified.to_owned())
        }
        Answer::Checkpointed(Ok(())) => Some("checkpoint accepted".to_owned()),
        Answer::Checkpointed(Err(error)) => Some(format!("checkpoint refused: {error}")),
        Answer::EndpointStarted(Ok(started)) => {
            let refused = started.steps.err();
            refused.map(|error| format!("its steps are refused: {error}"))
        }
        Answer::EndpointStarted(Err(error)) => Some(format!("not started: {error}")),
        Answer::EndpointReported(Ok(())) => None,
        Answer::EndpointReported(Err(error)) => Some(format!("report refused: {error}")),
        Answer::Cancelled(Ok(())) => None,
        Answer::Cancelled(Err(error)) => Some(format!("not cancelled: {error}")),
        Answer::Signalled(None) => Some("nobody waits for the signal".to_owned()),
        Answer::Signalled(Some(resumed)) => Some(format!("{} resumed", run(world, resumed))),
        Answer::Invoked(None) => Some("there is no such function".to_owned()),
        Answer::Invoked(Some(verdict)) => {
            Some(format!("invoked: {}", tell_verdict(world, &verdict)))
        }
        Answer::Repeated(None) => Some("not repeated".to_owned()),
        Answer::Repeated(Some(repeated)) => Some(format!("{} repeats it", run(world, repeated))),
        Answer::Fetched(recorded) => (!recorded).then(|| "no answer is recorded".to_owned()),
        Answer::Paused(found) => (!found).then(|| "there is no such function".to_owned()),
        Answer::Bounded(found) | Answer::BulkCancelDropped(found) => {
            (!found).then(|| "there is no such thing".to_owned())
        }
        Answer::BulkCancelled(Ok(())) | Answer::Noted => None,
        Answer::BulkCancelled(Err(error)) => Some(format!("not cancelled: {error}")),
        Answer::Audited(violations) => Some(format!("{} violations", violations.len())),
    }));
    told
}

fn tell_change(world: &mut World, change: &Change) -> Option<String> {
    match change {
        Change::FunctionPut(row) => {
            let slug = &world.slugs[&row.id];
            let archived = if row.archived { ", archived" } else { "" };
            Some(format!(
                "function {slug}, version {}{archived}",
                row.version
            ))
        }
        Change::EventPut(row) => {
            let known = world.events.contains_key(&row.id);
            let event = NewEvent {
                id: row.id,
                name: row.name.as_str().into(),
                external_id: Some(row.external_id.clone()),
                ts_ms: row.ts_ms,
                repeatable: false,
                body: row.body.clone(),
            };
            world.events.insert(row.id, event);
            (!known).then(|| format!("event {}: {}", row.name, tell_data(&row.body)))
        }
        Change::RunPut(row) => {
            world.runs.push(row.id);
            world.run_functions.insert(row.id, row.function);
            world.run_events.insert(row.id, row.events[0]);
            let many = match row.events.len() {
                1 => String::new(),
                events => format!(" for {events} events"),
            };
            Some(format!("{} queued{many}", run(world, row.id)))
        }
        Change::VerdictPut(row) => Some(format!(
            "{}: {}",
            world.slugs[&row.function],
            tell_verdict(world, &row.verdict)
        )),
        Change::DeferPut(row) => Some(format!(
            "{}: {} is {}{}",
            run(world, row.run),
            row.step,
            row.status.as_str(),
            row.input.as_ref().map_or(String::new(), |input| format!(
                ", {} with {}",
                row.slug,
                value(input)
            ))
        )),
        Change::RunEnd(end) => {
            let output = end
                .output
                .as_ref()
                .map(|output| format!(": {}", value(output)));
            let cause = end.cause.map(|cause| tell_cause(world, cause));
            Some(format!(
                "{} {}{}{}",
                run(world, end.id),
                end.status.as_str().to_lowercase(),
                output.unwrap_or_default(),
                cause.unwrap_or_default()
            ))
        }
        Change::StepPut(row) => {
            let steps = world.steps.entry(row.run).or_default();
            steps.push((**row).clone());
            let verb = if row.failed { "failed" } else { "is" };
            Some(format!(
                "{}: {} {} {verb} {}",
                run(world, row.run),
                row.op,
                row.step,
                value(&row.value)
            ))
        }
        Change::AttemptPut(row) => {
            let of = match &row.step {
                Some(step) => format!(" of {step}"),
                None => String::new(),
            };
            let again = match row.retry_at {
                Some(at) => format!("again at {}", moment(at)),
                None => "not again".to_owned(),
            };
            // What the run's end cuts short is told with the run's end.
            let error = row.error.as_ref()?;
            let error: serde_json::Value = serde_json::from_str(error).expect("an error is JSON");
            Some(format!(
                "{}: attempt {}{of} failed, {again}: {}",
                run(world, row.run),
                row.attempt + 1,
                error["message"].as_str().unwrap_or_default()
            ))
        }
        Change::ItemPut(row) if row.due > world.now => match &row.kind {
            ItemKind::Sleep(step) => Some(format!(
                "{}: {step} sleeps until {}",
                run(world, row.run),
                moment(row.due)
            )),
            ItemKind::WaitForEvent(step)
            | ItemKind::WaitForSignal(step)
            | ItemKind::Invoke(step) => {
                let what = match row.wait.as_deref() {
                    Some(WaitFor::Event {
                        name, condition, ..
                    }) => match condition {
                        Some(condition) => format!("{name} if {condition}"),
                        None => name.to_string(),
                    },
                    Some(WaitFor::Signal { name, holds }) => match holds {
                        true => format!("signal {name}"),
                        false => "nothing but its time".to_owned(),
                    },
                    Some(WaitFor::Invoke { function, .. }) => function.to_string(),
                    _ => "nothing".to_owned(),
                };
                Some(format!(
                    "{}: {step} waits for {what} until {}",
                    run(world, row.run),
                    moment(row.due)
                ))
            }
            // A retry says so itself.
            _ if row.attempt > 0 => None,
            kind => Some(format!(
                "{}: {} waits until {}",
                run(world, row.run),
                kind.as_str(),
                moment(row.due)
            )),
        },
        _ => None,
    }
}

fn tell_verdict(world: &World, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Started { run: started } => run(world, *started),
        Verdict::Filtered { part, values } => {
            let values: Vec<String> = values
                .iter()
                .map(|(path, value)| format!("{path} is {value}"))
                .collect();
            format!("filtered by {part}, where {}", values.join(", "))
        }
        Verdict::Debounced { closes_ms } => {
            format!("debounced until {}", moment(Timestamp::from_ms(*closes_ms)))
        }
        Verdict::Superseded { by_its_time: true } => "superseded by a later one".to_owned(),
        Verdict::Superseded { by_its_time: false } => "superseded".to_owned(),
        Verdict::Batched { closes_ms } => {
            format!("batched until {}", moment(Timestamp::from_ms(*closes_ms)))
        }
        Verdict::BatchKeyInvalid => "the batch key fails".to_owned(),
        Verdict::RateLimited { key } => format!("rate limited for '{key}'"),
        Verdict::Duplicate { run: Some(of) } => format!("duplicate of {}", run(world, *of)),
        Verdict::Duplicate { run: None } => "duplicate".to_owned(),
        Verdict::Skipped {
            run: skipped,
            cause,
        } => {
            format!(
                "{} skipped{}",
                run(world, *skipped),
                tell_cause(world, *cause)
            )
        }
    }
}

fn tell_cause(world: &World, cause: Cause) -> String {
    match cause {
        Cause::Request => String::new(),
        Cause::Event { event } => format!(" by {}", world.events[&event].name),
        Cause::StartTimeout => ", not started in time".to_owned(),
        Cause::FinishTimeout => ", not finished in time".to_owned(),
        Cause::Replaced { .. } => ", replaced".to_owned(),
        Cause::Singleton { run: holder } => format!(", {} has its place", run(world, holder)),
        Cause::FunctionPaused => ", the function is paused".to_owned(),
        Cause::Bulk { .. } => ", with others of its function".to_owned(),
    }
}

/// What a run waits for.
pub(crate) fn tell_standing(standing: Option<Standing>) -> String {
    match standing {
        None => "it is over".to_owned(),
        Some(Standing::Call) => "it is being called".to_owned(),
        Some(Standing::Time(until)) => format!("it waits for {}", moment(until)),
        Some(Standing::Wait(until)) => format!("it waits for others until {}", moment(until)),
        Some(Standing::Queue {
            ahead,
            limit,
            throttled_until,
            paused,
        }) => {
            let mut text = format!("it is queued behind {ahead}");
            match limit {
                None => {}
                Some(None) => text.push_str(", for a limit"),
                Some(Some(key)) => text.push_str(&format!(", for a limit of {key}")),
            }
            if let Some(until) = throttled_until {
                text.push_str(&format!(", throttled until {}", moment(until)));
            }
            if paused {
                text.push_str(", while its function is paused");
            }
            text
        }
    }
}

/// An event's data, with ids left out that no one chose.
fn tell_data(body: &SharedJson) -> String {
    let mut event: serde_json::Value = serde_json::from_str(body.get()).expect("an event is JSON");
    for secret in ["correlation_id"] {
        if let Some(data) = event["data"]["_inngest"].as_object_mut() {
            data.remove(secret);
        }
    }
    event["data"].to_string()
}

fn tell_call(world: &World, number: usize, call: &Call) -> String {
    let mut text = format!("call {number}: {}", run(world, call.run));
    if call.endpoint {
        text.push_str(", its request again");
    }
    if let Some(step) = &call.target {
        text.push_str(&format!(", only {step}"));
    }
    if call.attempt > 0 {
        text.push_str(&format!(
            ", attempt {} of {}",
            call.attempt + 1,
            call.attempts_max
        ));
    }
    if call.steps_ended > 0 {
        text.push_str(&format!(
            ", steps {}, stack {}",
            call.steps_ended, call.stack_current
        ));
    }
    if call.force_plan {
        text.push_str(", planning");
    }
    if !call.defers.is_empty() {
        let open = call.defers.iter().filter(|(_, open)| *open).count();
        text.push_str(&format!(", {open} of {} deferred", call.defers.len()));
    }
    if !call.url.contains(".test") {
        text.push_str(&format!(", at {}", call.url));
    }
    text
}

fn run(world: &World, id: stepwell_protocol::RunId) -> String {
    let number = world.runs.iter().position(|known| *known == id);
    let number = number.expect("runs are numbered when they are queued") + 1;
    format!("run {number} of {}", world.slugs[&world.run_functions[&id]])
}

fn value(json: &SharedJson) -> String {
    match json.get() {
        text if text.len() > VALUE_CHARS_MAX => format!("({} bytes)", text.len()),
        text => text.to_owned(),
    }
}

/// A moment, from the start of the scenario.
pub(crate) fn moment(at: Timestamp) -> String {
    format!("+{}", span::format_ms(at.ms_since(START)))
}

/// A moment that may lie before the start of the scenario.
fn before(at: Timestamp) -> String {
    match START.ms_since(at) {
        0 => moment(at),
        ms => format!("-{}", span::format_ms(ms)),
    }
}
