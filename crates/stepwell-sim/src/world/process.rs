//! Starting, stopping and dying.

use super::decider::Asker;
use super::{Happening, Phase, World};
use crate::faults::Strike;
use crate::invariant::{Violation, broken};
use stepwell_engine::{Engine, IdSource};

/// How long senders, apps and SDKs wait at least before they try again, in milliseconds.
const AGAIN_MS: u64 = 1_000;

impl World<'_> {
    /// How long senders, apps and SDKs wait before they try again: longer where everything takes longer.
    pub(super) fn again_ms(&self) -> u64 {
        AGAIN_MS.max(self.scenario.span_ms / 100)
    }

    /// Forgets what is decided and not committed, and tells whoever waits for it.
    pub(super) fn forget_undecided(&mut self) {
        let writing = self.writing.take().map(|(batch, _)| batch.decisions);
        let waiting = std::mem::take(&mut self.batch).decisions;
        for (_, asker) in writing.into_iter().flatten().chain(waiting) {
            match asker {
                Asker::Nobody => {}
                Asker::Letter(letter) => self.after(self.again_ms(), Happening::Letter(letter)),
                Asker::Visit(visit) => self.checkpoint_unanswered(visit),
                Asker::Edge(report) => self.edge_unanswered(*report),
                Asker::Pauser { function, paused } => {
                    self.after(self.again_ms(), Happening::Pause { function, paused });
                }
                Asker::App { app, version } => {
                    self.after(self.again_ms(), Happening::Register { app, version });
                }
            }
        }
        self.ledger.forget_calls();
        self.lost_calls = false;
    }

    /// The process ends, with all that it has not written.
    pub(super) fn die(&mut self, down_ms: u64) {
        if self.phase == Phase::Down {
            return;
        }
        self.tell(|| format!("the process is gone for {down_ms} ms"));
        self.tally.crashes += 1;
        self.forget_undecided();
        self.phase = Phase::Down;
        self.draining = false;
        self.life += 1;
        self.engines += 1;
        self.after(down_ms.max(1), Happening::Start);
    }

    pub(super) fn start(&mut self) -> Result<(), Violation> {
        self.tell(|| "the process starts".to_owned());
        self.store
            .reopen()
            .map_err(|error| broken("store")(format!("it does not open again: {error}")))?;
        self.ids = IdSource::from_seed(self.scenario.seed ^ (self.life << 32));
        self.reload(false)
    }

    /// Goes on from what was committed, after a crash or, with the engine of before at hand, after an outage.
    pub(super) fn reload(&mut self, follows: bool) -> Result<(), Violation> {
        let now = self.clock.wall();
        let stored = self.load(now)?;
        let latest = self.clock.latest();
        self.watch.loaded(&stored, &self.config, now, latest)?;
        let mut engine = Engine::load(stored, self.config.clone(), now)
            .map_err(|error| broken("loads")(format!("what is stored does not load: {error}")))?;
        if follows {
            engine.follow(&self.engine);
            self.engines += 1;
        }
        self.engine = engine;
        self.phase = Phase::Up;
        if self.draining {
            self.engine.stop_calling();
        }
        self.resume()
    }

    /// The process is asked to stop: it makes no new calls and waits for those in flight.
    pub(super) fn stop(&mut self, patience_ms: u64) {
        if self.phase == Phase::Down || self.draining {
            return;
        }
        self.tell(|| format!("the process is asked to stop within {patience_ms} ms"));
        self.draining = true;
        self.engine.stop_calling();
        let life = self.life;
        self.after(patience_ms, Happening::PatienceOver { life });
    }

    pub(super) fn stop_if_drained(&mut self) {
        let idle = self.writing.is_none()
            && self.batch.decisions.is_empty()
            && self.engine.calls_in_flight() == 0;
        if self.draining && self.phase == Phase::Up && idle {
            self.tell(|| "nothing is left to wait for".to_owned());
            self.die(AGAIN_MS);
        }
    }

    pub(super) fn strike(&mut self, strike: Strike) -> Result<(), Violation> {
        match strike {
            Strike::Crash { down_ms } => {
                if self.phase == Phase::Down {
                    return Ok(());
                }
                // Whether the batch that is being written makes it is anyone's guess.
                let mut dice = self.dice("torn", &[self.commits]);
                if self.writing.is_some() && dice.chance(50) {
                    self.tell(|| "what is being written is written".to_owned());
                    self.write()?;
                }
                self.die(down_ms);
            }
            Strike::ClockJump { by_ms } => {
                self.clock.jump(by_ms);
                self.tell(|| format!("the clock jumps by {by_ms} ms"));
            }
        }
        Ok(())
    }
}
