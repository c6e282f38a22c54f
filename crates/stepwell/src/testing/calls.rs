//! Calls of functions, with what stands in for the steps that a server carries out.
//!
//! Such a step is reported as one to be planned; the call that the engine then makes for it is answered here. So its
//! failures, retries and place in a parallel group are the engine's, as those of any step are.

use super::stand_ins::{StandIns, TakenOver};
use crate::BoxFuture;
use crate::embedded::Direct;
use crate::execution::{CallReply, Ended, executed};
use crate::middleware::{RunInfo, TraceContext};
use std::sync::Arc;
use stepwell_protocol::StepId;
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::reply::RawReply;
use stepwell_runtime::{CallError, Invocation, Invoker};

/// Calls functions, or what stands in for their steps.
#[derive(Debug)]
pub(super) struct Switch {
    direct: Direct,
    stand_ins: Arc<StandIns>,
}

impl Switch {
    pub(super) fn new(direct: Direct, stand_ins: Arc<StandIns>) -> Self {
        Self { direct, stand_ins }
    }
}

impl Invoker for Switch {
    fn call(&self, invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let run = run_of(&invocation.slug, &invocation.request);
        let step = StepId::parse(&invocation.request.ctx.step_id);
        let stand_ins = Arc::clone(&self.stand_ins);
        stand_ins.results_came(run.run_id, &invocation.request.steps);
        let call = self.direct.call(invocation);
        Box::pin(async move {
            if let Some(taken) = stand_ins.call_for(&run, &step) {
                return Ok(reply_for(&run, &step, taken));
            }
            let mut reply = call.await?;
            take_over(&stand_ins, &run, &mut reply);
            Ok(reply)
        })
    }
}

fn run_of(slug: &Arc<str>, request: &CallRequest) -> RunInfo {
    let ctx = &request.ctx;
    RunInfo {
        run_id: ctx.run_id,
        function_id: Arc::clone(slug),
        event_name: Arc::from(""),
        attempt: ctx.attempt,
        max_attempts: ctx.max_attempts,
        request_id: ctx.request_id.as_str().into(),
        trace: TraceContext::default(),
    }
}

fn reply_for(run: &RunInfo, step: &StepId, taken: TakenOver) -> RawReply {
    let ended = match taken.outcome {
        Some(result) => {
            let op = Op {
                op: Opcode::StepRun,
                name: taken.op.title().to_owned(),
                opts: None,
                ..taken.op
            };
            Ended::Executed(Box::new(executed(op, result, run)))
        }
        None => Ended::Asked(vec![taken.op]),
    };
    CallReply::of(&ended, Vec::new(), Some(step), run).into_raw()
}

/// Has the engine call for the steps of an answer for which something stands in.
fn take_over(stand_ins: &StandIns, run: &RunInfo, reply: &mut RawReply) {
    if reply.status != 206 {
        return;
    }
    let Ok(mut ops) = serde_json::from_slice::<Vec<Op>>(&reply.body) else {
        return;
    };
    let mut changed = false;
    for op in &mut ops {
        if !stand_ins.takes_over(run, op) {
            continue;
        }
        changed = true;
        op.op = Opcode::StepPlanned;
        if let Some(named) = &op.userland {
            op.name.clone_from(&named.id);
        }
        if let Some(opts) = &mut op.opts {
            opts.retain(|key, _| key == "parallelMode");
        }
    }
    if changed {
        reply.body = serde_json::to_vec(&ops).expect("ops have only string keys");
    }
}
