//! Building a call: the engine's order and the run's payloads become a request.

use crate::cache::Cache;
use crate::invoke::Invocation;
use serde_json::json;
use std::sync::Arc;
use stepwell_engine::{Call, IdSource};
use stepwell_protocol::call::{CallContext, CallRequest, DISCOVERY, MemoizedSteps, Stack};
use stepwell_protocol::{SharedJson, StepId, limits, shared_json};
use stepwell_store::{Reader, RunState, StoreError};

/// Room for what a body holds besides events and steps.
const ENVELOPE_BYTES: usize = 1_024;

/// Builds the request of a call; the run's own event comes along.
///
/// # Errors
/// [`StoreError`] when the run's payloads are not at hand and cannot be read.
pub(crate) async fn build(
    call: &Call,
    cache: &Arc<Cache>,
    reader: &Arc<dyn Reader>,
    request_id: String,
) -> Result<(Invocation, Option<SharedJson>), StoreError> {
    let mut state = match cache.get(call.run, call.steps_ended) {
        Some(state) => state,
        None => {
            let (reader, run) = (Arc::clone(reader), call.run);
            let read = tokio::task::spawn_blocking(move || reader.run_state(run)).await;
            let state = read
                .map_err(|error| {
                    StoreError::Damaged(format!("reading run {run} failed: {error}"))
                })??
                .ok_or_else(|| StoreError::Damaged(format!("run {run} is not there")))?;
            cache.put(run, &state);
            state
        }
    };
    // A later call may have recorded more already; this one is told what was decided when it was.
    state.steps.truncate(call.steps_ended);
    let event = state.events.first().cloned();
    let invocation = Invocation {
        url: Arc::clone(&call.url),
        slug: Arc::clone(&call.slug),
        run: call.run,
        request: request(call, state, request_id)?,
        endpoint: event.clone().filter(|_| call.endpoint),
    };
    Ok((invocation, event))
}

fn request(call: &Call, state: RunState, request_id: String) -> Result<CallRequest, StoreError> {
    let event = match state.events.first() {
        Some(event) => event.clone(),
        None => {
            return Err(StoreError::Damaged(format!(
                "run {} has no event",
                call.run
            )));
        }
    };
    let stack = state.steps.iter().map(|(step, _)| step.clone()).collect();
    let events_bytes: usize = state.events.iter().map(|event| event.get().len()).sum();
    let steps_bytes: usize = state
        .steps
        .iter()
        .map(|(_, value)| value.get().len() + 48)
        .sum();
    let use_api = call.endpoint
        || event.get().len() + events_bytes + steps_bytes + ENVELOPE_BYTES > limits::CALL_BYTES_MAX;
    let (events, steps) = if use_api {
        Default::default()
    } else {
        (state.events, memoised(state.steps, state.inputs))
    };
    Ok(CallRequest {
        ctx: CallContext {
            fn_id: call.function,
            run_id: call.run,
            env: String::new(),
            step_id: call
                .target
                .as_ref()
                .map_or_else(|| DISCOVERY.to_owned(), ToString::to_string),
            attempt: call.attempt,
            max_attempts: call.attempts_max,
            stack: Stack {
                stack,
                current: call.stack_current,
            },
            qi_id: call.item.to_string(),
            request_id,
            generation_id: call.generation,
            job_id: call.item.to_string(),
            disable_immediate_execution: call.force_plan,
            use_api,
        },
        event: if call.endpoint || event.get().len() > limits::CALL_BYTES_MAX - ENVELOPE_BYTES {
            shared_json("{}".to_owned()).expect("an empty object is JSON")
        } else {
            event
        },
        events,
        steps: MemoizedSteps(steps),
        defers: call
            .defers
            .iter()
            .map(|(step, abortable)| (step.to_string(), json!({"abortable": abortable})))
            .collect(),
        version: call.request_version,
        use_api,
    })
}

/// The results of steps, and for steps without one what they get instead of their own arguments.
#[must_use]
pub fn memoised(
    mut steps: Vec<(StepId, SharedJson)>,
    inputs: Vec<(StepId, SharedJson)>,
) -> Vec<(StepId, SharedJson)> {
    for (step, input) in inputs {
        if !steps.iter().any(|(ended, _)| *ended == step) {
            let value = shared_json(format!("{{\"input\":{}}}", input.get()));
            steps.push((step, value.expect("JSON in an object is JSON")));
        }
    }
    steps
}

/// A new id for a request.
pub(crate) fn request_id(
    ids: &std::sync::Mutex<IdSource>,
    now: stepwell_engine::Timestamp,
) -> String {
    ids.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .event_id(now)
        .to_string()
}
