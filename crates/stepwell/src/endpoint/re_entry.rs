//! A request of the server, that moves a run on: the one that started it, made again.

use super::request::Parts;
use super::{EVENT, Endpoint};
use crate::execution::{Call, CallReply, Ended, Performed, Target, end_id, render};
use crate::middleware::RunInfo;
use crate::serve::answer;
use crate::{Error, RunId};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, json};
use std::sync::Arc;
use stepwell_protocol::call::{MemoizedSteps, Stack};
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::signing::SigningKey;
use stepwell_protocol::{StepId, headers, shared_json};
use tracing::Instrument;

/// The server counts attempts and does not say which this is: it makes the last one final by itself.
const ATTEMPTS_UNKNOWN: u32 = u32::MAX;

impl Endpoint {
    pub(super) async fn re_enter(
        &self,
        run: RunId,
        sent: &HeaderMap,
        parts: Arc<Parts>,
        key: Option<&SigningKey>,
    ) -> http::Response<Bytes> {
        let text = |name: &str| sent.get(name).and_then(|value| value.to_str().ok());
        let target = match text(headers::STEP_ID).filter(|id| !id.is_empty() && *id != "step") {
            Some(id) => Target::Step(StepId::parse(id)),
            None => Target::Discovery {
                plan_only: text(headers::FORCE_STEP_PLAN)
                    .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1"),
            },
        };
        let trace = crate::serve::trace_of(sent);
        let run = RunInfo {
            request_id: text(headers::REQUEST_ID).unwrap_or_default().into(),
            ..self.run_info(run, &parts, ATTEMPTS_UNKNOWN, trace)
        };
        let span = tracing::info_span!("run", id = %run.run_id, function = %run.function_id);
        let called = self.call_again(&run, &parts, target);
        let reply = called.instrument(span.clone()).await;
        let clock = self.client.clock();
        self.middleware.flush(&**clock).instrument(span).await;
        let mut response = answer::of_call(self.client.config(), "http", reply);
        if let Some(key) = key {
            let now_s = u64::try_from(clock.now().unix_ms() / 1_000).unwrap_or_default();
            let signature = key.sign(response.body(), now_s);
            let value = HeaderValue::try_from(signature).expect("a signature is ASCII");
            response.headers_mut().insert(headers::SIGNATURE, value);
        }
        response
    }

    async fn call_again(&self, run: &RunInfo, parts: &Arc<Parts>, target: Target) -> CallReply {
        let steps: MemoizedSteps = match self.client.run_steps(run.run_id).await {
            Ok(steps) => steps,
            Err(error) => {
                tracing::warn!(%error, "the steps of an endpoint's run could not be fetched");
                return CallReply::failed(&Error::new("ApiError", error.to_string()), false);
            }
        };
        let data = parts.to_data(self.name.as_deref());
        let event = json!({"name": EVENT, "data": data}).to_string();
        let target_id = match &target {
            Target::Step(id) => Some(id.clone()),
            Target::Discovery { .. } => None,
        };
        let (handler, given) = self.code_for(parts);
        let call = Call {
            client: &self.client,
            middleware: &self.middleware,
            handler: &*handler,
            limits: self.limits(),
            run,
            events: vec![shared_json(event).expect("a JSON value's text is JSON")],
            steps,
            completed: Stack::default(),
            defers: Map::new(),
            target,
        };
        let Performed { ended, mut riders } = call.perform(None).await;
        let Ended::Returned(output) = ended else {
            return CallReply::of(&ended, riders, target_id.as_ref(), run);
        };
        let mut end = Op::new(Opcode::RunComplete, end_id(), "");
        end.data = Some(given.take(&output).to_json());
        riders.push(end);
        CallReply::plain(206, render(&riders))
    }
}
