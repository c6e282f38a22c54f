//! The ledger: what is true by the commits so far, kept apart from engine and store.

mod run;

use crate::plan::cron::Cron;
use crate::plan::flow::{Data, Flow};
use crate::plan::{App, Body, Condition, Function, Variant};
use indexmap::IndexMap;
pub(crate) use run::{Gate, Recorded, Run};
use std::collections::{BTreeMap, HashMap};
use stepwell_engine::{
    Announcement, Answer, BulkCancelRow, Call, CancelRow, Change, Effect, ItemId, ItemKind,
    ItemRow, StepRow, Timestamp,
};
use stepwell_protocol::event::{
    FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED, FUNCTION_INVOKED, SCHEDULED_TIMER,
};
use stepwell_protocol::{BulkCancelId, EventId, FunctionId, RunId, StepId};

/// A decision together with what led to it.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) cause: Cause,
    pub(crate) now: Timestamp,
    /// The latest moment that any engine had seen by then; later than `now` when the clock has gone back.
    pub(crate) latest: Timestamp,
    pub(crate) changes: Vec<Change>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) answer: Option<Answer>,
}

/// What a decision was made of.
#[derive(Debug)]
pub(crate) enum Cause {
    Events(Vec<Sent>),
    Registered {
        app: usize,
        version: usize,
        /// Whether nothing runs by the clock any more.
        quiet: bool,
    },
    Returned {
        item: ItemId,
        generation: u64,
        run: RunId,
        /// What it deferred, and what it called off.
        defers: Vec<(StepId, Option<StepId>)>,
        /// Whether the call came to nothing through no fault of the function, which costs an attempt all the same.
        strained: bool,
    },
    Checkpointed {
        run: RunId,
        item: ItemId,
        /// The dispatch, if it says so.
        generation: Option<u64>,
        steps: Vec<StepId>,
    },
    Announced {
        announcement: Announcement,
        events: Vec<Sent>,
    },
    Cancel(RunId),
    /// Someone wants the runs of a function cancelled in bulk.
    BulkAsked {
        id: BulkCancelId,
        condition: Option<Condition>,
    },
    /// Someone wants that no more.
    BulkDropped,
    /// The next runs that a bulk cancellation ends were found.
    Swept,
    /// Someone wants a function paused, or no longer.
    Paused {
        function: FunctionId,
        paused: bool,
    },
    /// An app reports a run of an endpoint for the first time.
    EdgeStarted {
        app: usize,
        function: usize,
        run: RunId,
        event: Sent,
        /// The steps that ran.
        steps: Vec<StepId>,
    },
    /// It reports more.
    EdgeReported {
        run: RunId,
        steps: Vec<StepId>,
    },
    /// Someone wants a run repeated.
    Repeated(Repeated),
    /// A signal was sent.
    Signal(String),
    /// The past was looked through for a wait.
    LookedBack {
        item: ItemId,
        found: Option<EventId>,
    },
    /// An event went on to more waits.
    Delivered,
    /// The engine checks itself.
    Audit,
    Timers,
    /// The first after a load.
    Resumed,
}

impl Cause {
    /// Whether the events that are written have come in, rather than being written again.
    pub(crate) fn brings_events(&self) -> bool {
        !matches!(self, Self::Repeated(_))
    }
}

/// A run to repeat.
#[derive(Debug)]
pub(crate) struct Repeated {
    /// The first of its repetitions, if it is one.
    pub(crate) original: RunId,
    pub(crate) function: FunctionId,
    /// Steps whose results are taken over.
    pub(crate) kept: Vec<(StepId, String)>,
    /// The step to begin with.
    pub(crate) target: Option<StepId>,
}

/// An event as it reached the engine.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: EventId,
    pub(crate) name: &'static str,
    /// By what it is recognised when it comes again, if it can.
    pub(crate) identity: Option<String>,
    pub(crate) data: Data,
    pub(crate) ts: Timestamp,
    /// When it came in first, by the clock; nothing as long as it has not.
    pub(crate) received: Option<Timestamp>,
}

/// The variants of functions by which new runs were drafted.
pub(crate) type Drafts = HashMap<RunId, usize>;

/// A call in flight, as the engine sees it.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) run: RunId,
}

