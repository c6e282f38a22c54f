//! Deciding, committing, releasing: the runtime's decider and committer, in one thread.

use super::edge::EdgeReport;
use super::past::Asked;
use super::{Happening, Phase, World};
use crate::faults::CommitFault;
use crate::invariant::{Resting, Violation, broken};
use crate::ledger::{Cause, Decided};
use std::hash::{DefaultHasher, Hash, Hasher};
use stepwell_engine::{Answer, Change, Decision, Effect, Input, Snapshot, Timestamp};
use stepwell_protocol::FunctionId;

/// How often a store that refuses writes is asked again.
const PROBE_EVERY_MS: u64 = 1_000;

/// Who waits for an answer.
pub(super) enum Asker {
    Nobody,
    Letter(usize),
    Visit(u64),
    /// An app that executes an endpoint by itself.
    Edge(Box<EdgeReport>),
    /// Someone who pauses a function, or lets it go on.
    Pauser {
        function: FunctionId,
        paused: bool,
    },
    /// An app that registers.
    App {
        app: usize,
        version: usize,
    },
}

/// Decisions that are written together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) decisions: Vec<(Decided, Asker)>,
    handed_over: Option<HandedOver>,
}

/// What the engine was when it handed a batch over.
struct HandedOver {
    snapshot: Snapshot,
    now: Timestamp,
    latest: Timestamp,
    next_due: Option<Timestamp>,
    calls_in_flight: usize,
    stopping: bool,
}

