//! Scenarios: everything that a seed decides before anything happens.

use crate::dice::Dice;
use crate::faults::{self, Fault};
use crate::plan::flow::Data;
use crate::plan::{self, App, Condition};
use crate::world::BulkCancel;
use stepwell_engine::CatchUp;
use stepwell_protocol::FunctionId;

/// Lengths of scripts, in milliseconds: from what happens at once to what takes days, which is where windows end.
const SPANS_MS: [u64; 5] = [
    2_000,
    60_000,
    10 * 60_000,
    4 * 60 * 60_000,
    2 * 24 * 60 * 60_000,
];
/// Entries of one script.
const ENTRIES_MAX: u64 = 24;

/// What a simulation plays.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed it was drawn from, and from which delays are drawn while it is played.
    pub seed: u64,
    /// Where the rows are.
    pub store: StoreKind,
    pub(crate) span_ms: u64,
    pub(crate) calls_max: usize,
    /// A constant delay between attempts; without one, the table's.
    pub(crate) backoff_ms: Option<u64>,
    pub(crate) catch_up: CatchUp,
    /// How long a commit takes at most when nothing is wrong.
    pub(crate) commit_ms_max: u64,
    /// How long an app takes for anything at most when nothing is wrong.
    pub(crate) latency_ms_max: u64,
    pub(crate) apps: Vec<App>,
    pub(crate) script: Vec<Entry>,
    pub(crate) faults: Vec<Fault>,
}

/// Which store a simulation writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The one in memory.
    Memory,
    /// A file, closed and opened again at every crash.
    Sqlite,
}

/// Something from outside, at a time.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at_ms: u64,
    pub(crate) act: Act,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Someone sends events in one request.
    Send(Vec<Sending>),
    /// An app registers.
    Register { app: usize, version: usize },
    /// Someone cancels a run: one of those there are.
    Cancel { which: u64 },
    /// Someone cancels the runs of a function in bulk.
    CancelInBulk(BulkCancel),
    /// Someone takes a bulk cancellation back: one of those there are.
    DropBulk { which: u64 },
    /// Someone sends a signal: one of those that functions wait for.
    Signal { signal: u64 },
    /// Someone repeats a run: one of those there are, perhaps from a step on.
    Repeat { which: u64, from: Option<u64> },
    /// What was over so long ago is pruned, so many rows at a time.
    Prune { older_ms: u64, rows_max: usize },
    /// A request comes to an endpoint.
    Request {
        app: usize,
        function: usize,
        data: Data,
    },
    /// Someone pauses a function, or lets it go on.
    Pause { function: FunctionId, paused: bool },
    /// The engine checks itself.
    Audit,
    /// The process is stopped and started again: it waits so long for calls in flight.
    Stop { patience_ms: u64 },
}

/// An event to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) name: &'static str,
    pub(crate) identity: Identity,
    pub(crate) data: Data,
    /// How far in the future it says it happens.
    pub(crate) later_ms: u64,
}

/// By what an event that comes again is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// By nothing.
    None,
    /// By its sender's id.
    External(u64),
    /// By its internal id, which the request's seed gives.
    Seeded(u64),
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::of(seed, "scenario", &[]);
        let span_ms = dice.pick(&SPANS_MS);
        let store = if dice.chance(4) {
            StoreKind::Sqlite
        } else {
            StoreKind::Memory
        };
        let mut apps = plan::apps(&mut Dice::of(seed, "apps", &[]), span_ms);
        // A seed uses some of these; with all of them in each, nothing would get far.
        let mut swarm = Dice::of(seed, "swarm", &[]);
        if swarm.chance(65) {
            plan::wait::add(&mut Dice::of(seed, "waits", &[]), &mut apps, span_ms);
        }
        if swarm.chance(35) {
            plan::cutoff::add(&mut Dice::of(seed, "cutoffs", &[]), &mut apps, span_ms);
        }
        if swarm.chance(25) {
            plan::flow::add_singletons(&mut Dice::of(seed, "singletons", &[]), &mut apps);
        }
        if swarm.chance(25) {
            plan::gather::add(&mut Dice::of(seed, "gathering", &[]), &mut apps, span_ms);
        }
        if swarm.chance(20) {
            plan::cron::add(&mut Dice::of(seed, "crons", &[]), &mut apps, span_ms);
        }
        if swarm.chance(20) {
            plan::defer::add(&mut Dice::of(seed, "defers", &[]), &mut apps);
        }
        let mut script = script(&mut Dice::of(seed, "script", &[]), &apps, span_ms);
        if swarm.chance(25) {
            pauses(
                &mut Dice::of(seed, "pauses", &[]),
                &apps,
                span_ms,
                &mut script,
            );
        }
        if swarm.chance(25) {
            repeats(&mut Dice::of(seed, "repeats", &[]), span_ms, &mut script);
        }
        if swarm.chance(25) {
            let mut dice = Dice::of(seed, "edge", &[]);
            apps.push(plan::edge::app(&mut dice, span_ms));
            requests(&mut dice, &apps, span_ms, &mut script);
        }
        if swarm.chance(25) {
            prunes(&mut Dice::of(seed, "prunes", &[]), span_ms, &mut script);
        }
        let mut bulk = Dice::of(seed, "bulk", &[]);
        if bulk.chance(20) {
            bulk_cancels(&mut bulk, &apps, span_ms, &mut script);
        }
        let faults = faults::draw(&mut Dice::of(seed, "faults", &[]), span_ms);
        Self {
            seed,
            store,
            span_ms,
            calls_max: dice.pick(&[1, 2, 5, 100]),
            backoff_ms: if dice.chance(50) {
                Some(dice.pick(&[0, 10, 1_000, 30_000]))
            } else {
                None
            },
            catch_up: swarm.pick(&[CatchUp::One, CatchUp::One, CatchUp::Skip]),
            commit_ms_max: dice.pick(&[0, 3, 50]),
            latency_ms_max: dice.pick(&[0, 20, span_ms / 50, span_ms / 5]),
            apps,
            script,
            faults,
        }
    }
}

