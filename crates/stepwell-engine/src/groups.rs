//! Parallel groups: steps that an answer plans together, and after which the function is called once.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::reply::{Returned, rides_along};
use crate::{Change, ItemId, ItemKind, ReportedOp};
use stepwell_protocol::RunId;
use stepwell_protocol::op::Opcode;

impl Engine {
    /// Notes the steps of a parallel group that the next discovery waits for.
    pub(crate) fn plan_group(&mut self, run_id: RunId, ops: &[ReportedOp], out: &mut Decision) {
        let counted = ops.iter().filter(|op| !rides_along(op));
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("a call's run is unfinished");
        if counted.count() < 2 {
            return;
        }
        run.force_plan = true;
        let resumed = |op: &&ReportedOp| {
            matches!(
                op.op,
                Opcode::StepPlanned
                    | Opcode::Sleep
                    | Opcode::WaitForEvent
                    | Opcode::WaitForSignal
                    | Opcode::InvokeFunction
                    | Opcode::AiGateway
                    | Opcode::Gateway
            )
        };
        if run.request_version >= 2 {
            run.pending.clear();
            for op in ops.iter().filter(resumed) {
                if !run.steps.contains(&op.step) && !run.pending.contains(&op.step) {
                    run.pending.push(op.step.clone());
                }
            }
        }
        out.changes
            .push(Change::RunProgress(Box::new(run.progress(run_id))));
    }

    /// Whether a step of the run's parallel group is pending that another item than the one at hand may end: a call, or a
    /// wait for such a step. A group whose steps nothing will end any more is not waited for: the function is called
    /// and says anew what it wants. Nor are the losers of a race.
    pub(crate) fn waits_for_group(&self, run: RunId, at_hand: ItemId) -> bool {
        let run = &self.runs[&run];
        if run.pending.is_empty() {
            return false;
        }
        let others = run.items.iter().filter(|id| **id != at_hand);
        let mut rows = others.map(|id| &self.items[id].row);
        rows.any(|row| {
            let may_end_one = match &row.kind {
                ItemKind::Start
                | ItemKind::Endpoint
                | ItemKind::Discovery(_)
                | ItemKind::Step(_) => true,
                kind => kind.step().is_some_and(|step| run.pending.contains(step)),
            };
            may_end_one && !row.race
        })
    }

    /// Whether an answer that ended nothing is in order: others move the run on, and the call was not for one
    /// step, which is still to be run.
    pub(crate) fn may_end_quietly(&self, returned: &Returned) -> bool {
        let run = &self.runs[&returned.run];
        let owed = match &returned.kind {
            ItemKind::Step(step) => !run.steps.contains(step),
            _ => false,
        };
        run.items.len() > 1 && !owed
    }

    /// From request version 2 on, steps may run at once again when the parallel group is through.
    pub(crate) fn allow_immediate(&mut self, run_id: RunId, out: &mut Decision) {
        let run = self
            .runs
            .get_mut(&run_id)
            .expect("a call's run is unfinished");
        // A call in flight may plan a step that another one, if it were allowed to, would find and run at once.
        let alone = run.items.len() <= 1;
        if alone && run.force_plan && run.pending.is_empty() && run.request_version >= 2 {
            run.force_plan = false;
            out.changes
                .push(Change::RunProgress(Box::new(run.progress(run_id))));
        }
    }
}
