//! What a decision says, in words.

use crate::world::{START, World};
use stepwell_engine::{Answer, Call, Change, Decision, Effect, ItemKind, Timestamp};
use stepwell_protocol::{SharedJson, span};

/// Values longer than this are told by their size.
const VALUE_CHARS_MAX: usize = 300;
/// More steps than this in one decision are told by their number.
const STEPS_MAX: usize = 5;

/// What the decision does, line by line, and takes note of what it brings into the world.
pub(crate) fn tell(world: &mut World, decision: Decision) -> Vec<String> {
    let mut told = Vec::new();
    let steps = decision
        .changes
        .iter()
        .filter(|change| matches!(change, Change::StepPut(_)));
    let many = steps.count() > STEPS_MAX;
    let mut counted = 0;
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
        told.extend(tell_change(world, change));
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
        Answer::Cancelled(Ok(())) => None,
        Answer::Cancelled(Err(error)) => Some(format!("not cancelled: {error}")),
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
        Change::RunPut(row) => {
            world.runs.push(row.id);
            world.run_functions.insert(row.id, row.function);
            Some(format!("{} queued", run(world, row.id)))
        }
        Change::RunEnd(end) => {
            let output = end
                .output
                .as_ref()
                .map(|output| format!(": {}", value(output)));
            Some(format!(
                "{} {}{}",
                run(world, end.id),
                end.status.as_str().to_lowercase(),
                output.unwrap_or_default()
            ))
        }
        Change::StepPut(row) => {
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
            let error: serde_json::Value =
                serde_json::from_str(&row.error).expect("an error is JSON");
            Some(format!(
                "{}: attempt {}{of} failed, {again}: {}",
                run(world, row.run),
                row.attempt + 1,
                error["message"].as_str().unwrap_or_default()
            ))
        }
        Change::ItemPut(row) if row.due > world.now => match &row.kind {
            ItemKind::Sleep(step) | ItemKind::RacingSleep(step) => Some(format!(
                "{}: {step} sleeps until {}",
                run(world, row.run),
                moment(row.due)
            )),
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

fn tell_call(world: &World, number: usize, call: &Call) -> String {
    let mut text = format!("call {number}: {}", run(world, call.run));
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