impl World<'_> {
    pub(super) fn decide(
        &mut self,
        input: Input,
        cause: Cause,
        asker: Asker,
    ) -> Result<(), Violation> {
        let now = self.clock.wall();
        let mut decision = Decision::default();
        self.engine.handle(input, now, &mut self.ids, &mut decision);
        self.gather(decision, cause, asker)
    }

    /// Has the engine check itself.
    pub(super) fn audit(&mut self) -> Result<(), Violation> {
        if self.phase != Phase::Up {
            return Ok(());
        }
        self.decide(Input::Audit, Cause::Audit, Asker::Nobody)
    }

    pub(super) fn resume(&mut self) -> Result<(), Violation> {
        let mut decision = Decision::default();
        self.engine
            .resume(self.clock.wall(), &mut self.ids, &mut decision);
        self.gather(decision, Cause::Resumed, Asker::Nobody)
    }

    fn gather(&mut self, decision: Decision, cause: Cause, asker: Asker) -> Result<(), Violation> {
        let now = self.clock.wall();
        let decided = Decided {
            cause,
            now,
            latest: self.clock.latest(),
            changes: decision.changes,
            effects: decision.effects,
            answer: decision.answer,
        };
        let paused = self.ledger.functions.values().any(|known| known.paused);
        let may_pause = self.scenario.pauses() && !self.calm;
        let calls_not = self.draining || paused || may_pause;
        self.watch
            .decided(&self.engine, &self.ledger, &decided, calls_not)?;
        self.batch.decisions.push((decided, asker));
        Ok(())
    }

    pub(super) fn let_time_pass(&mut self) -> Result<(), Violation> {
        let now = self.clock.wall();
        let due = self.engine.next_due().is_some_and(|due| due <= now);
        if self.phase == Phase::Up && due {
            self.decide(Input::TimersDue, Cause::Timers, Asker::Nobody)?;
        }
        Ok(())
    }

    /// Gives the batch to the store, if that is free.
    pub(super) fn hand_over(&mut self) {
        if self.writing.is_some() || self.phase != Phase::Up || self.batch.decisions.is_empty() {
            return;
        }
        let nth = self.commits;
        self.commits += 1;
        self.tally.commits += 1;
        let fault = self.commit_fault(nth);
        let most = self.scenario.commit_ms_max;
        let mut ms = self.dice("commit", &[nth]).between(0, most);
        if let Some(CommitFault::Slow { ms: more }) = fault {
            ms += more;
        }
        let now = self.clock.wall();
        let mut batch = std::mem::take(&mut self.batch);
        batch.handed_over = Some(HandedOver {
            snapshot: self.engine.snapshot(now),
            now,
            latest: self.clock.latest(),
            next_due: self.engine.next_due(),
            calls_in_flight: self.engine.calls_in_flight(),
            stopping: self.draining,
        });
        if self.story.is_kept() {
            self.tell_of(nth, &batch, ms);
        }
        self.writing = Some((batch, fault));
        let engine = self.engines;
        self.after(ms, Happening::Written { engine });
    }

    fn tell_of(&mut self, nth: u64, batch: &Batch, ms: u64) {
        let mut hasher = DefaultHasher::new();
        self.tally.digest.hash(&mut hasher);
        for (decided, _) in &batch.decisions {
            format!("{:?}{:?}", decided.changes, decided.effects).hash(&mut hasher);
        }
        self.tally.digest = hasher.finish();
        let decisions = batch.decisions.len();
        let (mut changes, mut effects) = (0, 0);
        for (decided, _) in &batch.decisions {
            changes += decided.changes.len();
            effects += decided.effects.len();
        }
        self.tell(|| {
            format!("commit {nth} begins, for {ms} ms: {decisions} decisions, {changes} changes, {effects} effects")
        });
    }

    /// The store is done with the batch, one way or another.
    pub(super) fn written(&mut self) -> Result<(), Violation> {
        let Some((batch, fault)) = &self.writing else {
            return Ok(());
        };
        match *fault {
            Some(CommitFault::Fails { probes }) => {
                self.store.refuse(probes);
                if self.store.commit(&changes_of(batch)).is_ok() {
                    return Err(broken("store")("it took what it was to refuse".to_owned()));
                }
                self.commit_fails();
                Ok(())
            }
            Some(CommitFault::CrashBefore { down_ms }) => {
                self.tell(|| "the process dies before the commit".to_owned());
                self.die(down_ms);
                Ok(())
            }
            Some(CommitFault::CrashAfter { down_ms }) => {
                self.write()?;
                self.tell(|| "the process dies right after the commit".to_owned());
                self.die(down_ms);
                Ok(())
            }
            Some(CommitFault::Slow { .. }) | None => {
                if let Some((batch, stored)) = self.write()? {
                    self.release(batch, &stored)?;
                }
                Ok(())
            }
        }
    }

    /// Writes the batch at hand and looks at what is stored now.
    pub(super) fn write(&mut self) -> Result<Option<(Batch, Snapshot)>, Violation> {
        let Some((batch, _)) = self.writing.take() else {
            return Ok(None);
        };
        self.store
            .commit(&changes_of(&batch))
            .map_err(|error| broken("store")(format!("a batch was refused: {error}")))?;
        for (decided, _) in &batch.decisions {
            self.watch.committed(&mut self.ledger, decided)?;
            if self.story.is_kept() {
                self.tell_changes(decided);
            }
        }
        let Some(engine) = &batch.handed_over else {
            return Ok(None);
        };
        let stored = self.load(engine.now)?;
        let resting = Resting {
            snapshot: &engine.snapshot,
            now: engine.now,
            latest: engine.latest,
            next_due: engine.next_due,
            calls_in_flight: engine.calls_in_flight,
            calls_max: self.config.calls_max,
            stopping: engine.stopping,
        };
        let latest = self.clock.latest();
        self.watch.stored(&self.ledger, &stored, &resting, latest)?;
        Ok(Some((batch, stored)))
    }

    fn tell_changes(&mut self, decided: &Decided) {
        for change in &decided.changes {
            let line = match change {
                Change::RunPut(row) => {
                    format!(
                        "  {} is scheduled by event {}",
                        self.ledger.name_of(row.id),
                        row.events[0]
                    )
                }
                Change::RunEnd(end) => {
                    format!("  {} is {}", self.ledger.name_of(end.id), end.status)
                }
                Change::StepPut(row) => format!(
                    "  {} has its step '{}' recorded{}",
                    self.ledger.name_of(row.run),
                    row.name,
                    if row.failed { ", as failed" } else { "" }
                ),
                Change::AttemptPut(row) => format!(
                    "  {} has {} in attempt {} of {}",
                    self.ledger.name_of(row.run),
                    match row.error {
                        Some(_) => "failed",
                        None => "been cut short",
                    },
                    row.attempt,
                    row.step
                        .as_ref()
                        .map_or("itself".to_owned(), |_| format!("step '{}'", row.name))
                ),
                _ => continue,
            };
            self.tell(|| line);
        }
    }

    /// Rows as they are stored.
    pub(super) fn load(&mut self, now: Timestamp) -> Result<Snapshot, Violation> {
        self.store
            .load(now)
            .map_err(|error| broken("store")(format!("its rows cannot be read: {error}")))
    }

    /// Lets the answers and effects of a batch out.
    fn release(&mut self, batch: Batch, stored: &Snapshot) -> Result<(), Violation> {
        let first = self.ledger.decisions - batch.decisions.len() as u64;
        for (decided, asker) in &batch.decisions {
            self.watch
                .answered(&self.ledger, self.store.reader(), decided)?;
            match asker {
                Asker::Nobody | Asker::Pauser { .. } | Asker::App { .. } => {}
                Asker::Edge(report) => self.edge_answered(report, decided.answer.as_ref()),
                Asker::Letter(letter) => self.letter_answered(*letter),
                Asker::Visit(visit) => {
                    let accepted = decided.answer == Some(Answer::Checkpointed(Ok(())));
                    self.checkpoint_answered(*visit, accepted);
                }
            }
        }
        for (number, (decided, _)) in batch.decisions.into_iter().enumerate() {
            for effect in decided.effects {
                self.watch
                    .released(&self.ledger, self.store.reader(), stored, &effect)?;
                match effect {
                    Effect::Call(call) => self.call(call, first + number as u64 + 1),
                    Effect::Announce(announcement) => self.announce(announcement),
                    Effect::GiveUp { item, generation } => self.give_up(item, generation),
                    Effect::LookBack(look) => self.ask_the_past(Asked::LookBack(look)),
                    Effect::Deliver(delivery) => self.ask_the_past(Asked::Delivery(delivery)),
                    Effect::Sweep(sweep) => self.ask_the_past(Asked::Sweep(sweep)),
                    other => {
                        let what = format!("no function here asks for {other:?}");
                        return Err(broken("effects")(what));
                    }
                }
            }
        }
        Ok(())
    }

    /// Nothing that was decided since the last commit is true.
    fn commit_fails(&mut self) {
        self.tell(|| {
            "the commit fails: what was decided since the last one is forgotten".to_owned()
        });
        self.tally.refusals += 1;
        self.phase = Phase::Recovering;
        self.forget_undecided();
        let engine = self.engines;
        self.after(PROBE_EVERY_MS, Happening::Probe { engine });
    }

    pub(super) fn probe(&mut self) -> Result<(), Violation> {
        if self.store.probe().is_err() {
            let engine = self.engines;
            self.after(PROBE_EVERY_MS, Happening::Probe { engine });
            return Ok(());
        }
        self.tell(|| "the store takes writes again".to_owned());
        self.reload(true)
    }
}

fn changes_of(batch: &Batch) -> Vec<Change> {
    let decisions = batch.decisions.iter();
    decisions
        .flat_map(|(decided, _)| decided.changes.iter().cloned())
        .collect()
}
