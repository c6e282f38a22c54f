//! The world of a simulation: what happens next, until everything is over.

mod bulk;
mod decider;
mod edge;
mod past;
mod process;
mod prune;
mod repeat;
mod senders;
mod traffic;

use crate::app::{Answer, Visit};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::faults::{CallFault, CheckpointFault, CommitFault, Fault, Strike};
use crate::invariant::{Violation, Watch, broken};
use crate::ledger::Ledger;
use crate::report::Story;
use crate::scenario::{Act, Scenario};
use crate::store::FaultyStore;
pub(crate) use bulk::BulkCancel;
use decider::Batch;
use senders::Letter;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use stepwell_engine::{Announcement, Backoff, Call, Config, Engine, IdSource, ItemId, ReportedOp};
use stepwell_protocol::{FunctionId, RunId};

/// Turns in which everything must be over: far more than any scenario takes that goes on at all.
const TURNS_MAX: u64 = 20_000;

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that was broken first, if one was.
    pub violation: Option<Violation>,
    /// What happened, if the story was to be kept.
    pub story: Story,
    /// How much happened.
    pub tally: Tally,
}

/// How much happened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Runs that were made.
    pub runs: u64,
    /// Calls that the engine asked for.
    pub calls: u64,
    /// Batches that were handed over.
    pub commits: u64,
    /// Deaths of the process.
    pub crashes: u64,
    /// Commits that failed.
    pub refusals: u64,
    /// A hash of every change and effect, if the story was kept: two histories that differ anywhere differ here.
    pub digest: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.refusals += other.refusals;
        self.digest ^= other.digest;
    }
}

/// Plays a scenario to its end, or until it breaks a promise. A panic is a broken promise, too.
#[must_use]
pub fn run(scenario: &Scenario, story: Story) -> Outcome {
    keep_panics_quiet();
    let mut tally = Tally::default();
    let mut told = story;
    PANIC.set(Some(String::new()));
    let played = catch_unwind(AssertUnwindSafe(|| play(scenario, &mut told, &mut tally)));
    let panicked = PANIC.take();
    let violation = match played {
        Ok(result) => result.err(),
        Err(_) => Some(broken("panic")(panicked.unwrap_or_default())),
    };
    Outcome {
        violation,
        story: told,
        tally,
    }
}

thread_local! {
    /// What a panic said, while a scenario is played.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic in a scenario is told as its outcome, not on the way.
fn keep_panics_quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let playing = PANIC.with_borrow_mut(|said| match said {
                Some(said) => {
                    *said = info.to_string();
                    true
                }
                None => false,
            });
            if !playing {
                usual(info);
            }
        }));
    });
}

fn play(scenario: &Scenario, story: &mut Story, tally: &mut Tally) -> Result<(), Violation> {
    let store = FaultyStore::open(scenario.store)
        .map_err(|error| broken("simulation")(format!("no store to play with: {error}")))?;
    let mut world = World::new(scenario, store, std::mem::take(story));
    let result = world.play();
    *tally = world.tally;
    tally.runs = world.ledger.runs.len() as u64;
    *story = std::mem::take(&mut world.story);
    result
}

/// Something that is going to happen.
enum Happening {
    /// The script says so.
    Entry(usize),
    /// A letter arrives.
    Letter(usize),
    /// An app registers, perhaps not for the first time.
    Register {
        app: usize,
        version: usize,
    },
    /// A call leaves.
    CallOut {
        call: Box<Call>,
        nth: u64,
        decision: u64,
        engine: u64,
    },
    /// An app does the next thing in a visit.
    Visit(u64),
    Checkpoint(Report),
    Reply {
        item: ItemId,
        generation: u64,
        run: RunId,
        answer: Box<Answer>,
        strained: bool,
        engine: u64,
    },
    /// The events of a run's end are ready.
    Announced {
        announcement: Announcement,
        life: u64,
    },
    /// The store is asked about the past.
    Past {
        asked: past::Asked,
        life: u64,
    },
    /// The store is done with the batch.
    Written {
        engine: u64,
    },
    /// The store is asked whether it takes writes again.
    Probe {
        engine: u64,
    },
    /// The process starts.
    Start,
    /// Someone wants a function paused, or no longer.
    Pause {
        function: FunctionId,
        paused: bool,
    },
    /// An app reports what it has done of a request.
    EdgeReport(Box<edge::EdgeReport>),
    Strike(Strike),
    /// A process that is stopping has waited long enough.
    PatienceOver {
        life: u64,
    },
    /// From here on all goes well.
    Calm,
}

