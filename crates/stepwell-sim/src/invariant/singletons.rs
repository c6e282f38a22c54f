//! Of the runs that share a singleton's place one is unfinished: a new one is skipped, or takes the other's place. New
//! runs of a paused function are skipped, too.

use crate::ledger::{Decided, Ledger, Run};
use std::collections::{BTreeMap, BTreeSet};
use stepwell_engine::{Cause, Change, RunStatus};
use stepwell_protocol::{FunctionId, RunId};

type Place = (FunctionId, String);

#[derive(Default)]
pub(super) struct Places {
    held: BTreeMap<Place, BTreeSet<RunId>>,
    /// Places that were taken twice, since the function had no singleton at that moment: until they are free, it is not
    /// said whose they are.
    shared: BTreeSet<Place>,
}

impl Places {
    /// Looks at a decision once the ledger knows of the runs that it makes.
    pub(super) fn check(&mut self, ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
        for change in &decided.changes {
            match change {
                Change::RunPut(row) => self.check_new(ledger, decided, row.id)?,
                Change::RunEnd(end) => {
                    if let Some(Cause::Replaced { run }) = end.cause {
                        check_replaced(ledger, decided, end.id, run)?;
                    }
                    self.leave(ledger, end.id);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_new(
        &mut self,
        ledger: &Ledger<'_>,
        decided: &Decided,
        id: RunId,
    ) -> Result<(), String> {
        let run = &ledger.runs[&id];
        let name = ledger.name_of(id);
        let skipped = skipped(decided, id);
        if ledger.is_paused(run.function) || skipped == Some(Cause::FunctionPaused) {
            let paused = ledger.is_paused(run.function);
            return match (skipped, paused) {
                (Some(Cause::FunctionPaused), true) => Ok(()),
                _ => Err(format!(
                    "{name} is skipped for {skipped:?}; its function is paused: {paused}"
                )),
            };
        }
        let Some(place) = place(run) else {
            return match skipped {
                Some(cause) => Err(format!("{name} is skipped for {cause:?}")),
                None => Ok(()),
            };
        };
        let held = self.held.entry(place.clone()).or_default();
        let rule = ledger.flow(run.function).and_then(|flow| flow.singleton);
        let expected = match rule {
            Some(rule) if !rule.cancels => held.first().copied(),
            _ => None,
        };
        let told = match skipped {
            Some(Cause::Singleton { run }) => Some(run),
            Some(cause) => return Err(format!("{name} is skipped for {cause:?}")),
            None => None,
        };
        if self.shared.contains(&place) {
            if told.is_none() {
                held.insert(id);
            }
            return Ok(());
        }
        if told != expected {
            return Err(format!(
                "{name} is skipped for {told:?}, where {expected:?} has its place"
            ));
        }
        if told.is_some() {
            return Ok(());
        }
        held.insert(id);
        if held.len() > 1 {
            if rule.is_some() {
                return Err(format!("{name} has a place that another run has"));
            }
            self.shared.insert(place);
        }
        Ok(())
    }

    fn leave(&mut self, ledger: &Ledger<'_>, id: RunId) {
        let Some(place) = ledger.runs.get(&id).and_then(place) else {
            return;
        };
        if let Some(held) = self.held.get_mut(&place) {
            held.remove(&id);
            if held.is_empty() {
                self.shared.remove(&place);
            }
        }
    }
}

fn check_replaced(
    ledger: &Ledger<'_>,
    decided: &Decided,
    old: RunId,
    new: RunId,
) -> Result<(), String> {
    let made = decided
        .changes
        .iter()
        .any(|change| matches!(change, Change::RunPut(row) if row.id == new));
    let place_of = |id: RunId| ledger.runs.get(&id).and_then(place);
    let function = ledger.runs.get(&old).map(|run| run.function);
    let rule = function.and_then(|function| ledger.flow(function)?.singleton);
    let replaces = rule.is_some_and(|rule| rule.cancels);
    if made && replaces && place_of(old).is_some() && place_of(old) == place_of(new) {
        return Ok(());
    }
    let (old, new) = (ledger.name_of(old), ledger.name_of(new));
    Err(format!("{new} takes the place of {old}"))
}

fn place(run: &Run) -> Option<Place> {
    Some((run.function, run.singleton.clone()?))
}

fn skipped(decided: &Decided, id: RunId) -> Option<Cause> {
    decided.changes.iter().find_map(|change| match change {
        Change::RunEnd(end) if end.id == id && end.status == RunStatus::Skipped => end.cause,
        _ => None,
    })
}