fn script(dice: &mut Dice, apps: &[App], span_ms: u64) -> Vec<Entry> {
    let mut script: Vec<Entry> = (0..apps.len())
        .map(|app| Entry {
            at_ms: 0,
            act: Act::Register { app, version: 0 },
        })
        .collect();
    let most = dice.pick(&[3, 10, ENTRIES_MAX]);
    let mut at_ms = 1;
    for _ in 0..dice.between(1, most) {
        // Now and then several things happen at the same moment.
        if dice.chance(75) {
            at_ms += dice.below(2 * span_ms / most);
        }
        let act = act(dice, apps, span_ms);
        script.push(Entry { at_ms, act });
    }
    script
}

/// Someone pauses functions, and may let them go on.
fn pauses(dice: &mut Dice, apps: &[App], span_ms: u64, script: &mut Vec<Entry>) {
    let functions: Vec<FunctionId> = apps
        .iter()
        .flat_map(|app| app.functions.iter().map(|function| function.id))
        .collect();
    for _ in 0..dice.between(1, 8) {
        let function = dice.pick(&functions);
        let paused = dice.chance(70);
        script.push(Entry {
            at_ms: dice.below(span_ms),
            act: Act::Pause { function, paused },
        });
    }
}

/// Someone repeats runs.
fn repeats(dice: &mut Dice, span_ms: u64, script: &mut Vec<Entry>) {
    for _ in 0..dice.between(1, 5) {
        let which = dice.below(1_000);
        let from = dice.chance(60).then(|| dice.below(1_000));
        script.push(Entry {
            at_ms: dice.below(span_ms),
            act: Act::Repeat { which, from },
        });
    }
}

/// Requests come to the endpoints of the last app.
fn requests(dice: &mut Dice, apps: &[App], span_ms: u64, script: &mut Vec<Entry>) {
    let app = apps.len() - 1;
    for _ in 0..dice.between(1, 6) {
        let act = Act::Request {
            app,
            function: dice.index(apps[app].functions.len()),
            data: Data {
                user: dice.below(3),
                number: dice.below(10),
            },
        };
        let at_ms = dice.below(span_ms);
        script.push(Entry { at_ms, act });
    }
}

/// Someone cancels runs in bulk, and may take it back.
fn bulk_cancels(dice: &mut Dice, apps: &[App], span_ms: u64, script: &mut Vec<Entry>) {
    let functions: Vec<FunctionId> = apps
        .iter()
        .flat_map(|app| app.functions.iter().map(|function| function.id))
        .collect();
    for _ in 0..dice.between(1, 5) {
        let act = if dice.chance(15) {
            Act::DropBulk {
                which: dice.below(1_000),
            }
        } else {
            Act::CancelInBulk(BulkCancel {
                function: dice.pick(&functions),
                back_ms: dice.chance(50).then(|| dice.below(span_ms)),
                ahead_ms: dice.pick(&[0, 0, span_ms / 20, span_ms / 2]),
                condition: dice
                    .chance(40)
                    .then(|| Condition::UserIs(dice.between(1, 2))),
            })
        };
        let at_ms = dice.below(span_ms);
        script.push(Entry { at_ms, act });
    }
}

