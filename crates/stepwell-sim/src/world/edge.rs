//! Requests to durable endpoints: their app executes them and reports, until it cannot go on by itself, or dies.

use super::decider::Asker;
use super::{Happening, Phase, Visiting, World};
use crate::app::{Answer as AppAnswer, Memo, Visit};
use crate::invariant::Violation;
use crate::ledger::{Cause, Sent};
use crate::plan::flow::Data;
use serde_json::json;
use stepwell_engine::function::Function;
use stepwell_engine::{
    Answer, Ask, Call, EndpointError, EndpointStart, Input, ItemId, NewEvent, ReportedOp,
    ReportedOutcome,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{EventId, RunId, StepId, shared_json};

/// The name of the events that stand for requests.
const REQUEST: &str = "inngest/http.request";
/// How often an app sends a report before it gives up.
const TRIES_MAX: u32 = 3;
/// Apps of a hundred that die at a report.
const DEAD_PERCENT: u64 = 12;
/// Reports of a hundred that take long: the run may go on without the app.
const LATE_PERCENT: u64 = 12;
/// Reports of a hundred that come twice.
const DOUBLED_PERCENT: u64 = 8;
/// How long a late report takes, at most: a little more than an app may be silent.
const LATE_MS_MAX: u64 = 15 * 60 * 1_000;

/// A request that an app executes.
#[derive(Clone)]
pub(super) struct Edge {
    app: usize,
    function: usize,
    event: EventId,
    data: Data,
    /// How many reports there were.
    reports: u64,
}

/// A report on its way.
#[derive(Clone)]
pub(super) struct EdgeReport {
    visit: u64,
    edge: Edge,
    run: RunId,
    is_first: bool,
    /// Whether the app is done with the request.
    is_last: bool,
    steps: Vec<ReportedOp>,
    tries: u32,
    /// Whether nobody waits for its answer.
    is_copy: bool,
}

impl World<'_> {
    /// A request comes to an endpoint.
    pub(super) fn request(
        &mut self,
        app: usize,
        function: usize,
        data: Data,
    ) -> Result<(), Violation> {
        let scenario = self.scenario;
        let plan = &scenario.apps[app].functions[function];
        let wall = self.clock.wall();
        let (run, event) = (self.ids.run_id(wall), self.ids.event_id(wall));
        let nth = self.calls;
        self.calls += 1;
        self.tell(|| format!("request {nth} comes to {}, as run {run}", plan.slug));
        let call = Call {
            // No call of the engine's is of this item.
            item: ItemId(u64::MAX),
            generation: nth,
            run,
            function: plan.id,
            slug: plan.slug.as_str().into(),
            url: scenario.apps[app].name.as_str().into(),
            endpoint: true,
            target: None,
            stack_current: 0,
            steps_ended: 0,
            starts: true,
            due: wall,
            attempt: 0,
            attempts_max: plan.retries + 1,
            request_version: plan.speaks,
            force_plan: false,
            defers: Vec::new(),
        };
        let edge = Edge {
            app,
            function,
            event,
            data,
            reports: 0,
        };
        let visiting = Visiting {
            visit: Visit::new(call, plan, data, Memo::new()),
            nth,
            decision: 0,
            engine: self.engines,
            waits_for: None,
            fault: None,
            given_up: false,
            edge: Some(edge),
        };
        self.visits.insert(nth, visiting);
        self.after(0, Happening::Visit(nth));
        Ok(())
    }

    /// The app reports what it has done; whether it executes an endpoint by itself at all.
    pub(super) fn report_edge(&mut self, nth: u64, steps: &[ReportedOp], is_last: bool) -> bool {
        let again_ms = self.again_ms();
        let latency_ms = self.scenario.latency_ms_max;
        let Some(visiting) = self.visits.get_mut(&nth) else {
            return false;
        };
        let Some(edge) = &mut visiting.edge else {
            return false;
        };
        edge.reports += 1;
        let number = edge.reports;
        let report = EdgeReport {
            visit: nth,
            edge: edge.clone(),
            run: visiting.visit.call.run,
            is_first: number == 1,
            is_last,
            steps: steps.to_vec(),
            tries: 1,
            is_copy: false,
        };
        let mut dice = self.dice("edge", &[nth, number]);
        let mut ms = dice.between(0, latency_ms);
        if !self.calm {
            if dice.chance(DEAD_PERCENT) {
                self.tell(|| format!("the app of request {nth} dies"));
                self.visits.remove(&nth);
                return true;
            }
            if dice.chance(LATE_PERCENT) {
                ms += dice.below(LATE_MS_MAX);
            }
            if dice.chance(DOUBLED_PERCENT) {
                let copy = EdgeReport {
                    is_copy: true,
                    ..report.clone()
                };
                self.after(ms + again_ms, Happening::EdgeReport(Box::new(copy)));
            }
        }
        self.after(ms, Happening::EdgeReport(Box::new(report)));
        true
    }

    pub(super) fn edge_report_arrives(&mut self, report: EdgeReport) -> Result<(), Violation> {
        if self.phase != Phase::Up {
            self.edge_unanswered(report);
            return Ok(());
        }
        let (run, nth, count) = (report.run, report.visit, report.steps.len());
        self.tell(|| format!("a report of request {nth} with {count} ops comes in"));
        let ran = report.steps.iter();
        let steps: Vec<StepId> = ran
            .filter(|op| op.op == Opcode::StepRun)
            .map(|op| op.step.clone())
            .collect();
        let reported = report.steps.clone();
        if !report.is_first {
            let cause = Cause::EdgeReported { run, steps };
            let input = Input::EndpointReported {
                run,
                steps: reported,
            };
            return self.decide(input, cause, Asker::Edge(Box::new(report)));
        }
        let Edge {
            app,
            function,
            event,
            data,
            ..
        } = report.edge;
        let plan = &self.scenario.apps[app];
        let of = &plan.functions[function];
        let (wall, row) = (self.clock.wall(), plan.row());
        let body = json!({"name": REQUEST, "data": {"u": data.user, "n": data.number}});
        let start = EndpointStart {
            run,
            app: row,
            function: Function::of_endpoint(&plan.name, &of.slug, Some(of.retries))
                .expect("plans make endpoints that compile"),
            event: NewEvent {
                id: event,
                name: REQUEST.into(),
                external_id: None,
                ts_ms: i64::try_from(wall.ms()).expect("a moment of this era"),
                repeatable: false,
                body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
            },
            request_version: of.speaks,
            steps: reported,
        };
        let sent = Sent {
            id: event,
            name: REQUEST,
            identity: None,
            data,
            ts: wall,
            received: None,
        };
        let cause = Cause::EdgeStarted {
            app,
            function,
            run,
            event: sent,
            steps,
        };
        let input = Input::EndpointStarted(Box::new(start));
        self.decide(input, cause, Asker::Edge(Box::new(report)))
    }

    /// Who was to answer a report is gone: the app sends it again, a few times.
    pub(super) fn edge_unanswered(&mut self, mut report: EdgeReport) {
        if report.tries < TRIES_MAX {
            report.tries += 1;
            self.after(self.again_ms(), Happening::EdgeReport(Box::new(report)));
        } else if !report.is_copy {
            self.visits.remove(&report.visit);
        }
    }

    /// A report is answered: the app goes on, unless there is nothing to go on with.
    pub(super) fn edge_answered(&mut self, report: &EdgeReport, answer: Option<&Answer>) {
        if report.is_copy {
            return;
        }
        let accepted = match answer {
            Some(Answer::EndpointStarted(Ok(started))) => started.steps.is_ok(),
            // It got through before, or a copy of it did.
            Some(Answer::EndpointStarted(Err(EndpointError::Exists))) => true,
            Some(Answer::EndpointReported(result)) => result.is_ok(),
            _ => false,
        };
        let Some(visiting) = self.visits.get_mut(&report.visit) else {
            return;
        };
        if report.is_last || !accepted {
            self.visits.remove(&report.visit);
            return;
        }
        visiting.visit.checkpointed(true);
        let ms = self.scenario.latency_ms_max / 2;
        self.after(ms, Happening::Visit(report.visit));
    }
}

/// What an app reports that has come as far as this answer by itself.
pub(super) fn last_report(answer: &AppAnswer) -> Vec<ReportedOp> {
    let ops = match &answer.outcome {
        ReportedOutcome::Ops(ops) => ops.clone(),
        ReportedOutcome::Failed(failure) => vec![ReportedOp {
            op: Opcode::StepError,
            step: StepId::of("complete", 0),
            title: String::new(),
            value: None,
            error: Some((*failure.error).clone()),
            ask: Ask::Nothing,
            race: false,
            kind: None,
            started_at: None,
            metadata: Vec::new(),
        }],
        ReportedOutcome::Returned(_) | ReportedOutcome::NotMade => Vec::new(),
    };
    let for_good = |op: ReportedOp| match op.op {
        Opcode::StepError if answer.no_retry => ReportedOp {
            op: Opcode::StepFailed,
            ..op
        },
        _ => op,
    };
    ops.into_iter().map(for_good).collect()
}
