//! Which runs wait for room on a worker: for those who ask where a run stands. Nothing is decided by it.

use super::Gateway;
use std::collections::HashMap;
use std::time::Duration;
use stepwell_protocol::{AppId, RunId};
use tokio::time::Instant;

/// Runs with an appointment that are known; of more it is only known that they wait for a time.
const APPOINTMENTS_MAX: usize = 10_000;
/// When there are so many, those that are over are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What runs there are too few workers for.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Calls of a run that wait in line; as bounded as the lines.
    in_line: HashMap<RunId, (AppId, usize)>,
    /// Runs with a call that comes again, until when.
    appointed: HashMap<RunId, (AppId, Instant)>,
    swept_at: Option<Instant>,
}

impl Shortage {
    /// A call of the run lines up. It leaves again.
    pub(super) fn enter(&mut self, run: RunId, app: AppId) {
        self.in_line.entry(run).or_insert((app, 0)).1 += 1;
    }

    pub(super) fn leave(&mut self, run: RunId) {
        if let Some((_, calls)) = self.in_line.get_mut(&run) {
            *calls -= 1;
            if *calls == 0 {
                self.in_line.remove(&run);
            }
        }
    }

    /// A call of the run goes back to the queue, and comes again then.
    pub(super) fn turn_away(&mut self, run: RunId, app: AppId, until: Instant, now: Instant) {
        let is_due = self.swept_at.is_none_or(|at| at + SWEEP_EVERY <= now);
        if self.appointed.len() >= APPOINTMENTS_MAX && is_due {
            self.swept_at = Some(now);
            self.appointed.retain(|_, (_, until)| *until > now);
        }
        if self.appointed.len() < APPOINTMENTS_MAX {
            self.appointed.insert(run, (app, until));
        }
    }

    fn of(&self, run: RunId, now: Instant) -> Option<(AppId, Waits)> {
        let appointed = self.appointed.get(&run).filter(|(_, until)| *until > now);
        let (in_line, appointed_for) = (self.in_line.get(&run), appointed.map(|(app, _)| *app));
        let app = in_line.map(|(app, _)| *app).or(appointed_for)?;
        let waits = Waits {
            calls_in_line: in_line.map_or(0, |(_, calls)| *calls),
            comes_again: appointed_for.is_some(),
        };
        Some((app, waits))
    }
}

/// How a run waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Calls of it that the engine has made, and that no worker has yet.
    pub(crate) calls_in_line: usize,
    /// Whether a call of it was put back, for a time.
    pub(crate) comes_again: bool,
}

impl Gateway {
    /// The app whose workers are too busy for a call of this run, and how that waits.
    pub(crate) fn shortage_of(&self, run: RunId) -> Option<(String, Waits)> {
        let switchboard = self.switchboard();
        let (app, waits) = switchboard.shortage.of(run, Instant::now())?;
        let groups = switchboard.workers.iter().flat_map(|worker| &worker.groups);
        let group = groups.into_iter().find(|group| group.app == app);
        let name = group.map_or_else(|| app.to_string(), |group| group.app_name.clone());
        Some((name, waits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(number: u128) -> RunId {
        RunId::from_bytes(number.to_be_bytes())
    }

    #[test]
    fn a_run_waits_as_long_as_a_call_of_it_does() {
        let (mut shortage, now, app) = (Shortage::default(), Instant::now(), AppId::of("a"));
        let waits = |calls_in_line, comes_again| {
            let waits = Waits {
                calls_in_line,
                comes_again,
            };
            Some((app, waits))
        };
        shortage.enter(run(1), app);
        shortage.enter(run(1), app);
        assert_eq!(shortage.of(run(1), now), waits(2, false));
        shortage.leave(run(1));
        assert_eq!(shortage.of(run(1), now), waits(1, false));
        shortage.leave(run(1));
        assert_eq!(shortage.of(run(1), now), None);
        let until = now + Duration::from_secs(1);
        shortage.turn_away(run(1), app, until, now);
        assert_eq!(shortage.of(run(1), now), waits(0, true));
        assert_eq!(shortage.of(run(1), until), None, "then it comes again");
        assert_eq!(shortage.of(run(2), now), None);
    }

    #[test]
    fn only_so_many_appointments_are_known() {
        let (mut shortage, now, app) = (Shortage::default(), Instant::now(), AppId::of("a"));
        let until = now + Duration::from_secs(1);
        for number in 0..=APPOINTMENTS_MAX as u128 {
            shortage.turn_away(run(number), app, until, now);
        }
        assert_eq!(shortage.appointed.len(), APPOINTMENTS_MAX);
        shortage.turn_away(run(0), app, until + Duration::from_secs(1), until);
        assert_eq!(shortage.appointed.len(), 1, "those that are over make room");
    }
}
