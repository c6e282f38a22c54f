//! Rest: moments at which nothing is under way, for those who move the clock by hand.

use stepwell_engine::{Effect, Engine, Input, Timestamp};
use tokio::sync::oneshot;

/// What the engine waits for at a moment at which nothing is under way: nothing happens before the clock moves, or
/// someone tells it something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// When the next timer is due; later than now.
    pub due: Option<Timestamp>,
    /// The same, but for the ticks of schedules, which never end.
    pub due_besides_ticks: Option<Timestamp>,
}

impl Rest {
    fn of(engine: &Engine) -> Self {
        Self {
            due: engine.next_due(),
            due_besides_ticks: engine.next_due_besides_ticks(),
        }
    }
}

/// Counts what was asked of the world and is not answered, for whoever waits until that is nothing.
///
/// Each effect but [`Effect::GiveUp`] is answered by one input. After a failed commit that is true of the calls that are
/// made from then on, so rest may be seen too early then.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    effects: usize,
    askers: Vec<oneshot::Sender<Rest>>,
}

impl Unanswered {
    pub(crate) fn asked(&mut self, effects: &[Effect]) {
        let answered = |effect: &&Effect| !matches!(effect, Effect::GiveUp { .. });
        self.effects += effects.iter().filter(answered).count();
    }

    pub(crate) fn told(&mut self, input: &Input) {
        if matches!(
            input,
            Input::CallReturned { .. }
                | Input::Announced { .. }
                | Input::Fetched { .. }
                | Input::LookedBack { .. }
                | Input::Delivered { .. }
                | Input::Swept { .. }
        ) {
            self.effects = self.effects.saturating_sub(1);
        }
    }

    /// Forgets all: nobody will be answered, and who waits learns it from the closed channel.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn wait_for_rest(&mut self, asker: oneshot::Sender<Rest>) {
        self.askers.push(asker);
    }

    /// What tells those who wait, if this is rest: the caller knows that all that was decided is written.
    pub(crate) fn at(&mut self, engine: &Engine, now: Timestamp) -> Option<impl FnOnce() + use<>> {
        if self.askers.is_empty() || self.effects > 0 {
            return None;
        }
        let rest = Rest::of(engine);
        if rest.due.is_some_and(|due| due <= now) {
            return None;
        }
        let askers = std::mem::take(&mut self.askers);
        Some(move || {
            for asker in askers {
                // Whoever asked may have stopped waiting.
                asker.send(rest).unwrap_or_default();
            }
        })
    }
}
