//! A run is cancelled when someone asks for it, by an event that it listens for, or when its time is up; and for nothing
//! else. Its calls are given up.

use super::{Resting, bulk};
use crate::ledger::{Cause, Decided, Ledger, Run, Sent};
use std::collections::BTreeSet;
use stepwell_engine::{Cause as Reason, Change, Effect, ItemKind, RunEnd, RunStatus, Timestamp};
use stepwell_protocol::RunId;
use stepwell_protocol::event::SCHEDULED_TIMER;

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let comes = decided.cause.brings_events();
    let mut to_be = made_in(decided);
    for change in &decided.changes {
        match change {
            Change::RunPut(row) => {
                to_be.remove(&row.id);
            }
            Change::EventPut(row) if comes => {
                let Some(sent) = ledger.events.get(&row.id) else {
                    continue;
                };
                for (id, run) in ledger.runs.iter().filter(|(_, run)| run.ended.is_none()) {
                    if !to_be.contains(id) && listens(run, sent, decided.now) && !ends(decided, *id)
                    {
                        let name = ledger.name_of(*id);
                        return Err(format!(
                            "{name} goes on though event {} cancels it",
                            sent.id
                        ));
                    }
                }
            }
            Change::RunEnd(end) if end.status == RunStatus::Cancelled => {
                check_reason(ledger, decided, end)?;
                check_calls(ledger, decided, end.id)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Looks at an engine that has dealt with all that is due: no run is over time.
pub(super) fn check_times(ledger: &Ledger<'_>, resting: &Resting<'_>) -> Result<(), String> {
    let mut unfinished = ledger.runs.iter().filter(|(_, run)| run.ended.is_none());
    let over = unfinished.find(|(id, run)| {
        let over_at = over_at(ledger, **id, run, run.started_at);
        over_at.is_some_and(|at| at <= resting.now)
    });
    match over {
        Some((id, _)) => Err(format!("{} is over time", ledger.name_of(*id))),
        None => Ok(()),
    }
}

fn check_reason(ledger: &Ledger<'_>, decided: &Decided, end: &RunEnd) -> Result<(), String> {
    let Some(run) = ledger.runs.get(&end.id) else {
        return Err(format!("{} is cancelled", ledger.name_of(end.id)));
    };
    let is_up = |started_at| {
        let over_at = over_at(ledger, end.id, run, started_at);
        over_at.is_some_and(|at| at <= decided.now)
    };
    let fits = match end.cause {
        Some(Reason::Request) => matches!(decided.cause, Cause::Cancel(id) if id == end.id),
        Some(Reason::Event { event }) => {
            let mut changes = decided.changes.iter();
            let came = matches!(decided.cause, Cause::Delivered)
                || changes.any(|change| matches!(change, Change::EventPut(row) if row.id == event));
            let sent = ledger.events.get(&event);
            came && sent.is_some_and(|sent| listens(run, sent, decided.now))
        }
        Some(Reason::Bulk { .. }) => bulk::is_meant(ledger, end),
        // Looked at where singletons are.
        Some(Reason::Replaced { .. }) => true,
        Some(Reason::StartTimeout) => run.started_at.is_none() && is_up(None),
        Some(Reason::FinishTimeout) => run.started_at.is_some() && is_up(run.started_at),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let name = ledger.name_of(end.id);
    Err(format!("{name} is cancelled for {:?}", end.cause))
}

fn check_calls(ledger: &Ledger<'_>, decided: &Decided, run: RunId) -> Result<(), String> {
    let calls = ledger.in_flight.iter();
    let mut calls = calls.filter(|((item, _), call)| {
        let current = ledger.items.get(item);
        call.run == run && current.is_some_and(|item| item.run == run)
    });
    let kept = calls.find(|((call, dispatch), _)| {
        !decided.effects.iter().any(|effect| {
            matches!(effect, Effect::GiveUp { item, generation } if (item, generation) == (call, dispatch))
        })
    });
    match kept {
        Some(_) => Err(format!(
            "{} is cancelled and its call not given up",
            ledger.name_of(run)
        )),
        None => Ok(()),
    }
}

/// Whether an event cancels a run, when it comes now.
fn listens(run: &Run, sent: &Sent, now: Timestamp) -> bool {
    !run.events.contains(&sent.id)
        && run.listeners.iter().any(|(cancel, until)| {
            cancel.event == sent.name && *until > now && cancel.which.met(run.data, sent.data)
        })
}

/// When a run that was first called then is over time, by its function's configuration at the moment.
fn over_at(
    ledger: &Ledger<'_>,
    id: RunId,
    run: &Run,
    started_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let cutoff = &ledger.variant(run.function)?.cutoff;
    match started_at {
        None if run.batched => None,
        None => {
            let is_tick = |event| {
                let sent: Option<&Sent> = ledger.events.get(event);
                sent.is_some_and(|sent| sent.name == SCHEDULED_TIMER)
            };
            let is_tick = run.events.iter().any(is_tick);
            let starts = ledger.items.values();
            let starts =
                starts.filter(|item| is_tick && item.run == id && item.kind == ItemKind::Start);
            // A tick waits for its jitter to be over; only then it can be late.
            let due = starts.map(|item| item.due.max(run.queued_at)).max();
            Some(due.unwrap_or(run.queued_at).after_ms(cutoff.start_ms?))
        }
        Some(at) => Some(at.after_ms(cutoff.finish_ms?)),
    }
}

/// The runs that a decision makes.
fn made_in(decided: &Decided) -> BTreeSet<RunId> {
    let changes = decided.changes.iter();
    changes
        .filter_map(|change| match change {
            Change::RunPut(row) => Some(row.id),
            _ => None,
        })
        .collect()
}

fn ends(decided: &Decided, run: RunId) -> bool {
    let mut changes = decided.changes.iter();
    changes.any(|change| matches!(change, Change::RunEnd(end) if end.id == run))
}
