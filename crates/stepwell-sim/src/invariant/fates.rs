//! In the end every run has ended, as its plan implies.

use crate::ledger::{Ledger, Run};
use crate::plan::program::Fate;
use crate::plan::{Body, wait};
use stepwell_engine::{Engine, RunStatus};
use stepwell_store::Reader;

pub(super) fn check(
    ledger: &Ledger<'_>,
    engine: &Engine,
    reader: &dyn Reader,
) -> Result<(), String> {
    if let Some((id, _)) = ledger.runs.iter().find(|(_, run)| run.ended.is_none()) {
        return Err(format!("{} never ended", ledger.name_of(*id)));
    }
    let left = [
        (engine.runs_unfinished(), "unfinished runs"),
        (engine.calls_in_flight(), "calls in flight"),
        (ledger.announcements.len(), "announcements"),
    ];
    if let Some((count, what)) = left.iter().find(|(count, _)| *count > 0) {
        return Err(format!("{count} {what} are left over"));
    }
    for (id, run) in ledger.runs.iter().filter(|(_, run)| !run.pruned) {
        let name = ledger.name_of(*id);
        let stored = reader.run(*id).map_err(|error| error.to_string())?;
        let status = stored.map(|stored| stored.status);
        if status != run.ended {
            return Err(format!(
                "{name} ended as {:?} and is stored as {status:?}",
                run.ended
            ));
        }
        let expected = statuses(ledger, run);
        if !expected.is_empty() && !status.is_some_and(|status| expected.contains(&status)) {
            return Err(format!(
                "{name} is {status:?}, and its plan implies {expected:?}"
            ));
        }
    }
    Ok(())
}

/// How a run may have ended; nothing when anything goes.
fn statuses(ledger: &Ledger<'_>, run: &Run) -> Vec<RunStatus> {
    let Some(function) = ledger.function(run.function) else {
        return Vec::new();
    };
    let Body::Program(program) = &function.body else {
        return Vec::new();
    };
    if matches!(run.ended, Some(RunStatus::Cancelled | RunStatus::Skipped)) {
        // It is as it should be, or would have failed a check before.
        return Vec::new();
    }
    let mut expected = match program.fate(function.retries) {
        Fate::Completes => vec![RunStatus::Completed],
        Fate::Fails => vec![RunStatus::Failed],
    };
    if wait::may_conflict(&program.body) {
        // Another wait may have had its signal.
        expected.push(RunStatus::Failed);
    }
    if run.resumes {
        // What it begins with may lie on a way that it does not take.
        expected.push(RunStatus::Failed);
    }
    if run.strain > 0 {
        // Attempts that came to nothing leave fewer for what the program needs them for.
        expected.push(RunStatus::Failed);
    }
    expected
}