/// What is old is forgotten.
fn prunes(dice: &mut Dice, span_ms: u64, script: &mut Vec<Entry>) {
    for _ in 0..dice.between(1, 8) {
        let act = Act::Prune {
            older_ms: dice.pick(&[0, span_ms / 20, span_ms / 4]),
            rows_max: dice.pick(&[1, 3, 1_000]),
        };
        let at_ms = dice.below(span_ms);
        script.push(Entry { at_ms, act });
    }
}

fn act(dice: &mut Dice, apps: &[App], span_ms: u64) -> Act {
    match dice.below(100) {
        0..=9 => {
            let app = dice.index(apps.len());
            let version = dice.index(apps[app].versions.len());
            Act::Register { app, version }
        }
        10..=15 => Act::Cancel {
            which: dice.below(1_000),
        },
        16..=17 => Act::Stop {
            patience_ms: dice.below(span_ms / 4),
        },
        18..=21 => Act::Audit,
        22..=27 => Act::Signal {
            signal: dice.below(plan::wait::SIGNALS),
        },
        _ => {
            let events = if dice.chance(70) {
                1
            } else {
                dice.between(2, 5)
            };
            Act::Send((0..events).map(|_| sending(dice, span_ms)).collect())
        }
    }
}

fn sending(dice: &mut Dice, span_ms: u64) -> Sending {
    Sending {
        name: dice.pick(&["x/a", "x/a", "x/a", "x/b", "x/b", "x/deep.c", "x/unheard"]),
        identity: match dice.below(10) {
            0..=4 => Identity::None,
            5..=7 => Identity::External(dice.below(4)),
            _ => Identity::Seeded(dice.below(4)),
        },
        data: Data {
            user: dice.below(3),
            number: dice.below(10),
        },
        later_ms: if dice.chance(12) {
            dice.below(span_ms)
        } else {
            0
        },
    }
}

impl Sending {
    fn describe(&self) -> String {
        let Data { user, number } = self.data;
        let mut text = format!("{} of user {user}, number {number}", self.name);
        match self.identity {
            Identity::None => {}
            Identity::External(id) => text.push_str(&format!(", with the id k{id}")),
            Identity::Seeded(seed) => text.push_str(&format!(", with the seed {seed}")),
        }
        if self.later_ms > 0 {
            text.push_str(&format!(", for {} ms later", self.later_ms));
        }
        text
    }
}

impl Scenario {
    /// Whether functions are paused in it.
    pub(crate) fn pauses(&self) -> bool {
        let mut script = self.script.iter();
        script.any(|entry| matches!(entry.act, Act::Pause { .. }))
    }

    /// Its plan, script and faults, for people.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!(
            "{:?} store, calls at once: {}, backoff: {:?} ms, missed ticks: {:?}, commits: 0..{} ms, latencies: 0..{} ms\n",
            self.store,
            self.calls_max,
            self.backoff_ms,
            self.catch_up,
            self.commit_ms_max,
            self.latency_ms_max
        );
        for (number, app) in self.apps.iter().enumerate() {
            let registers =
                |entry: &Entry| matches!(entry.act, Act::Register { app, .. } if app == number);
            if app.is_edge() || self.script.iter().any(registers) {
                text.push_str(&app.describe());
            }
        }
        for entry in &self.script {
            let act = match &entry.act {
                Act::Send(events) => {
                    let events: Vec<String> = events.iter().map(Sending::describe).collect();
                    format!("send {}", events.join("; "))
                }
                Act::Register { app, version } => format!("app{app} registers version {version}"),
                Act::Cancel { which } => format!("cancel one of the runs there are ({which})"),
                Act::CancelInBulk(bulk) => format!("cancel in bulk: {bulk:?}"),
                Act::DropBulk { which } => {
                    format!("take back one of the bulk cancellations there are ({which})")
                }
                Act::Signal { signal } => format!("signal g{signal}"),
                Act::Pause { function, paused } => {
                    let goes_on = if *paused { "pause" } else { "unpause" };
                    format!("{goes_on} {function}")
                }
                Act::Repeat { which, from } => {
                    format!("repeat one of the runs there are ({which}), from step {from:?} of it")
                }
                Act::Prune { older_ms, rows_max } => {
                    format!("prune what was over {older_ms} ms ago, {rows_max} rows at a time")
                }
                Act::Request { function, data, .. } => {
                    format!("request to endpoint {function}, {data:?}")
                }
                Act::Audit => "audit".to_owned(),
                Act::Stop { patience_ms } => format!("stop within {patience_ms} ms"),
            };
            text.push_str(&format!("at {} ms: {act}\n", entry.at_ms));
        }
        for fault in &self.faults {
            text.push_str(&format!("{fault:?}\n"));
        }
        text
    }
}
