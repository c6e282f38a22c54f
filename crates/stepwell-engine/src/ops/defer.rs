//! DeferAdd and DeferAbort: a run that is scheduled when the one at hand ends.
//!
//! They ride on other ops and never fail their run: one that is too many or too large is recorded as rejected.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::Deferral;
use crate::{Change, DeferRow};
use serde::{Deserialize, Serialize};
use stepwell_protocol::{RunId, StepId, limits};

/// Where a deferred run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeferStatus {
    /// It is scheduled when its run ends.
    AfterRun,
    /// It was called off.
    Aborted,
    /// It was too large, or one too many.
    Rejected,
}

impl DeferStatus {
    const ALL: [Self; 3] = [Self::AfterRun, Self::Aborted, Self::Rejected];

    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterRun => "after_run",
            Self::Aborted => "aborted",
            Self::Rejected => "rejected",
        }
    }

    /// The status that [`DeferStatus::as_str`] writes so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl Engine {
    /// Notes a deferred run; one that is noted already stays as it is.
    pub(crate) fn add_defer(
        &mut self,
        id: RunId,
        step: StepId,
        deferral: Deferral,
        out: &mut Decision,
    ) {
        let run = self.runs.get_mut(&id).expect("only unfinished runs defer");
        if run.defers.iter().any(|(known, _, _)| *known == step) {
            return;
        }
        let bytes = deferral.input.as_ref().map_or(0, |input| input.get().len());
        let meta_bytes = deferral.meta.as_ref().map_or(0, |meta| meta.get().len());
        let taken: usize = run.defers.iter().map(|(_, _, bytes)| bytes).sum();
        let fits = run.defers.len() < limits::DEFERS_PER_RUN_MAX
            && taken + bytes <= limits::DEFER_BYTES_MAX
            && meta_bytes <= limits::DEFER_META_BYTES_MAX
            && !deferral.slug.is_empty();
        // Rejected ones are counted too, up to a bound: an app may go on asking.
        if run.defers.len() >= 2 * limits::DEFERS_PER_RUN_MAX {
            return;
        }
        let (status, bytes) = if fits {
            (DeferStatus::AfterRun, bytes)
        } else {
            (DeferStatus::Rejected, 0)
        };
        run.defers.push((step.clone(), status, bytes));
        let kept = status == DeferStatus::AfterRun;
        out.changes.push(Change::DeferPut(Box::new(DeferRow {
            run: id,
            step,
            slug: deferral.slug,
            input: deferral.input.filter(|_| kept),
            meta: deferral.meta.filter(|_| kept),
            status,
        })));
    }

    /// Calls a deferred run off.
    pub(crate) fn abort_defer(&mut self, id: RunId, target: &StepId, out: &mut Decision) {
        let run = self.runs.get_mut(&id).expect("only unfinished runs defer");
        let found = run
            .defers
            .iter_mut()
            .find(|(step, status, _)| step == target && *status == DeferStatus::AfterRun);
        let Some((step, status, bytes)) = found else {
            return;
        };
        (*status, *bytes) = (DeferStatus::Aborted, 0);
        out.changes.push(Change::DeferPut(Box::new(DeferRow {
            run: id,
            step: step.clone(),
            slug: String::new(),
            input: None,
            meta: None,
            status: DeferStatus::Aborted,
        })));
    }
}