/// A registered function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) app: usize,
    pub(crate) function: usize,
    /// Its latest variant, also after it was archived.
    pub(crate) variant: usize,
    pub(crate) archived: bool,
    /// Whether nothing runs by the clock any more.
    pub(crate) quiet: bool,
    pub(crate) paused: bool,
}

/// What is committed.
pub(crate) struct Ledger<'s> {
    apps: &'s [App],
    pub(crate) decisions: u64,
    pub(crate) runs: IndexMap<RunId, Run>,
    pub(crate) events: HashMap<EventId, Sent>,
    pub(crate) functions: BTreeMap<FunctionId, Known>,
    pub(crate) in_flight: IndexMap<(ItemId, u64), InFlight>,
    pub(crate) items: BTreeMap<ItemId, ItemRow>,
    /// The engine's listeners of events that cancel runs.
    pub(crate) cancels: BTreeMap<ItemId, CancelRow>,
    /// Ends of runs that are to be announced.
    pub(crate) announcements: BTreeMap<ItemId, RunId>,
    /// The bulk cancellations, each as it stands and with its condition.
    pub(crate) bulks: BTreeMap<BulkCancelId, (BulkCancelRow, Option<Condition>)>,
}

impl<'s> Ledger<'s> {
    pub(crate) fn new(apps: &'s [App]) -> Self {
        Self {
            apps,
            decisions: 0,
            runs: IndexMap::new(),
            events: HashMap::new(),
            functions: BTreeMap::new(),
            in_flight: IndexMap::new(),
            items: BTreeMap::new(),
            cancels: BTreeMap::new(),
            announcements: BTreeMap::new(),
            bulks: BTreeMap::new(),
        }
    }

