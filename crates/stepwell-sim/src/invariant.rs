//! What must be true, whatever happens: one promise a file.

mod announcements;
mod answers;
mod arrivals;
mod audit;
mod bulk;
mod concurrency;
mod counts;
mod cutoffs;
mod defers;
mod effects;
mod ends;
mod fates;
mod gathered;
mod gcra;
mod groups;
mod idle;
mod late;
mod loads;
mod memory;
mod order;
mod pauses;
mod prunes;
mod repetitions;
mod singletons;
mod spans;
mod stalls;
mod steps;
mod throttle;
mod ticks;
mod times;
mod waits;

use crate::ledger::{Decided, Ledger};
pub(crate) use idle::Resting;
use std::fmt;
use stepwell_engine::{Call, CatchUp, Config, Effect, Engine, Snapshot, Timestamp};
use stepwell_protocol::{SharedJson, StepId};
use stepwell_store::Reader;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one: the name of its file, or `panic`.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.what)
    }
}

/// Names the promise that a text is about.
pub(crate) fn broken(invariant: &'static str) -> impl FnOnce(String) -> Violation {
    move |what| Violation { invariant, what }
}

/// The promises that remember what has been.
#[derive(Default)]
pub(crate) struct Watch {
    arrivals: arrivals::Arrivals,
    executions: steps::Executions,
    order: order::Line,
    places: singletons::Places,
    throttle: throttle::Starts,
    ticks: ticks::Ticks,
    catch_up: CatchUp,
}

impl Watch {
    /// One for an engine that makes up for missed ticks so.
    pub(crate) fn new(catch_up: CatchUp) -> Self {
        Self {
            catch_up,
            ..Self::default()
        }
    }

    /// A decision, as it was made.
    pub(crate) fn decided(
        &self,
        engine: &Engine,
        ledger: &Ledger<'_>,
        decided: &Decided,
        stopping: bool,
    ) -> Result<(), Violation> {
        audit::check(decided).map_err(broken("audit"))?;
        counts::check(engine).map_err(broken("counts"))?;
        stalls::check(engine, ledger, stopping).map_err(broken("stalls"))
    }

    /// A decision, once it is committed, before its effects are carried out.
    pub(crate) fn committed(
        &mut self,
        ledger: &mut Ledger<'_>,
        decided: &Decided,
    ) -> Result<(), Violation> {
        late::check(ledger, decided).map_err(broken("late"))?;
        pauses::check(ledger, decided).map_err(broken("pauses"))?;
        ledger.take_cause(decided);
        pauses::check_calls(ledger, decided).map_err(broken("pauses"))?;
        let ticks = self
            .ticks
            .check(ledger, decided, self.catch_up)
            .map_err(broken("ticks"))?;
        let drafts = self
            .arrivals
            .check(ledger, decided, &ticks)
            .map_err(broken("arrivals"))?;
        ledger.take_runs(decided, &drafts);
        self.places
            .check(ledger, decided)
            .map_err(broken("singletons"))?;
        ends::check(ledger, decided).map_err(broken("ends"))?;
        steps::check(ledger, decided).map_err(broken("steps"))?;
        defers::check(ledger, decided).map_err(broken("defers"))?;
        announcements::check(ledger, decided).map_err(broken("announcements"))?;
        answers::check_before(ledger, decided).map_err(broken("answers"))?;
        times::check(ledger, decided).map_err(broken("times"))?;
        waits::check(ledger, decided).map_err(broken("waits"))?;
        cutoffs::check(ledger, decided).map_err(broken("cutoffs"))?;
        ledger.apply(decided);
        waits::check_after(ledger, &self.arrivals).map_err(broken("waits"))?;
        defers::check_after(ledger, decided).map_err(broken("defers"))?;
        bulk::check(ledger, decided).map_err(broken("bulk"))?;
        repetitions::check(ledger, decided).map_err(broken("repetitions"))?;
        times::check_calls(ledger, decided).map_err(broken("times"))?;
        answers::check_after(ledger, decided).map_err(broken("answers"))?;
        steps::check_targets(ledger, decided).map_err(broken("steps"))?;
        groups::check(ledger, decided).map_err(broken("groups"))?;
        self.order.check(ledger, decided).map_err(broken("order"))?;
        ledger.apply_calls(decided);
        concurrency::check(ledger, decided).map_err(broken("concurrency"))?;
        self.throttle
            .check(ledger, decided)
            .map_err(broken("throttle"))?;
        Ok(())
    }