/// A checkpoint on its way.
#[derive(Clone)]
struct Report {
    visit: Option<u64>,
    run: RunId,
    item: ItemId,
    generation: Option<u64>,
    steps: Vec<ReportedOp>,
    tries: u32,
}

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Up,
    /// It waits for the store to take writes again.
    Recovering,
    Down,
}

struct World<'s> {
    scenario: &'s Scenario,
    story: Story,
    tally: Tally,
    clock: Clock,
    config: Config,
    store: FaultyStore,
    ledger: Ledger<'s>,
    watch: Watch,
    agenda: BTreeMap<(u64, u64), Happening>,
    agenda_last: u64,
    phase: Phase,
    /// No new calls: the process is stopping.
    draining: bool,
    /// From here on all goes well.
    calm: bool,
    engine: Engine,
    ids: IdSource,
    /// How many processes there were before.
    life: u64,
    /// How many engines there were before.
    engines: u64,
    batch: Batch,
    writing: Option<(Batch, Option<CommitFault>)>,
    /// How many commits, calls and checkpoints there were.
    commits: u64,
    calls: u64,
    checkpoints: u64,
    values: u64,
    letters: Vec<Letter>,
    visits: BTreeMap<u64, Visiting<'s>>,
    /// Calls that were asked for, and are to be given up before they leave.
    given_up: BTreeSet<(ItemId, u64)>,
    /// Whether a call of the engine at hand will never return.
    lost_calls: bool,
}

/// A visit and what the world knows about it.
struct Visiting<'s> {
    visit: Visit<'s>,
    nth: u64,
    /// The number of the decision that asked for it.
    decision: u64,
    engine: u64,
    /// The checkpoint that it waits for.
    waits_for: Option<Report>,
    fault: Option<CallFault>,
    /// Nobody waits for its answer any more.
    given_up: bool,
    /// The request, if its app executes it by itself.
    edge: Option<edge::Edge>,
}

impl<'s> World<'s> {
    fn new(scenario: &'s Scenario, store: FaultyStore, story: Story) -> Self {
        let config = Config {
            calls_max: scenario.calls_max,
            backoff: scenario
                .backoff_ms
                .map_or(Backoff::Table, Backoff::Constant),
            catch_up: scenario.catch_up,
        };
        let clock = Clock::new();
        Self {
            engine: Engine::new(config.clone(), clock.wall()),
            config,
            clock,
            store,
            story,
            tally: Tally::default(),
            ledger: Ledger::new(&scenario.apps),
            watch: Watch::new(scenario.catch_up),
            agenda: BTreeMap::new(),
            agenda_last: 0,
            phase: Phase::Up,
            draining: false,
            calm: false,
            ids: IdSource::from_seed(scenario.seed),
            life: 0,
            engines: 0,
            batch: Batch::default(),
            writing: None,
            commits: 0,
            calls: 0,
            checkpoints: 0,
            values: 0,
            letters: Vec::new(),
            visits: BTreeMap::new(),
            given_up: BTreeSet::new(),
            lost_calls: false,
            scenario,
        }
    }

    fn play(&mut self) -> Result<(), Violation> {
        let mut calm_at = self.scenario.span_ms;
        for (number, entry) in self.scenario.script.iter().enumerate() {
            self.at(entry.at_ms, Happening::Entry(number));
            calm_at = calm_at.max(entry.at_ms);
        }
        for fault in &self.scenario.faults {
            if let Fault::At { ms, what } = fault {
                self.at(*ms, Happening::Strike(*what));
                calm_at = calm_at.max(*ms);
            }
        }
        self.at(calm_at + 1, Happening::Calm);
        for _ in 0..TURNS_MAX {
            if !self.turn()? {
                self.audit()?;
                return self
                    .watch
                    .at_rest(&self.ledger, &self.engine, self.store.reader());
            }
        }
        Err(broken("liveness")(format!(
            "after {TURNS_MAX} turns it still goes on: {} runs are unfinished, {} calls in flight",
            self.engine.runs_unfinished(),
            self.engine.calls_in_flight()
        )))
    }

