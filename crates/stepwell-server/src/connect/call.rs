//! A call of a function that a worker has: finds the worker, sends the call, waits for its reply.

use super::Gateway;
use super::leases::{Leased, State};
use super::switchboard::Placement;
use crate::routes::{ACCOUNT, ENVIRONMENT};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use stepwell_protocol::connect::{ExecutorRequest, Frame, FrameKind, SdkResponse};
use stepwell_protocol::reply::RawReply;
use stepwell_protocol::{AppId, RunId, limits};
use stepwell_runtime::{CallError, Invocation, Invoker};
use tokio::time::{Instant, timeout_at};
use ulid::Ulid;

/// Workers that a call is sent to, one after the other, when they do not take it.
const WORKERS_MAX: usize = 3;
/// How often a call that waits for room looks again even though nobody told it to.
const LOOK: Duration = Duration::from_millis(250);

/// Calls functions of workers.
#[derive(Debug)]
pub(super) struct ConnectInvoker(pub(super) Gateway);

impl Invoker for ConnectInvoker {
    fn call(&self, mut invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let gateway = self.0.clone();
        Box::pin(async move {
            let id = request_id(&invocation);
            invocation.request.ctx.request_id = id.clone();
            let call = Call {
                payload: invocation.request.to_json(),
                id,
                invocation,
                gateway,
            };
            let reply = call.make().await?;
            if reply.body.len() > limits::REPLY_BYTES_MAX {
                return Err(CallError::TooLarge);
            }
            Ok(reply.into_raw_reply())
        })
    }
}

/// The id of a call: of what it asks for, so that one which is made again, perhaps by the next process, has the same, and
/// a reply to the one is a reply to the other.
fn request_id(invocation: &Invocation) -> String {
    let request = &invocation.request;
    let ctx = &request.ctx;
    let mut hasher = Sha256::new();
    for part in [
        ctx.qi_id.as_str(),
        &ctx.step_id,
        &ctx.attempt.to_string(),
        &ctx.stack.current.to_string(),
        &ctx.disable_immediate_execution.to_string(),
        &request.version.to_string(),
    ] {
        hasher.update(part);
        hasher.update([0]);
    }
    for step in &ctx.stack.stack {
        hasher.update(step.to_string());
        hasher.update([0]);
    }
    let hash = hasher.finalize();
    let mut random = [0; 16];
    random[6..].copy_from_slice(&hash[..10]);
    Ulid::from_parts(invocation.run.timestamp_ms(), u128::from_be_bytes(random)).to_string()
}

struct Call {
    id: String,
    payload: Vec<u8>,
    invocation: Invocation,
    gateway: Gateway,
}

/// What became of a call that a worker was sent.
enum Sent {
    Answered(Box<SdkResponse>),
    NotTaken,
    Lost,
    Superseded,
}

impl Call {
    async fn make(&self) -> Result<Box<SdkResponse>, CallError> {
        let mut tried = Vec::new();
        let mut place_in_line = None;
        let patience = Instant::now() + self.gateway.times().room;
        loop {
            if self.gateway.is_closing() {
                return Err(CallError::NotMade);
            }
            let placement = self.gateway.switchboard().place(
                &self.id,
                self.invocation.request.ctx.fn_id,
                self.payload.len(),
                &tried,
                place_in_line.is_some(),
                Instant::now(),
            );
            match placement {
                Placement::Answered(reply) => return Ok(reply),
                Placement::Placed(leased, outbox, app_name) => {
                    place_in_line = None;
                    let worker = leased.worker;
                    let frame = self.frame(&leased, app_name);
                    let leased = Held {
                        leased,
                        gateway: &self.gateway,
                    };
                    if outbox.try_send(&frame).is_err() {
                        return Err(CallError::NotMade);
                    }
                    drop(frame);
                    match leased.outcome().await {
                        Sent::Answered(reply) => return Ok(reply),
                        Sent::Superseded => return Err(CallError::NotMade),
                        Sent::Lost => {
                            return Err(CallError::Carrier {
                                name: "connect_worker_stopped_responding",
                                message: "Worker stopped responding".to_owned(),
                            });
                        }
                        Sent::NotTaken => {
                            tracing::debug!(run = %self.invocation.run, %worker, "a worker did not take a call");
                            tried.push(worker);
                            if tried.len() == WORKERS_MAX {
                                return Err(not_taken(tried.len()));
                            }
                        }
                    }
                }
                Placement::Full(app) => {
                    let place = match &place_in_line {
                        Some(place) => place,
                        None => match InLine::at(&self.gateway, app, self.invocation.run) {
                            Some(place) => place_in_line.insert(place),
                            None => return Err(self.turned_away(app)),
                        },
                    };
                    if Instant::now() >= patience {
                        return Err(self.turned_away(app));
                    }
                    place.wait(patience).await;
                }
                Placement::Awaited => return Err(CallError::NotMade),
                Placement::Nobody if !tried.is_empty() => return Err(not_taken(tried.len())),
                Placement::Nobody => {
                    return Err(CallError::Carrier {
                        name: "connect_no_healthy_connection",
                        message: "Could not find a healthy connection".to_owned(),
                    });
                }
            }
        }
    }