    pub(crate) fn function(&self, id: FunctionId) -> Option<&'s Function> {
        let known = self.functions.get(&id)?;
        Some(&self.apps[known.app].functions[known.function])
    }

    pub(crate) fn variant(&self, id: FunctionId) -> Option<&'s Variant> {
        let known = self.functions.get(&id)?;
        self.function(id)
            .map(|function| &function.variants[known.variant])
    }

    pub(crate) fn flow(&self, id: FunctionId) -> Option<&'s Flow> {
        self.variant(id).map(|variant| &variant.flow)
    }

    pub(crate) fn is_paused(&self, id: FunctionId) -> bool {
        self.functions.get(&id).is_some_and(|known| known.paused)
    }

    /// Whether a function answers by a program.
    pub(crate) fn is_honest(&self, id: FunctionId) -> bool {
        let function = self.function(id);
        function.is_some_and(|function| matches!(function.body, Body::Program(_)))
    }

    /// How people call a run.
    pub(crate) fn name_of(&self, run: RunId) -> String {
        match self.runs.get(&run) {
            Some(facts) => format!("run {} ({})", facts.number, self.title(facts.function)),
            None => format!("an unknown run {run}"),
        }
    }

    pub(crate) fn title(&self, function: FunctionId) -> String {
        match self.functions.get(&function) {
            Some(known) => {
                let app = &self.apps[known.app];
                format!("{}-{}", app.name, app.functions[known.function].slug)
            }
            None => format!("an unknown function {function}"),
        }
    }

    /// When a function runs by the clock.
    pub(crate) fn crons(&self, id: FunctionId) -> &'s [Cron] {
        match (self.functions.get(&id), self.variant(id)) {
            (Some(known), Some(variant)) if !known.archived && !known.quiet => &variant.crons,
            _ => &[],
        }
    }

    /// Whether a function has triggers that announcements of ends may meet.
    pub(crate) fn hears_of_ends(&self, function: FunctionId) -> bool {
        let variant = self.variant(function);
        variant.is_some_and(|variant| {
            let mut triggers = variant.triggers.iter();
            triggers.any(|trigger| {
                let ends = [FUNCTION_FINISHED, FUNCTION_FAILED, FUNCTION_CANCELLED];
                ends.into_iter().any(|name| trigger.covers(name))
            })
        })
    }

    /// The functions that an event of this name and data starts, by their triggers.
    pub(crate) fn listeners(&self, name: &str, data: Data) -> Vec<FunctionId> {
        let active = self.functions.iter().filter(|(_, known)| !known.archived);
        active
            .filter(|(id, _)| {
                self.variant(**id).is_some_and(|variant| {
                    variant
                        .triggers
                        .iter()
                        .any(|trigger| trigger.starts(name, data))
                })
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether a function has a trigger of this name, whatever its condition.
    pub(crate) fn heard(&self, name: &str) -> bool {
        let active = self.functions.iter().filter(|(_, known)| !known.archived);
        active
            .filter_map(|(id, _)| self.variant(*id))
            .any(|variant| variant.triggers.iter().any(|trigger| trigger.covers(name)))
    }

    /// Takes in what was sent and registered, before what followed from it is looked at.
    pub(crate) fn take_cause(&mut self, decided: &Decided) {
        self.decisions += 1;
        if decided.cause.brings_events() {
            self.take_made_events(decided);
        }
        match &decided.cause {
            Cause::Events(events) | Cause::Announced { events, .. } => {
                for event in events {
                    self.events.entry(event.id).or_insert_with(|| event.clone());
                }
            }
            Cause::Registered {
                app,
                version,
                quiet,
            } => self.register(*app, *version, *quiet),
            Cause::Returned {
                item,
                generation,
                run,
                strained,
                ..
            } => {
                let known = self.in_flight.shift_remove(&(*item, *generation));
                if let (Some(_), true, Some(run)) = (known, *strained, self.runs.get_mut(run)) {
                    run.strain += 1;
                }
            }
            Cause::Paused { function, paused } => {
                let known = self.functions.get_mut(function);
                if let (Some(known), Some(Answer::Paused(true))) = (known, &decided.answer) {
                    known.paused = *paused;
                }
            }
            Cause::EdgeStarted {
                app,
                function,
                event,
                ..
            } => {
                if let Some(Answer::EndpointStarted(Ok(_))) = decided.answer {
                    self.events.entry(event.id).or_insert_with(|| event.clone());
                    let known = Known {
                        app: *app,
                        function: *function,
                        variant: 0,
                        archived: false,
                        quiet: false,
                        paused: false,
                    };
                    let id = self.apps[*app].functions[*function].id;
                    self.functions.insert(id, known);
                }
            }
            Cause::EdgeReported { .. }
            | Cause::Checkpointed { .. }
            | Cause::Cancel(_)
            | Cause::BulkAsked { .. }
            | Cause::BulkDropped
            | Cause::Swept
            | Cause::Repeated(_)
            | Cause::Signal(_)
            | Cause::LookedBack { .. }
            | Cause::Delivered
            | Cause::Audit
            | Cause::Timers
            | Cause::Resumed => {}
        }
    }

    /// Takes in the events that the engine makes itself.
    fn take_made_events(&mut self, decided: &Decided) {
        for change in &decided.changes {
            let Change::EventPut(row) = change else {
                continue;
            };
            if row.name == SCHEDULED_TIMER {
                let ts_ms = u64::try_from(row.ts_ms).unwrap_or_default();
                let sent = Sent {
                    id: row.id,
                    name: SCHEDULED_TIMER,
                    identity: Some(format!("cron {}", row.external_id)),
                    data: Data::default(),
                    ts: Timestamp::from_ms(ts_ms),
                    received: Some(decided.now),
                };
                self.events.insert(row.id, sent);
            }
            if row.name == FUNCTION_INVOKED {
                let body: serde_json::Value =
                    serde_json::from_str(row.body.get()).unwrap_or_default();
                let number = |key: &str| body["data"][key].as_u64().unwrap_or_default();
                let sent = Sent {
                    id: row.id,
                    name: FUNCTION_INVOKED,
                    identity: None,
                    data: Data {
                        user: number("u"),
                        number: number("n"),
                    },
                    ts: decided.now,
                    received: Some(decided.now),
                };
                self.events.insert(row.id, sent);
            }
        }
    }

    fn register(&mut self, app: usize, version: usize, quiet: bool) {
        let plan = &self.apps[app];
        let variants = &plan.versions[version].variants;
        for (number, (function, variant)) in plan.functions.iter().zip(variants).enumerate() {
            match (variant, self.functions.get_mut(&function.id)) {
                (Some(variant), known) => {
                    let paused = known.is_some_and(|known| known.paused);
                    let known = Known {
                        app,
                        function: number,
                        variant: *variant,
                        archived: false,
                        quiet,
                        paused,
                    };
                    self.functions.insert(function.id, known);
                }
                (None, Some(known)) => known.archived = true,
                (None, None) => {}
            }
        }
    }

    /// Takes in the runs that a decision makes and defers, before what becomes of them in it is looked at.
    pub(crate) fn take_runs(&mut self, decided: &Decided, drafts: &Drafts) {
        for change in &decided.changes {
            if let Change::DeferPut(row) = change
                && let Some(run) = self.runs.get_mut(&row.run)
            {
                run.defers.insert(row.step.clone(), row.status);
            }
            if let Change::RunPut(row) = change {
                let draft = drafts.get(&row.id).copied();
                let variant = self.functions.get(&row.function).and_then(|known| {
                    let variants = &self.apps[known.app].functions[known.function].variants;
                    variants.get(draft.unwrap_or(known.variant))
                });
                let data = self.events.get(&row.events[0]).map(|sent| sent.data);
                let mut run = Run::new(self.runs.len() + 1, row, variant, data.unwrap_or_default());
                run.delayed = decided.changes.iter().any(|change| {
                    matches!(change, Change::ItemPut(item) if item.run == row.id && item.due > row.queued_at)
                });
                run.started = matches!(decided.cause, Cause::EdgeStarted { .. });
                run.resumes = matches!(&decided.cause, Cause::Repeated(of) if of.target.is_some());
                self.runs.insert(row.id, run);
            }
        }
    }

    /// Takes in what else a decision changes.
    pub(crate) fn apply(&mut self, decided: &Decided) {
        for change in &decided.changes {
            match change {
                Change::EventPut(row) => {
                    if let Some(sent) = self.events.get_mut(&row.id) {
                        sent.received.get_or_insert(row.received_at);
                    }
                }
                Change::RunProgress(row) => {
                    if let Some(run) = self.runs.get_mut(&row.id) {
                        run.started_at = row.started_at;
                    }
                }
                Change::StepPut(row) => self.put_step(row),
                Change::RunEnd(end) => {
                    if let Some(run) = self.runs.get_mut(&end.id) {
                        run.ended = Some(end.status);
                        run.ended_at = Some(end.ended_at);
                    }
                }
                Change::ItemPut(row) if row.kind == ItemKind::Announce => {
                    self.announcements.insert(row.id, row.run);
                }
                Change::ItemPut(row) => {
                    self.items.insert(row.id, (**row).clone());
                }
                Change::BulkCancelPut(row) => {
                    let condition = match &decided.cause {
                        Cause::BulkAsked { id, condition } if *id == row.id => *condition,
                        _ => self
                            .bulks
                            .get(&row.id)
                            .and_then(|(_, condition)| *condition),
                    };
                    self.bulks.insert(row.id, ((**row).clone(), condition));
                }
                Change::BulkCancelDelete(id) => {
                    self.bulks.remove(id);
                }
                Change::CancelPut(row) => {
                    self.cancels.insert(row.id, (**row).clone());
                }
                Change::CancelDelete(id) => {
                    self.cancels.remove(id);
                }
                Change::ItemDelete(id) => {
                    self.items.remove(id);
                    self.announcements.remove(id);
                }
                _ => {}
            }
        }
    }

    /// Takes in what a decision calls.
    pub(crate) fn apply_calls(&mut self, decided: &Decided) {
        for effect in &decided.effects {
            if let Effect::Call(call) = effect {
                self.call(call);
            }
        }
    }

    fn put_step(&mut self, row: &StepRow) {
        let decision = self.decisions;
        if let Some(run) = self.runs.get_mut(&row.run) {
            let value = row.value.get().to_owned();
            run.steps
                .insert(row.step.clone(), Recorded { decision, value });
        }
    }

    fn call(&mut self, call: &Call) {
        if let Some(run) = self.runs.get_mut(&call.run) {
            run.started = true;
        }
        let in_flight = InFlight { run: call.run };
        self.in_flight
            .insert((call.item, call.generation), in_flight);
    }

    /// The engine is another one: it knows of no calls in flight.
    pub(crate) fn forget_calls(&mut self) {
        self.in_flight.clear();
    }
}

/// Whether an event of this name tells of a run's end: the ends of the runs that it starts are not told again.
pub(crate) fn tells_of_an_end(name: &str) -> bool {
    matches!(
        name,
        FUNCTION_FINISHED | FUNCTION_FAILED | FUNCTION_CANCELLED
    )
}
