//! Calls that this worker has, and their leases.

use crate::app::{Runner, Way};
use crate::execution::{CallReply, REQUEST_VERSION};
use crate::function::Transport;
use crate::middleware::TraceContext;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stepwell_protocol::connect::{
    ExecutorRequest, ExtendLease, ExtendLeaseAck, RequestAck, ResponseStatus, SdkResponse,
};
use stepwell_protocol::limits;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

/// How long a call goes on that the server knows nothing of, when it knew of it over an earlier connection: a server that
/// was restarted makes the call again.
const ORPHAN_MAX: Duration = Duration::from_secs(30);

/// All calls.
pub(super) struct Calls {
    by_request: HashMap<String, Call>,
    requests: HashMap<Id, String>,
    tasks: JoinSet<CallReply>,
    /// Where functions run.
    runtime: Handle,
    /// A turn for each that runs.
    turns: Arc<Semaphore>,
    /// Set once the worker shuts down: calls end after the step that is under way.
    closing: Arc<AtomicBool>,
}

struct Call {
    /// Without its payload.
    request: ExecutorRequest,
    task: AbortHandle,
    /// The link over which the lease was good last.
    held_on: u64,
    /// The lease that was to be extended last.
    asked: Option<String>,
    /// Until when it goes on without a lease.
    orphan_until: Option<Instant>,
}

impl Calls {
    /// `concurrency_max` run at once.
    pub(super) fn new(runtime: Handle, concurrency_max: usize) -> Self {
        let turns = concurrency_max.min(Semaphore::MAX_PERMITS);
        Self {
            by_request: HashMap::new(),
            requests: HashMap::new(),
            tasks: JoinSet::new(),
            runtime,
            turns: Arc::new(Semaphore::new(turns)),
            closing: Arc::default(),
        }
    }

    /// Has calls end after the step that is under way.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.by_request.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_request.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.by_request.keys().cloned().collect()
    }

    /// Starts a call. It waits for its turn while as many run as may.
    pub(super) fn start(&mut self, runner: Runner, mut request: ExecutorRequest, link: u64) {
        let payload = std::mem::take(&mut request.request_payload);
        let slug = request.function_slug.clone();
        let target = request.step_id.clone();
        let way = Way {
            transport: Transport::Connect,
            trace: trace_of(&request.user_trace_ctx),
            closing: Some(Arc::clone(&self.closing)),
        };
        let turns = Arc::clone(&self.turns);
        let answer = async move {
            let _turn = turns.acquire().await;
            runner.answer_body(&slug, target, &payload, way).await
        };
        let task = self.tasks.spawn_on(answer, &self.runtime);
        let id = request.request_id.clone();
        self.requests.insert(task.id(), id.clone());
        let call = Call {
            request,
            task,
            held_on: link,
            asked: None,
            orphan_until: None,
        };
        self.by_request.insert(id, call);
    }

    /// Whether this call, which was sent once more, is here already; then its lease is the new one.
    pub(super) fn adopt(&mut self, request: &ExecutorRequest, link: u64) -> bool {
        let Some(call) = self.by_request.get_mut(&request.request_id) else {
            return false;
        };
        call.request.lease_id.clone_from(&request.lease_id);
        call.held_on = link;
        call.asked = None;
        call.orphan_until = None;
        true
    }

    /// What extends all leases.
    pub(super) fn extensions(&mut self) -> impl Iterator<Item = ExtendLease> {
        let held = self
            .by_request
            .values_mut()
            .filter(|call| call.orphan_until.is_none());
        held.map(|call| {
            let request = &call.request;
            call.asked = Some(request.lease_id.clone());
            ExtendLease {
                request_id: request.request_id.clone(),
                account_id: request.account_id.clone(),
                env_id: request.env_id.clone(),
                app_id: request.app_id.clone(),
                function_slug: request.function_slug.clone(),
                step_id: request.step_id.clone(),
                system_trace_ctx: request.system_trace_ctx.clone(),
                user_trace_ctx: request.user_trace_ctx.clone(),
                run_id: request.run_id.clone(),
                lease_id: request.lease_id.clone(),
            }
        })
    }

    /// What the gateway said to an extension. A call whose lease is lost is given up.
    pub(super) fn extended(&mut self, ack: ExtendLeaseAck, link: u64, now: Instant) {
        let Some(call) = self.by_request.get_mut(&ack.request_id) else {
            return;
        };
        match ack.new_lease_id.filter(|id| !id.is_empty()) {
            Some(lease) => {
                call.request.lease_id = lease;
                call.held_on = link;
                call.orphan_until = None;
            }
            // It is about a lease that another has replaced since.
            None if call.asked.as_ref() != Some(&call.request.lease_id) => {}
            None if call.held_on == link => {
                tracing::warn!(
                    request = ack.request_id,
                    run = call.request.run_id,
                    function = call.request.function_slug,
                    "a call's lease is lost: the call is given up"
                );
                self.give_up(&ack.request_id);
            }
            None => {
                call.orphan_until = Some(now + ORPHAN_MAX);
            }
        }
    }

    /// When the first call without a lease is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        let ends = self
            .by_request
            .values()
            .filter_map(|call| call.orphan_until);
        ends.min()
    }

    /// Gives up calls that have been without a lease for too long.
    pub(super) fn give_up_orphans(&mut self, now: Instant) {
        let over: Vec<String> = self
            .by_request
            .iter()
            .filter(|(_, call)| call.orphan_until.is_some_and(|until| until <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            tracing::warn!(
                request = id,
                "the server knows nothing of a call any more: it is given up"
            );
            self.give_up(&id);
        }
    }

    fn give_up(&mut self, request_id: &str) {
        if let Some(call) = self.by_request.remove(request_id) {
            self.requests.remove(&call.task.id());
            call.task.abort();
        }
    }

    /// Gives up all; how many there were.
    pub(super) fn give_up_all(&mut self) -> usize {
        let count = self.by_request.len();
        self.by_request.clear();
        self.requests.clear();
        self.tasks.abort_all();
        count
    }

    /// Waits for the next call that ends; nothing if there is none. Cancelling it loses nothing.
    pub(super) async fn next_ended(&mut self) -> Option<Result<(Id, CallReply), JoinError>> {
        self.tasks.join_next_with_id().await
    }

    /// The reply to a call that has ended; nothing if it was given up.
    pub(super) fn reply(
        &mut self,
        ended: Result<(Id, CallReply), JoinError>,
    ) -> Option<SdkResponse> {
        let (id, reply) = match ended {
            Ok((id, reply)) => (id, reply),
            Err(error) => {
                let body = br#"{"name":"Error","message":"the call was given up by its worker","__serialized":true}"#;
                (error.id(), CallReply::plain(500, body.to_vec()))
            }
        };
        let call = self.by_request.remove(&self.requests.remove(&id)?)?;
        Some(response(call.request, reply))
    }
}