    /// The call goes back to the queue, and comes again at its time.
    fn turned_away(&self, app: AppId) -> CallError {
        let mut switchboard = self.gateway.switchboard();
        let (now, run) = (Instant::now(), self.invocation.run);
        let wait = switchboard.lines.turn_away(app, now);
        switchboard.shortage.turn_away(run, app, now + wait, now);
        tracing::debug!(run = %self.invocation.run, ?wait, "All workers are at capacity");
        CallError::NotFor(wait)
    }

    fn frame(&self, leased: &Leased, app_name: String) -> Frame {
        let ctx = &self.invocation.request.ctx;
        let trace: BTreeMap<_, _> = self.invocation.trace_headers().into();
        let trace = serde_json::to_vec(&trace).expect("a map of texts is JSON");
        let request = ExecutorRequest {
            request_id: self.id.clone(),
            account_id: ACCOUNT.to_owned(),
            env_id: ENVIRONMENT.to_owned(),
            app_id: AppId::of(&app_name).to_string(),
            app_name,
            function_id: ctx.fn_id.to_string(),
            function_slug: self.invocation.slug.to_string(),
            step_id: Some(ctx.step_id.clone()),
            request_payload: self.payload.clone(),
            system_trace_ctx: b"{}".to_vec(),
            user_trace_ctx: trace,
            run_id: self.invocation.run.to_string(),
            lease_id: leased.id.to_string(),
            job_id: ctx.job_id.clone(),
        };
        Frame::of(FrameKind::GatewayExecutorRequest, &request)
    }
}

fn not_taken(workers: usize) -> CallError {
    CallError::Carrier {
        name: "connect_worker_request_not_acknowledged",
        message: format!("The call was sent to {workers} worker(s), and none took it"),
    }
}

/// A lease that is given back when the call is given up.
struct Held<'g> {
    leased: Leased,
    gateway: &'g Gateway,
}

impl Held<'_> {
    async fn outcome(mut self) -> Sent {
        loop {
            let state = self.gateway.switchboard().state(
                &self.leased.request,
                self.leased.serial,
                Instant::now(),
            );
            let until = match state {
                State::Until(until) => until,
                State::NotTaken => return Sent::NotTaken,
                State::Lost => return Sent::Lost,
                State::Over => {
                    return match self.leased.reply.try_recv() {
                        Ok(reply) => Sent::Answered(reply),
                        Err(_) => Sent::Superseded,
                    };
                }
            };
            tokio::select! {
                biased;
                reply = &mut self.leased.reply => match reply {
                    Ok(reply) => return Sent::Answered(reply),
                    Err(_) => return Sent::Superseded,
                },
                () = self.leased.sooner.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gateway
            .switchboard()
            .release(&self.leased.request, self.leased.serial);
    }
}

/// A place in the line of calls that wait for room.
struct InLine<'g> {
    gateway: &'g Gateway,
    app: AppId,
    run: RunId,
    room: std::sync::Arc<tokio::sync::Notify>,
}

impl<'g> InLine<'g> {
    fn at(gateway: &'g Gateway, app: AppId, run: RunId) -> Option<Self> {
        let mut switchboard = gateway.switchboard();
        let room = switchboard.lines.enter(app, Instant::now())?;
        switchboard.shortage.enter(run, app);
        Some(Self {
            gateway,
            app,
            run,
            room,
        })
    }

    /// Waits until there may be room, at most until then.
    async fn wait(&self, until: Instant) {
        // Being told and not being told in time lead to the same: another look.
        drop(timeout_at(until.min(Instant::now() + LOOK), self.room.notified()).await);
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut switchboard = self.gateway.switchboard();
        switchboard.lines.leave(self.app);
        switchboard.shortage.leave(self.run);
    }
}
