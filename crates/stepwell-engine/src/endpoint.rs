//! Durable endpoints: an app executes an HTTP handler by itself and reports the run as it goes.
//!
//! While the app executes the handler, the run waits for the next report: its item ([`ItemKind::Endpoint`]) is due when
//! nothing has been heard for [`SILENCE_MS`]. As soon as the app reports what it cannot go on from by itself — a sleep, a
//! wait, parallel steps, a failed attempt —, or is silent for so long, the run goes on as any other. Its calls are the
//! request that started it, made again.

use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::{Keys, hash};
use crate::function::{ConfigError, Function};
use crate::handler_failure;
use crate::input::Ask;
use crate::item::ItemState;
use crate::lifecycle::{Recorded, StepEnd};
use crate::origin::Origin;
use crate::reply::Returned;
use crate::schedule::Draft;
use crate::{
    AppRow, Change, IdSource, ItemId, ItemKind, NewEvent, ReportedOp, RunRow, RunStatus,
    StepDetail, Timestamp,
};
use hashbrown::HashMap;
use smallvec::smallvec;
use std::sync::Arc;
use stepwell_protocol::config::{FunctionConfig, Retries, Runtime, StepConfig};
use stepwell_protocol::endpoint::SHARED_SLUG;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{AppId, FunctionId, RunId, limits};

/// How long an app may be silent before the run goes on without it: longer than nearly all steps and all but a few HTTP
/// requests take, so that a step is rarely executed twice at once; short enough that a run whose app was killed is not
/// forgotten by whoever waits for it.
const SILENCE_MS: u64 = 10 * 60 * 1_000;
/// Endpoints of one app that have a function each. Others share one: paths may hold ids, and there is no end of those.
const ENDPOINTS_PER_APP_MAX: usize = 1_000;
/// Apps that endpoints have brought. Their names come from requests, whose senders may make them up.
const APPS_MAX: usize = 1_000;
/// How old a run's id may be when the run is first reported, and how far ahead of our clock, in milliseconds. Together
/// they are the day for which ids are remembered: of one outside, nobody could tell whether it was reported before.
const ID_AGE_MS_MAX: u64 = 23 * 60 * 60 * 1_000;
const ID_AHEAD_MS_MAX: u64 = 60 * 60 * 1_000;
/// The type in a function's configuration that marks an endpoint.
pub(crate) const RUNTIME: &str = "api";

/// The first report of an endpoint's run.
#[derive(Debug, Clone)]
pub struct EndpointStart {
    /// The run; its app chose the id.
    pub run: RunId,
    /// The app, if it is not known yet. Its `synced_at` is set by the engine.
    pub app: AppRow,
    /// The endpoint: [`Function::of_endpoint`].
    pub function: Function,
    /// The request.
    pub event: NewEvent,
    /// The request version that the SDK speaks; -1 when it does not say.
    pub request_version: i32,
    /// What was done so far.
    pub steps: Vec<ReportedOp>,
}

/// A run that an endpoint has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStarted {
    /// Its function.
    pub function: FunctionId,
    /// What became of the steps that were reported with it.
    pub steps: Result<(), EndpointError>,
}

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The run has been reported before.
    #[error("Run already exists")]
    Exists,
    /// The run's id tells a time more than 23 hours ago, or more than one ahead.
    #[error(
        "the run's id tells a time that is over 23 hours ago, or over one ahead: are the clocks of app and server right?"
    )]
    Untimely,
    /// An app of this name has registered a function of this name.
    #[error("the app has registered a function of the endpoint's name")]
    Taken,
    /// There are [`APPS_MAX`] apps already.
    #[error(
        "endpoints of {APPS_MAX} domains are known, which is the limit; is every Host header let through?"
    )]
    TooManyApps,
    /// The run has ended, or never was.
    #[error("run not found in state store")]
    NoRun,
    /// The run is an ordinary function's.
    #[error("the run is not an endpoint's")]
    NotAnEndpoint,
    /// One step's value is over [`limits::STEP_OUTPUT_BYTES_MAX`]; the other steps are recorded.
    #[error("step output size is greater than the limit")]
    OutputTooLarge,
    /// The run's values are over [`limits::RUN_STATE_BYTES_MAX`], or its steps over the limit; it has failed.
    #[error("the run's state is greater than the limit")]
    StateTooLarge,
}

/// How many endpoints each app has.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(HashMap<AppId, usize>);

impl Endpoints {
    pub(crate) fn count(&mut self, app: AppId) {
        *self.0.entry(app).or_default() += 1;
    }
}

impl Function {
    /// The function of an endpoint of the app at `domain`.
    ///
    /// # Errors
    /// What is wrong with the domain or the public id.
    pub fn of_endpoint(
        domain: &str,
        slug: &str,
        retries: Option<u32>,
    ) -> Result<Self, Vec<ConfigError>> {
        let step = StepConfig {
            id: "step".to_owned(),
            name: slug.to_owned(),
            runtime: Runtime {
                kind: RUNTIME.to_owned(),
                url: domain.to_owned(),
            },
            retries: retries.map(|attempts| Retries { attempts }),
        };
        let config = FunctionConfig {
            id: slug.to_owned(),
            name: slug.to_owned(),
            steps: [("step".to_owned(), step)].into(),
            ..FunctionConfig::default()
        };
        Self::compile(AppId::of(domain), &config, 0)
    }
}