/// Says that this worker has the call.
pub(super) fn ack(request: &ExecutorRequest) -> RequestAck {
    RequestAck {
        request_id: request.request_id.clone(),
        account_id: request.account_id.clone(),
        env_id: request.env_id.clone(),
        app_id: request.app_id.clone(),
        function_slug: request.function_slug.clone(),
        step_id: request.step_id.clone(),
        system_trace_ctx: request.system_trace_ctx.clone(),
        user_trace_ctx: request.user_trace_ctx.clone(),
        run_id: request.run_id.clone(),
    }
}

/// The reply that says so.
pub(super) fn response(request: ExecutorRequest, reply: CallReply) -> SdkResponse {
    let reply = match reply.body.len() > limits::REPLY_BYTES_MAX {
        true => too_large(),
        false => reply,
    };
    let status = match reply.status {
        206 => ResponseStatus::NotCompleted,
        // There is no status for a failure that must not be retried; `no_retry` tells.
        200 | 400 => ResponseStatus::Done,
        _ => ResponseStatus::Error,
    };
    // Flushing insists on JSON.
    let context = |given: Vec<u8>| match given.is_empty() {
        true => b"{}".to_vec(),
        false => given,
    };
    SdkResponse {
        request_id: request.request_id,
        account_id: request.account_id,
        env_id: request.env_id,
        app_id: request.app_id,
        status: status.into(),
        body: reply.body,
        no_retry: reply.no_retry == Some(true),
        retry_after: reply.retry_after,
        sdk_version: crate::SDK.to_owned(),
        request_version: u32::try_from(REQUEST_VERSION).unwrap_or_default(),
        system_trace_ctx: context(request.system_trace_ctx),
        user_trace_ctx: context(request.user_trace_ctx),
        run_id: request.run_id,
    }
}

/// A gateway closes the connection of a worker that sends more; then all its calls would suffer.
fn too_large() -> CallReply {
    let failure = stepwell_protocol::reply::output_too_large();
    CallReply::plain(500, failure.output.get().as_bytes().to_vec())
}

/// The trace of a call, a JSON object of what would be headers. What is none says nothing.
fn trace_of(headers: &[u8]) -> TraceContext {
    let headers: HashMap<String, String> = serde_json::from_slice(headers).unwrap_or_default();
    let text = |name: &str| headers.get(name).map(|value| value.as_str().into());
    TraceContext {
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    }
}
