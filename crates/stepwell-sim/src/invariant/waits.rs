//! A wait ends with the first event of its name that meets its condition, with a signal of its name, or with the end of
//! what it invoked; or with nothing, and then not before its time. Nobody who was told so waits on.

use super::arrivals::Arrivals;
use crate::ledger::{Cause, Decided, Ledger, Sent};
use crate::plan::Body;
use crate::plan::wait::{self, Awaited, Wait, Which};
use std::collections::BTreeMap;
use stepwell_engine::{Answer, Change, ItemKind, ItemRow, StepRow, Timestamp, WaitFor};
use stepwell_protocol::{EventId, FunctionId, RunId};

/// What a step gets that has waited in vain.
const NOTHING: &str = "null";

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let comes = decided.cause.brings_events();
    for change in &decided.changes {
        match change {
            Change::ItemPut(row) if !ledger.items.contains_key(&row.id) => {
                check_new(ledger, decided, row)?;
            }
            Change::StepPut(row) => check_end(ledger, decided, row)?,
            Change::EventPut(row) if comes => check_delivery(ledger, decided, row.id)?,
            Change::RunEnd(end) => {
                let run = ledger.runs.get(&end.id);
                let waits = ledger
                    .items
                    .values()
                    .filter(|item| match item.wait.as_deref() {
                        Some(WaitFor::Invoke { event, .. }) => {
                            run.is_some_and(|run| run.answers(*event))
                        }
                        _ => false,
                    });
                for item in waits {
                    told(ledger, decided, item, "the run that it invoked has ended")?;
                }
            }
            _ => {}
        }
    }
    check_signal(ledger, decided)?;
    check_found(ledger, decided)
}