    /// Lets happen whatever happens next; `false` when nothing ever will.
    fn turn(&mut self) -> Result<bool, Violation> {
        let next = self.agenda.first_key_value().map(|((at_ms, _), _)| *at_ms);
        let due = self
            .engine
            .next_due()
            .filter(|_| self.phase == Phase::Up)
            .map(|due| self.clock.passed_at(due));
        let Some(at_ms) = next.into_iter().chain(due).min() else {
            return Ok(false);
        };
        self.clock.pass_until(at_ms);
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > self.clock.passed_ms() {
                break;
            }
            let happening = entry.remove();
            self.happen(happening)?;
        }
        self.let_time_pass()?;
        self.hand_over();
        self.stop_if_drained();
        Ok(true)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Entry(number) => self.act(&self.scenario.script[number].act),
            Happening::Letter(letter) => self.letter_arrives(letter),
            Happening::Register { app, version } => self.register(app, version),
            Happening::CallOut {
                call,
                nth,
                decision,
                engine,
            } => self.call_out(*call, nth, decision, engine),
            Happening::Visit(nth) => self.visit(nth),
            Happening::Checkpoint(report) => self.checkpoint_arrives(report),
            Happening::Reply {
                item,
                generation,
                run,
                answer,
                strained,
                engine,
            } => self.reply_arrives((item, generation, run), *answer, strained, engine),
            Happening::Announced { announcement, life } => self.announced(announcement, life),
            Happening::Past { asked, life } => self.past_answers(asked, life),
            Happening::Written { engine } if engine == self.engines => self.written(),
            Happening::Probe { engine } if engine == self.engines => self.probe(),
            Happening::Written { .. } | Happening::Probe { .. } => Ok(()),
            Happening::Start => self.start(),
            Happening::Pause { function, paused } => self.pause(function, paused),
            Happening::EdgeReport(report) => self.edge_report_arrives(*report),
            Happening::Strike(strike) => self.strike(strike),
            Happening::PatienceOver { life } => {
                if self.draining && life == self.life {
                    self.tell(|| "patience is over: the process ends".to_owned());
                    self.die(1);
                }
                Ok(())
            }
            Happening::Calm => self.calm_down(),
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), Violation> {
        match act {
            Act::Send(events) => {
                self.letters.push(Letter::new(events));
                self.letter_arrives(self.letters.len() - 1)
            }
            Act::Register { app, version } => self.register(*app, *version),
            Act::Cancel { which } => self.cancel(*which),
            Act::CancelInBulk(bulk) => self.cancel_in_bulk(*bulk),
            Act::DropBulk { which } => self.drop_bulk_cancel(*which),
            Act::Signal { signal } => self.signal(*signal),
            Act::Pause { function, paused } => self.pause(*function, *paused),
            Act::Repeat { which, from } => self.repeat(*which, *from),
            Act::Prune { older_ms, rows_max } => self.prune(*older_ms, *rows_max),
            Act::Request {
                app,
                function,
                data,
            } => self.request(*app, *function, *data),
            Act::Audit => self.audit(),
            Act::Stop { patience_ms } => {
                self.stop(*patience_ms);
                Ok(())
            }
        }
    }

    fn at(&mut self, at_ms: u64, happening: Happening) {
        self.agenda_last += 1;
        self.agenda.insert((at_ms, self.agenda_last), happening);
    }

    fn after(&mut self, ms: u64, happening: Happening) {
        self.at(self.clock.passed_ms() + ms, happening);
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.add(self.clock.passed_ms(), line);
    }

    /// Chances that depend on nothing but what they are for.
    fn dice(&self, purpose: &str, numbers: &[u64]) -> Dice {
        Dice::of(self.scenario.seed, purpose, numbers)
    }

    fn commit_fault(&self, nth: u64) -> Option<CommitFault> {
        self.fault(|fault| match fault {
            Fault::Commit { nth: at, what } if *at == nth => Some(*what),
            _ => None,
        })
    }

    fn call_fault(&self, nth: u64) -> Option<CallFault> {
        self.fault(|fault| match fault {
            Fault::Call { nth: at, what } if *at == nth => Some(*what),
            _ => None,
        })
    }

    fn checkpoint_fault(&self, nth: u64) -> Option<CheckpointFault> {
        self.fault(|fault| match fault {
            Fault::Checkpoint { nth: at, what } if *at == nth => Some(*what),
            _ => None,
        })
    }

    fn fault<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        if self.calm {
            return None;
        }
        self.scenario.faults.iter().find_map(pick)
    }

    fn calm_down(&mut self) -> Result<(), Violation> {
        self.tell(|| "from here on all goes well".to_owned());
        self.calm = true;
        // Nothing but the end of its process gives up a call that never returns.
        if self.lost_calls && self.phase != Phase::Down {
            self.die(1);
        }
        if self.scenario.pauses() {
            let of_all = self.scenario.apps.iter().flat_map(|app| &app.functions);
            for function in of_all {
                self.pause(function.id, false)?;
            }
        }
        for (app, plan) in self.scenario.apps.iter().enumerate() {
            // Nothing runs by the clock any more, which would go on without end.
            if plan.ticks() {
                self.register(app, 0)?;
            }
        }
        Ok(())
    }
}