impl Engine {
    /// Takes in a run that its app has begun to execute.
    pub(crate) fn start_endpoint(
        &mut self,
        start: EndpointStart,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Result<EndpointStarted, EndpointError> {
        let id = start.run;
        let key = hash(&[b"endpoint", &id.to_bytes()]);
        if self.runs.contains_key(&id) || self.window.get(key, now).is_some() {
            return Err(EndpointError::Exists);
        }
        let made = Timestamp::from_ms(id.timestamp_ms());
        if made.after_ms(ID_AGE_MS_MAX) < now || made > now.after_ms(ID_AHEAD_MS_MAX) {
            return Err(EndpointError::Untimely);
        }
        let function = self.endpoint(start.app, start.function, now, out)?;
        let draft = Draft {
            events: smallvec![start.event.id],
            dedupe_key: Some(key),
            announces: true,
            keys: Keys::default(),
            listeners: Vec::new(),
            origin: Origin::default(),
            starts_ms: now.ms(),
        };
        self.receive_event(start.event, None, now, ids, out);
        let (mut run, _) = self.put_run(&function, id, draft, now, out);
        run.status = run
            .status
            .go(RunStatus::Running)
            .expect("a new run can start");
        run.started_at = Some(now);
        run.request_version = start.request_version;
        out.changes
            .push(Change::RunProgress(Box::new(run.progress(id))));
        let since = RunRow::key_since(id, now);
        self.window.insert(key, Some(id), since, now, out);
        self.runs.insert(id, Box::new(run));
        self.runs_running += 1;
        self.audit_ring.push_back(id);
        let due = now.after_ms(SILENCE_MS);
        self.add_item(id, ItemKind::Endpoint, due, now, out);
        self.bulk_cancels.meet(function.id, id);
        let steps = self.report_endpoint(id, start.steps, now, ids, out);
        Ok(EndpointStarted {
            function: function.id,
            steps,
        })
    }

    /// The function of an endpoint, which is made when it is not known as it is, and so is its app.
    fn endpoint(
        &mut self,
        app: AppRow,
        mut function: Function,
        now: Timestamp,
        out: &mut Decision,
    ) -> Result<Arc<Function>, EndpointError> {
        if !self.functions.contains_key(&function.id) {
            match self.endpoints.0.get(&app.id) {
                None if self.endpoints.0.len() >= APPS_MAX => {
                    return Err(EndpointError::TooManyApps);
                }
                Some(count) if *count >= ENDPOINTS_PER_APP_MAX => {
                    let retries = Some(function.attempts_max - 1);
                    function = Function::of_endpoint(&app.name, SHARED_SLUG, retries)
                        .expect("the app's other endpoints compiled");
                }
                _ => {}
            }
        }
        self.note_app(app, now, out);
        match self.functions.get(&function.id) {
            Some(known) if !known.endpoint => return Err(EndpointError::Taken),
            Some(known) if known.config == function.config && !known.archived => {
                return Ok(Arc::clone(known));
            }
            Some(known) => {
                function.version = known.version + 1;
                function.paused = known.paused;
                function.bounds = known.bounds;
            }
            None => self.endpoints.count(function.app),
        }
        out.changes.push(Change::FunctionPut(function.row()));
        let function = Arc::new(function);
        self.functions.insert(function.id, Arc::clone(&function));
        Ok(function)
    }

    /// Writes an app down that is new or has another SDK. One that has registered says itself what it is.
    fn note_app(&mut self, app: AppRow, now: Timestamp, out: &mut Decision) {
        let known = self.apps.get(&app.id);
        if known.is_some_and(|known| !known.checksum.is_empty() || known.sdk == app.sdk) {
            return;
        }
        let app = AppRow {
            synced_at: now,
            ..app
        };
        out.changes.push(Change::AppPut(app.clone()));
        self.apps.insert(app.id, app);
    }

    /// An app reports more of a run that it executes.
    pub(crate) fn report_endpoint(
        &mut self,
        id: RunId,
        steps: Vec<ReportedOp>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Result<(), EndpointError> {
        let run = self.runs.get(&id).ok_or(EndpointError::NoRun)?;
        if !self.functions[&run.function].endpoint {
            return Err(EndpointError::NotAnEndpoint);
        }
        let mut items = run.items.iter().copied();
        let waiting = items.find(|item| self.items[item].row.kind == ItemKind::Endpoint);
        let Some(item) = waiting else {
            // The run went on without the app, or the app handed it over and says so again.
            return self.report_late(id, steps, now, out);
        };
        let since = Timestamp::from_ms(self.items[&item].row.due.ms().saturating_sub(SILENCE_MS));
        if !steps.iter().all(stays_with_the_app) {
            return self.hand_over(id, item, steps, since, now, ids, out);
        }
        self.wait_anew(item, now, out);
        self.record_reported(id, steps, since, now, out)
    }

    /// Gives the app its time for the next report.
    fn wait_anew(&mut self, item: ItemId, now: Timestamp, out: &mut Decision) {
        let row = &mut self.items.get_mut(&item).expect("it waits").row;
        let (old, due) = (row.due, now.after_ms(SILENCE_MS));
        if old == due {
            return;
        }
        row.due = due;
        out.changes.push(Change::ItemPut(Box::new(row.clone())));
        self.timers.remove(&(old, Timer::Item(item)));
        self.timers.insert((due, Timer::Item(item)));
    }

    /// The app has come to where it cannot go on by itself: what it reports is dealt with as a call's answer.
    #[expect(clippy::too_many_arguments, reason = "the parts of one report")]
    fn hand_over(
        &mut self,
        id: RunId,
        item: ItemId,
        mut steps: Vec<ReportedOp>,
        since: Timestamp,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Result<(), EndpointError> {
        let generation = self.next_generation();
        self.take_off_the_timer(item);
        let found = self.items.get_mut(&item).expect("it was just there");
        found.row.kind = ItemKind::Discovery(None);
        found.state = ItemState::InFlight {
            generation,
            since,
            steps_ended: 0,
        };
        let mut returned = Returned {
            item,
            run: id,
            kind: ItemKind::Discovery(None),
            attempt: 0,
            failures_of: None,
            queued_at: since,
            since,
            // Whatever has ended by now is news to the first call.
            steps_ended: 0,
            retry_after: None,
            no_retry: false,
        };
        let Some(failed) = handler_failure::take(&mut steps) else {
            self.ops_reported(&mut returned, steps, now, ids, out);
            return Ok(());
        };
        let recorded = self.record_reported(id, steps, since, now, out);
        if self.runs.contains_key(&id) {
            returned.no_retry = failed.no_retry;
            self.attempt_failed(&returned, failed.failure, now, ids, out);
        }
        recorded
    }

    /// What is still of use in a report when the run is no longer the app's: results, and the end.
    fn report_late(
        &mut self,
        id: RunId,
        mut steps: Vec<ReportedOp>,
        now: Timestamp,
        out: &mut Decision,
    ) -> Result<(), EndpointError> {
        let ends = |op: &ReportedOp| matches!(op.op, Opcode::RunComplete | Opcode::SyncRunComplete);
        let end = steps.iter().position(ends).map(|at| steps.remove(at));
        let items = self.runs[&id].items.len();
        let recorded = self.record_reported(id, steps, now, now, out);
        let Some(run) = self.runs.get(&id) else {
            return recorded;
        };
        if let Some(end) = end {
            let output = crate::reply::result_of(end);
            self.end_run(id, RunStatus::Completed, Some(output), now, out);
        } else if run.items.len() < items && (run.pending.is_empty() || run.items.is_empty()) {
            // A planned step has ended that a call would have gone on from.
            self.allow_immediate(id, out);
            self.add_discovery(id, None, now, out);
        }
        recorded
    }

    /// Records the steps that have run, and passes over what is not one.
    fn record_reported(
        &mut self,
        id: RunId,
        steps: Vec<ReportedOp>,
        since: Timestamp,
        now: Timestamp,
        out: &mut Decision,
    ) -> Result<(), EndpointError> {
        let mut result = Ok(());
        for op in steps {
            match op.ask {
                Ask::Defer(deferral) => {
                    self.add_defer(id, op.step, *deferral, out);
                    continue;
                }
                Ask::AbortDefer(target) => {
                    self.abort_defer(id, &target, out);
                    continue;
                }
                _ if !matches!(op.op, Opcode::StepRun | Opcode::Step) => continue,
                _ => {}
            }
            let value = op.value.unwrap_or_else(crate::reply::no_data);
            if value.get().len() > limits::STEP_OUTPUT_BYTES_MAX {
                result = Err(EndpointError::OutputTooLarge);
                continue;
            }
            // By the app's clock. What it did before its first report began before the run was known.
            let started_at = op.started_at.unwrap_or(since).min(now);
            let end = StepEnd {
                step: op.step,
                op: op.op.as_str(),
                name: op.title,
                value,
                failed: false,
                attempt: 0,
                queued_at: started_at,
                started_at,
                detail: StepDetail::of_run(op.kind).map(|detail| detail.encode()),
                failures_of: None,
                metadata: op.metadata,
            };
            match self.record_step(id, end, now, out) {
                Recorded::First | Recorded::Repeated => {}
                Recorded::TooMany => {
                    self.fail_for_steps(id, now, out);
                    return Err(EndpointError::StateTooLarge);
                }
                Recorded::TooLarge => {
                    self.fail_for_state(id, now, out);
                    return Err(EndpointError::StateTooLarge);
                }
            }
        }
        result
    }
}

/// Whether the app goes on by itself after reporting this.
fn stays_with_the_app(op: &ReportedOp) -> bool {
    matches!(
        op.op,
        Opcode::StepRun | Opcode::Step | Opcode::None | Opcode::DeferAdd | Opcode::DeferAbort
    )
}

#[cfg(test)]
mod tests;