/// Looks at what is true after a decision: an invoking step waits only as long as there is a run to wait for, or an
/// event that is to start it, and a signal goes to one wait.
pub(super) fn check_after(ledger: &Ledger<'_>, arrivals: &Arrivals) -> Result<(), String> {
    let mut holders: BTreeMap<&str, RunId> = BTreeMap::new();
    let mut unfinished = ledger.runs.values().filter(|run| run.ended.is_none());
    let mut events: Option<Vec<EventId>> = None;
    for item in ledger.items.values() {
        match item.wait.as_deref() {
            Some(WaitFor::Signal { name, holds: true }) => {
                if let Some(other) = holders.insert(name, item.run) {
                    let (one, other) = (ledger.name_of(item.run), ledger.name_of(other));
                    return Err(format!("signal {name} goes to {one} and to {other}"));
                }
            }
            Some(WaitFor::Invoke { event, .. }) => {
                let events = events.get_or_insert_with(|| {
                    let runs = unfinished.by_ref().filter(|run| !run.repeats);
                    let events = runs.flat_map(|run| &run.events);
                    events.copied().collect()
                });
                if !events.contains(event) && !arrivals.gathers(*event) {
                    let name = ledger.name_of(item.run);
                    return Err(format!(
                        "{name} waits for the run that it invoked by event {event}, and there is none"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A wait that is asked for lasts as long as it is to.
fn check_new(ledger: &Ledger<'_>, decided: &Decided, row: &ItemRow) -> Result<(), String> {
    let Some(wait) = planned(ledger, row).filter(|_| row.wait.is_some()) else {
        return Ok(());
    };
    let name = ledger.name_of(row.run);
    let due = decided.now.after_ms(wait.ms);
    if row.due != due {
        return Err(format!(
            "a wait of {name} is due at {:?}, not at {due:?}",
            row.due
        ));
    }
    if let (Awaited::Event { look_back_ms, .. }, Some(WaitFor::Event { since_ms, .. })) =
        (wait.what, row.wait.as_deref())
    {
        let since = look_back_ms.map(|ms| decided.now.ms() - ms);
        if *since_ms != since {
            return Err(format!(
                "{name} looks back to {since_ms:?}, not to {since:?}"
            ));
        }
    }
    Ok(())
}

fn check_end(ledger: &Ledger<'_>, decided: &Decided, step: &StepRow) -> Result<(), String> {
    let waited = ledger
        .items
        .values()
        .chain(new_items(decided))
        .find(|item| {
            item.run == step.run && item.wait.is_some() && item.kind.step() == Some(&step.step)
        });
    let Some((item, wait)) = waited.and_then(|item| Some((item, planned(ledger, item)?))) else {
        return Ok(());
    };
    let name = ledger.name_of(step.run);
    let value = step.value.get();
    let in_vain = value == NOTHING || value.contains("InngestInvokeTimeoutError");
    if in_vain && item.due > decided.latest {
        return Err(format!(
            "'{}' of {name} gives up {} ms early",
            step.name,
            item.due.ms_since(decided.latest)
        ));
    }
    match wait.what {
        Awaited::Event {
            name: event, which, ..
        } => {
            let data = ledger.runs.get(&step.run).map(|run| run.data);
            let data = data.unwrap_or_default();
            if in_vain {
                return check_missed(ledger, decided, item, event, which);
            }
            let in_time = |sent: &Sent| match (sent.received, &decided.cause) {
                (Some(at), _) => at <= item.due,
                // Found in the past, and pruned since.
                (None, Cause::LookedBack { .. }) => true,
                (None, _) => decided.now <= item.due,
            };
            let mut came = came(ledger, decided);
            let meets = |sent: &Sent| sent.name == event && which.met(data, sent.data);
            if !came.any(|sent| meets(sent) && in_time(sent)) {
                return Err(format!(
                    "'{}' of {name} ends with {value}, and no such event came",
                    step.name
                ));
            }
        }
        Awaited::Signal { signal, .. } => {
            let signal = wait::signal_name(signal);
            let holds = matches!(
                item.wait.as_deref(),
                Some(WaitFor::Signal { holds: true, .. })
            );
            let came = matches!(&decided.cause, Cause::Signal(sent) if *sent == signal);
            if !(in_vain || came && holds) {
                return Err(format!(
                    "'{}' of {name} ends with {value} by no signal",
                    step.name
                ));
            }
        }
        Awaited::Invoke(_) if in_vain => {}
        Awaited::Invoke(_) => {
            let Some(WaitFor::Invoke { event, function }) = item.wait.as_deref() else {
                return Err(format!(
                    "'{}' of {name} waited for {:?}",
                    step.name, item.wait
                ));
            };
            let of_it = |run: &RunId| {
                let run = ledger.runs.get(run);
                run.is_some_and(|run| run.answers(*event))
            };
            let ended = decided
                .changes
                .iter()
                .any(|change| matches!(change, Change::RunEnd(end) if of_it(&end.id)));
            let refused = decided
                .changes
                .iter()
                .any(|change| matches!(change, Change::VerdictPut(row) if row.event == *event));
            let known = function.parse::<FunctionId>().ok();
            let known = known.and_then(|function| ledger.functions.get(&function));
            let gone = known.is_some_and(|known| known.archived);
            if !ended && !refused && !gone {
                return Err(format!(
                    "'{}' of {name} ends with {value}, and what it invoked has not ended",
                    step.name
                ));
            }
        }
    }
    Ok(())
}

/// A wait that looked back and ended with nothing: no event would have met it.
fn check_missed(
    ledger: &Ledger<'_>,
    decided: &Decided,
    item: &ItemRow,
    name: &str,
    which: Which,
) -> Result<(), String> {
    let Some(WaitFor::Event {
        since_ms: Some(since_ms),
        ..
    }) = item.wait.as_deref()
    else {
        return Ok(());
    };
    let title = ledger.name_of(item.run);
    let Cause::LookedBack { .. } = decided.cause else {
        return Err(format!(
            "a wait of {title} gives up before the past has answered"
        ));
    };
    let Some(run) = ledger.runs.get(&item.run) else {
        return Ok(());
    };
    let since = Timestamp::from_ms(*since_ms);
    let missed = ledger.events.values().find(|sent| {
        !run.events.contains(&sent.id)
            && sent.name == name
            && sent
                .received
                .is_some_and(|at| at >= since && at <= item.due)
            && which.met(run.data, sent.data)
    });
    match missed {
        Some(sent) => Err(format!(
            "a wait of {title} looked back and missed event {}",
            sent.id
        )),
        None => Ok(()),
    }
}

/// An event that comes reaches every wait that it meets.
fn check_delivery(ledger: &Ledger<'_>, decided: &Decided, event: EventId) -> Result<(), String> {
    let Some(sent) = ledger.events.get(&event) else {
        return Ok(());
    };
    // One whose time has come may still wait for what the past says.
    let waits = ledger
        .items
        .values()
        .filter(|item| matches!(item.kind, ItemKind::WaitForEvent(_)) && item.due > decided.now);
    for item in waits {
        let Some(Awaited::Event { name, which, .. }) = planned(ledger, item).map(|wait| wait.what)
        else {
            continue;
        };
        let run = &ledger.runs[&item.run];
        if name == sent.name && which.met(run.data, sent.data) {
            told(ledger, decided, item, "its event came")?;
        }
    }
    Ok(())
}

fn check_signal(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Signal(signal) = &decided.cause else {
        return Ok(());
    };
    let holder = ledger.items.values().find(|item| {
        matches!(item.wait.as_deref(), Some(WaitFor::Signal { name, holds: true }) if **name == **signal)
    });
    let expected = Some(Answer::Signalled(holder.map(|item| item.run)));
    if decided.answer != expected {
        return Err(format!(
            "signal {signal} was answered {:?}, not {expected:?}",
            decided.answer
        ));
    }
    match holder {
        Some(item) => told(ledger, decided, item, "its signal came"),
        None => Ok(()),
    }
}

/// What was found in the past ends the wait that looks back, unless it was told before.
fn check_found(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::LookedBack {
        item,
        found: Some(_),
    } = &decided.cause
    else {
        return Ok(());
    };
    match ledger.items.get(item).filter(|item| looks_back(item)) {
        Some(item) => told(ledger, decided, item, "an event was found in the past"),
        None => Ok(()),
    }
}

/// A wait that was told ends with the decision, or its run does.
fn told(ledger: &Ledger<'_>, decided: &Decided, item: &ItemRow, why: &str) -> Result<(), String> {
    let ends = decided.changes.iter().any(|change| match change {
        Change::StepPut(row) => row.run == item.run && item.kind.step() == Some(&row.step),
        Change::RunEnd(end) => end.id == item.run,
        _ => false,
    });
    if ends {
        return Ok(());
    }
    let name = ledger.name_of(item.run);
    Err(format!("a wait of {name} goes on though {why}"))
}

/// The events that a decision is about.
fn came<'a>(ledger: &'a Ledger<'_>, decided: &'a Decided) -> impl Iterator<Item = &'a Sent> {
    let found = match decided.cause {
        Cause::LookedBack { found, .. } => found,
        _ => None,
    };
    let new = decided.changes.iter().filter_map(|change| match change {
        Change::EventPut(row) => Some(row.id),
        _ => None,
    });
    new.chain(found).filter_map(|id| ledger.events.get(&id))
}

fn new_items(decided: &Decided) -> impl Iterator<Item = &ItemRow> {
    decided.changes.iter().filter_map(|change| match change {
        Change::ItemPut(row) => Some(&**row),
        _ => None,
    })
}

/// Whether an item waits for what the past says, however long that takes.
pub(super) fn looks_back(item: &ItemRow) -> bool {
    let wait = item.wait.as_deref();
    matches!(
        wait,
        Some(WaitFor::Event {
            since_ms: Some(_),
            ..
        })
    )
}

/// The wait of an item, as its program has it.
fn planned<'s>(ledger: &Ledger<'s>, item: &ItemRow) -> Option<&'s Wait> {
    let function = ledger.function(ledger.runs.get(&item.run)?.function)?;
    match &function.body {
        Body::Program(program) => wait::find(&program.body, item.kind.step()?),
        Body::Liar => None,
    }
}
