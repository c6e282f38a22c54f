//! What is told of a run tells all of it: each step and each attempt has one span, and none outlives the run.

use crate::ledger::Decided;
use std::collections::{BTreeSet, HashMap};
use stepwell_engine::Change;
use stepwell_protocol::RunId;
use stepwell_store::history::{self, OutputId};
use stepwell_store::{Reader, StoreError};

/// Looks at the runs of which a committed decision has recorded an attempt or the end.
pub(super) fn check(reader: &dyn Reader, decided: &Decided) -> Result<(), String> {
    let runs = decided.changes.iter().filter_map(|change| match change {
        Change::AttemptPut(row) => Some(row.run),
        Change::RunEnd(end) => Some(end.id),
        _ => None,
    });
    for run in runs.collect::<BTreeSet<_>>() {
        let told = check_run(reader, run);
        told.map_err(|error| format!("what is told of run {run} cannot be read: {error}"))??;
    }
    Ok(())
}

fn check_run(reader: &dyn Reader, run: RunId) -> Result<Result<(), String>, StoreError> {
    let Some(trace) = history::trace(reader, run, &[])? else {
        return Ok(Err(format!("run {run} has no history")));
    };
    let root = trace.root;
    let (mut ids, mut outputs) = (BTreeSet::new(), HashMap::<OutputId, usize>::new());
    let mut broken = Vec::new();
    root.each(&mut |span| {
        if !ids.insert(span.id.clone()) {
            broken.push(format!("there twice: {span:?}"));
        }
        if root.ended_at.is_some() && span.ended_at.is_none() {
            broken.push(format!("goes on after the run: {span:?}"));
        }
        if let Some(output) = &span.output {
            *outputs.entry(output.clone()).or_default() += 1;
        }
    });
    for step in reader.steps(run)? {
        let id = OutputId::Step(run, step.step);
        if step.op != "Sleep" && !outputs.contains_key(&id) {
            broken.push(format!("without a span: {id:?}"));
        }
    }
    for (index, attempt) in reader.attempts(run)?.iter().enumerate() {
        let id = OutputId::Attempt(run, index);
        if outputs.get(&id).copied().unwrap_or(0) != usize::from(attempt.error.is_some()) {
            broken.push(format!("not told once: {attempt:?}"));
        }
    }
    Ok(match broken.is_empty() {
        true => Ok(()),
        false => Err(format!("run {run}: {}", broken.join("; "))),
    })
}