    /// A batch, once it is committed: what the store holds, and what the engine was when it handed the batch over;
    /// `latest` is the latest moment that the clock has shown since.
    pub(crate) fn stored(
        &self,
        ledger: &Ledger<'_>,
        stored: &Snapshot,
        resting: &Resting<'_>,
        latest: Timestamp,
    ) -> Result<(), Violation> {
        loads::check(ledger, stored, resting.snapshot, latest).map_err(broken("loads"))?;
        concurrency::check_count(ledger, resting).map_err(broken("concurrency"))?;
        self.arrivals
            .check_times(ledger, resting)
            .map_err(broken("arrivals"))?;
        self.ticks
            .check_times(ledger, resting)
            .map_err(broken("ticks"))?;
        cutoffs::check_times(ledger, resting).map_err(broken("cutoffs"))?;
        idle::check(ledger, &self.throttle, resting).map_err(broken("idle"))
    }

    /// Rows that an engine is loaded from.
    pub(crate) fn loaded(
        &self,
        stored: &Snapshot,
        config: &Config,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<(), Violation> {
        loads::check_load(stored, config, now, latest).map_err(broken("loads"))
    }

    /// An answer that leaves for whoever asked.
    pub(crate) fn answered(
        &self,
        ledger: &Ledger<'_>,
        reader: &dyn Reader,
        decided: &Decided,
    ) -> Result<(), Violation> {
        answers::check(ledger, reader, decided).map_err(broken("answers"))?;
        spans::check(reader, decided).map_err(broken("spans"))
    }

    /// An effect that is carried out.
    pub(crate) fn released(
        &self,
        ledger: &Ledger<'_>,
        reader: &dyn Reader,
        stored: &Snapshot,
        effect: &Effect,
    ) -> Result<(), Violation> {
        effects::check(ledger, reader, stored, effect).map_err(broken("effects"))
    }

    /// A call goes out with these steps.
    pub(crate) fn called(
        &self,
        ledger: &Ledger<'_>,
        call: &Call,
        steps: &[(StepId, SharedJson)],
    ) -> Result<(), Violation> {
        steps::check_call(ledger, call, steps).map_err(broken("steps"))
    }

    /// An app executes a step.
    pub(crate) fn executed(
        &mut self,
        ledger: &Ledger<'_>,
        call: &Call,
        decision: u64,
        step: &StepId,
    ) -> Result<(), Violation> {
        steps::check_execution(ledger, call, decision, step).map_err(broken("steps"))?;
        self.executions
            .check(ledger, call, step)
            .map_err(broken("steps"))
    }

    /// What was over before a moment has been pruned from the store; what it held of the living before and holds now.
    pub(crate) fn pruned(
        &self,
        ledger: &mut Ledger<'_>,
        reader: &dyn Reader,
        living: (&Snapshot, &Snapshot),
        before: Timestamp,
    ) -> Result<(), Violation> {
        prunes::check(ledger, reader, living, before).map_err(broken("prunes"))
    }

    /// Everything is over.
    pub(crate) fn at_rest(
        &self,
        ledger: &Ledger<'_>,
        engine: &Engine,
        reader: &dyn Reader,
    ) -> Result<(), Violation> {
        fates::check(ledger, engine, reader).map_err(broken("fates"))?;
        bulk::check_done(ledger).map_err(broken("bulk"))?;
        steps::check_kept(ledger, reader).map_err(broken("steps"))?;
        memory::check(ledger, engine).map_err(broken("memory"))
    }
}
