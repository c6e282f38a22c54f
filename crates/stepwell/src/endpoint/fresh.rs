//! A request of an endpoint's user: executed here, and reported as it goes.

use super::report::RunReports;
use super::request::Parts;
use super::{EVENT, Endpoint, Handover, Response, heartbeat, plain};
use crate::execution::{Call, Checkpointer, Ended, Performed, Reports, Target, end_id, is_final};
use crate::middleware::{RunInfo, TraceContext};
use crate::{Checkpointing, Error, RunId};
use bytes::Bytes;
use serde_json::{Map, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stepwell_protocol::call::{MemoizedSteps, Stack};
use stepwell_protocol::error::UserError;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{StepId, shared_json};
use tracing::Instrument;

impl Endpoint {
    pub(super) async fn begin(
        &self,
        parts: Arc<Parts>,
        trace: TraceContext,
    ) -> http::Response<Bytes> {
        let clock = self.client.clock();
        let now_ms = clock.now().unix_ms();
        let id = new_run_id(now_ms);
        let run = self.run_info(id, &parts, self.retries + 1, trace);
        let data = parts.to_data(self.name.as_deref());
        let event = json!({"name": EVENT, "data": data, "ts": now_ms});
        let reports = RunReports::new(self.client.clone(), id, event.clone(), self.retries);
        let span = tracing::info_span!("run", id = %id, function = %run.function_id);
        let executed = self.execute(&run, &parts, &event, &reports);
        let response = executed.instrument(span.clone()).await;
        self.middleware.flush(&**clock).instrument(span).await;
        response
    }

    async fn execute(
        &self,
        run: &RunInfo,
        parts: &Arc<Parts>,
        event: &serde_json::Value,
        reports: &Arc<RunReports>,
    ) -> http::Response<Bytes> {
        let started = Instant::now();
        let (handler, given) = self.code_for(parts);
        let call = Call {
            client: &self.client,
            middleware: &self.middleware,
            handler: &*handler,
            limits: self.limits(),
            run,
            events: vec![shared_json(event.to_string()).expect("a JSON value's text is JSON")],
            steps: MemoizedSteps::default(),
            completed: Stack::default(),
            defers: Map::new(),
            target: Target::Discovery { plan_only: false },
        };
        // A step is recorded before the next one begins, for as long as the requester waits.
        let mut checkpointer = Checkpointer::to(
            Arc::<RunReports>::clone(reports),
            run.run_id,
            Arc::clone(self.client.clock()),
            Checkpointing::on(),
            Duration::MAX,
        );
        let performing = call.perform(Some(&mut checkpointer));
        let Performed { ended, riders } =
            heartbeat::during(reports, self.heartbeat, performing).await;
        let mut ops = checkpointer.take();
        let could_report = ops.is_empty();
        ops.extend(riders);
        let report = |mut ops: Vec<Op>, last: Vec<Op>| {
            ops.extend(last);
            Arc::<RunReports>::clone(reports).report(ops)
        };
        match ended {
            Ended::Returned(output) => {
                let response = given.take(&output);
                let mut end = Op::new(Opcode::RunComplete, end_id(), "");
                end.data = Some(response.to_json_after(started.elapsed()));
                if let Err(error) = report(ops, vec![end]).await {
                    // The requester has what it asked for. Should the server know of the run, it makes the request again, and
                    // finds all steps recorded.
                    tracing::error!(?error, "the end of an endpoint's run could not be reported");
                }
                response.into_http()
            }
            Ended::Failed(error) => {
                let end = failure(&error, is_final(&error, run));
                let reported = report(ops, vec![end]).await;
                match is_final(&error, run) {
                    true => failed(&error),
                    false => self.hand_over(run.run_id, reports, reported.is_ok()),
                }
            }
            Ended::Executed(executed) => {
                let mut last = vec![executed.op];
                if executed.failure.is_none() {
                    // The handler has ended in the same moment: it is called anew for what it gave.
                    let id = StepId::of("discovery", 0);
                    last.push(Op::new(Opcode::DiscoveryRequest, id, ""));
                }
                let reported = report(ops, last).await;
                self.hand_over(run.run_id, reports, reported.is_ok())
            }
            // A step could not be reported: nothing runs after it that would not be recorded.
            Ended::Asked(asked) if asked.is_empty() && !could_report => {
                self.hand_over(run.run_id, reports, false)
            }
            Ended::Asked(asked) | Ended::TargetMissing(asked) => {
                let reported = report(ops, asked).await;
                self.hand_over(run.run_id, reports, reported.is_ok())
            }
        }
    }

    /// The run goes on without the requester.
    fn hand_over(
        &self,
        run: RunId,
        reports: &RunReports,
        is_reported: bool,
    ) -> http::Response<Bytes> {
        if let Some(error) = reports.too_large() {
            return failed(error);
        }
        let Some(known) = reports.known() else {
            tracing::error!(%run, "an endpoint's run could not be reported: the request is refused");
            let message =
                "the request cannot be seen to now: what it asks for could not be recorded";
            return plain(503, message);
        };
        if !is_reported {
            tracing::error!(%run, "a part of an endpoint's run could not be reported: the server executes it again");
        }
        let token = known.token.filter(|token| !token.is_empty());
        let (token, handover) = match (token, self.handover) {
            (Some(token), handover) => (Some(token), handover),
            // Without one, nobody is let in.
            (None, _) => (None, Handover::Token),
        };
        match handover {
            Handover::Redirect => {
                let api = &self.client.config().api_url;
                let token = token.unwrap_or_default();
                let token = crate::client::percent_encoded(&token);
                let location = format!("{api}/v1/checkpoint/{run}/output?token={token}");
                let redirect = Response::empty().status(302).header("location", location);
                redirect.into_http()
            }
            Handover::Token => {
                let body = json!({"run_id": run, "token": token});
                Response::of_json(&body.to_string()).status(202).into_http()
            }
        }
    }
}

/// How the server is told that the handler itself has failed.
pub(super) fn failure(error: &Error, is_final: bool) -> Op {
    let opcode = match is_final {
        true => Opcode::StepFailed,
        false => Opcode::StepError,
    };
    let mut op = Op::new(opcode, end_id(), "");
    op.error = Some(error.to_wire());
    op
}

/// Of a run that has failed. What led to it is not for whoever made the request.
fn failed(error: &Error) -> http::Response<Bytes> {
    tracing::error!(?error, "an endpoint's run has failed");
    let UserError { name, message, .. } = error.to_wire();
    let body = json!({"name": name, "message": message}).to_string();
    let response = Response::of_json(&body).status(500);
    response.into_http()
}

fn new_run_id(now_ms: i64) -> RunId {
    let mut bytes: [u8; 16] = crate::random::bytes();
    let time = u64::try_from(now_ms).unwrap_or_default().to_be_bytes();
    bytes[..6].copy_from_slice(&time[2..]);
    RunId::from_bytes(bytes)
}
