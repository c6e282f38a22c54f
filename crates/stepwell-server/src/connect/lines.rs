//! Lines: calls of an app whose workers are all full.
//!
//! Some wait here and take the next room at once. The others go back to the queue, each with an appointment: as many come
//! again in a second as are likely to get room, or else thousands of them would come every second for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::AppId;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Calls of one app that wait here. Each takes one of the calls that the engine has in flight at most.
const WAITING_MAX: usize = 100;
/// And of all apps.
const ALL_WAITING_MAX: usize = 400;
/// The earliest and the latest appointment.
const APPOINTMENT_MIN: Duration = Duration::from_secs(1);
const APPOINTMENT_MAX: Duration = Duration::from_secs(30);
/// The longest time between two appointments: coming for nothing a hundred times a second costs little.
const GAP_MAX: Duration = Duration::from_millis(10);

/// The lines of all apps.
#[derive(Debug, Default)]
pub(super) struct Lines {
    by_app: HashMap<AppId, Line>,
    waiting: usize,
}

#[derive(Debug)]
struct Line {
    waiting: usize,
    room: Arc<Notify>,
    /// When a call last got room, and the time between two that do, on average.
    placed_at: Instant,
    between: Duration,
    /// The last appointment.
    appointed: Instant,
}

impl Lines {
    /// Lines up; `None` when too many wait. Who enters leaves again.
    pub(super) fn enter(&mut self, app: AppId, now: Instant) -> Option<Arc<Notify>> {
        if self.waiting >= ALL_WAITING_MAX {
            return None;
        }
        let line = self.line(app, now);
        if line.waiting >= WAITING_MAX {
            return None;
        }
        line.waiting += 1;
        let room = Arc::clone(&line.room);
        self.waiting += 1;
        Some(room)
    }

    pub(super) fn leave(&mut self, app: AppId) {
        if let Some(line) = self.by_app.get_mut(&app) {
            line.waiting -= 1;
            self.waiting -= 1;
        }
    }

    /// Whether others were there first.
    pub(super) fn is_waited_in(&self, app: AppId) -> bool {
        self.by_app.get(&app).is_some_and(|line| line.waiting > 0)
    }

    /// What tells those who wait that there is room.
    pub(super) fn room(&self, app: AppId) -> Option<&Notify> {
        Some(&*self.by_app.get(&app)?.room)
    }

    /// A call of the app has got room.
    pub(super) fn note_placed(&mut self, app: AppId, now: Instant) {
        if let Some(line) = self.by_app.get_mut(&app) {
            let since = now.duration_since(line.placed_at).min(2 * GAP_MAX);
            line.between = (7 * line.between + since) / 8;
            line.placed_at = now;
        }
    }

    /// When a call that cannot wait here should come again.
    pub(super) fn turn_away(&mut self, app: AppId, now: Instant) -> Duration {
        let line = self.line(app, now);
        // Twice as many as get room now, so that a line that moves faster finds them.
        let gap = (line.between / 2).min(GAP_MAX);
        line.appointed = (line.appointed + gap).clamp(now + APPOINTMENT_MIN, now + APPOINTMENT_MAX);
        line.appointed - now
    }

    /// Forgets lines that nobody waits in and nobody will come back to.
    pub(super) fn forget_old(&mut self, now: Instant) {
        self.by_app
            .retain(|_, line| line.waiting > 0 || line.appointed > now);
    }

    fn line(&mut self, app: AppId, now: Instant) -> &mut Line {
        self.by_app.entry(app).or_insert_with(|| Line {
            waiting: 0,
            room: Arc::new(Notify::new()),
            placed_at: now,
            between: 2 * GAP_MAX,
            appointed: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> AppId {
        AppId::of(name)
    }

    #[test]
    fn only_so_many_wait() {
        let mut lines = Lines::default();
        let now = Instant::now();
        for _ in 0..WAITING_MAX {
            assert!(lines.enter(app("a"), now).is_some());
        }
        assert!(lines.enter(app("a"), now).is_none());
        for other in ["b", "c", "d"] {
            for _ in 0..WAITING_MAX {
                assert!(lines.enter(app(other), now).is_some());
            }
        }
        assert!(
            lines.enter(app("e"), now).is_none(),
            "all together are too many"
        );
        lines.leave(app("a"));
        assert!(lines.enter(app("e"), now).is_some());
        assert!(lines.is_waited_in(app("a")) && !lines.is_waited_in(app("f")));
    }

    #[test]
    fn calls_that_are_turned_away_come_back_one_after_the_other() {
        let now = Instant::now();
        let mut lines = Lines::default();
        let waits: Vec<Duration> = (0..10_000)
            .map(|_| lines.turn_away(app("a"), now))
            .collect();
        assert_eq!(waits[0], APPOINTMENT_MIN);
        assert_eq!(waits[100] - waits[0], 100 * GAP_MAX);
        assert_eq!(waits.last(), Some(&APPOINTMENT_MAX));
        assert!(waits.is_sorted());
    }

    #[test]
    fn they_come_faster_when_the_line_moves_faster() {
        let start = Instant::now();
        let mut lines = Lines::default();
        lines.turn_away(app("a"), start);
        let mut now = start;
        for _ in 0..1_000 {
            now += Duration::from_micros(200);
            lines.note_placed(app("a"), now);
        }
        let waits: Vec<Duration> = (0..10_000)
            .map(|_| lines.turn_away(app("a"), now))
            .collect();
        // 5,000 in a second get room: appointments are for 10,000.
        let last = *waits.last().unwrap();
        assert!(
            last < Duration::from_millis(2_100) && last > Duration::from_millis(1_900),
            "{last:?}"
        );
    }

    #[test]
    fn lines_that_are_over_are_forgotten() {
        let now = Instant::now();
        let mut lines = Lines::default();
        let wait = lines.turn_away(app("a"), now);
        lines.enter(app("b"), now);
        lines.forget_old(now);
        assert_eq!(lines.by_app.len(), 2);
        lines.leave(app("b"));
        lines.forget_old(now + wait);
        assert!(lines.by_app.is_empty());
    }
}
