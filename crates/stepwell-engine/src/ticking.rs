//! Schedules tick: functions with cron triggers.
//!
//! How far a schedule has come is a row, so that ticks which fell into a time when nothing ran are known. Of several
//! missed ones the last is made up for, in one run.

use crate::arrival::Approach;
use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::flow::cron::Schedule;
use crate::function::Function;
use crate::{Change, IdSource, NewEvent, ScheduleRow, Timestamp};
use hashbrown::HashMap;
use serde_json::json;
use std::sync::Arc;
use stepwell_protocol::event::{AcceptedEvent, SCHEDULED_TIMER};
use stepwell_protocol::{FunctionId, shared_json, span};

/// A tick that comes later than this after its time counts as missed, in milliseconds: more than timers are ever late.
const LATE_MS: u64 = 60_000;

/// What becomes of ticks that fell into a time when nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// The last one starts a run.
    #[default]
    One,
    /// None does.
    Skip,
}

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticking {
    /// Ticks until this moment are dealt with.
    pub(crate) after: Timestamp,
    /// The next tick. Its run may have to wait, for its jitter.
    pub(crate) next: Option<Timestamp>,
}

/// A function's schedule.
pub(crate) type ScheduleKey = (FunctionId, Arc<str>);

impl Engine {
    /// Brings the timers of a function's schedules in line with its configuration. A new schedule ticks from now on.
    pub(crate) fn arrange_ticks(
        &mut self,
        function: &Function,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let wanted = |cron: &str| {
            !function.archived
                && function
                    .schedules
                    .iter()
                    .any(|known| known.source() == cron)
        };
        let known: Vec<ScheduleKey> = self
            .schedules
            .range((function.id, Arc::from(""))..)
            .take_while(|((id, _), _)| *id == function.id)
            .map(|(key, _)| key.clone())
            .collect();
        for key in known {
            if !wanted(&key.1) {
                self.unset_tick(&key);
                self.schedules.remove(&key);
                self.ticks.remove(&number_of(&key));
                out.changes
                    .push(Change::ScheduleDelete(key.0, Arc::clone(&key.1)));
            }
        }
        if function.archived {
            return;
        }
        for schedule in &function.schedules {
            let key = (function.id, Arc::from(schedule.source()));
            let after = match self.schedules.get(&key) {
                Some(ticking) => ticking.after,
                None => {
                    out.changes.push(put(&key, now));
                    now
                }
            };
            self.set_tick(key, schedule, after);
        }
    }

    /// Sets the timer of a schedule's next tick.
    pub(crate) fn set_tick(&mut self, key: ScheduleKey, schedule: &Schedule, after: Timestamp) {
        self.unset_tick(&key);
        let next = schedule.next_after(after);
        if let Some(tick) = next {
            let number = number_of(&key);
            self.timers.insert((tick, Timer::Tick(number)));
            self.ticks.entry(number).or_insert_with(|| key.clone());
        }
        self.schedules.insert(key, Ticking { after, next });
    }

    fn unset_tick(&mut self, key: &ScheduleKey) {
        if let Some(Ticking {
            next: Some(tick), ..
        }) = self.schedules.get(key).copied()
        {
            self.timers.remove(&(tick, Timer::Tick(number_of(key))));
        }
    }

    /// A tick's time has come.
    pub(crate) fn tick(
        &mut self,
        number: u64,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        let Some(key) = self.ticks.get(&number).cloned() else {
            return;
        };
        let Some(Ticking {
            after,
            next: Some(mut tick),
        }) = self.schedules.get(&key).copied()
        else {
            return;
        };
        let Some(function) = self.functions.get(&key.0).map(Arc::clone) else {
            return;
        };
        let found = function
            .schedules
            .iter()
            .find(|known| known.source() == &*key.1);
        let Some(schedule) = found else {
            return;
        };
        let is_late = |tick: Timestamp| tick.after_ms(LATE_MS) < now;
        if is_late(tick)
            && let Some(last) = schedule.last_at_or_before(now, after)
        {
            tick = last;
        }
        out.changes.push(put(&key, tick));
        self.set_tick(key.clone(), schedule, tick);
        if is_late(tick) && self.config.catch_up == CatchUp::Skip {
            return;
        }
        let fire_at = schedule.fire_at(key.0, tick);
        let event = tick_event(&key.1, tick, fire_at, now, ids);
        let approach = Approach {
            cron: Some(Arc::clone(&key.1)),
            ..Approach::default()
        };
        self.receive_event(event, Some((key.0, approach)), now, ids, out);
    }
}

/// Which schedules there are, by the numbers of their timers.
pub(crate) type Ticks = HashMap<u64, ScheduleKey>;

/// A number for a schedule, by which the timer finds it.
fn number_of(key: &ScheduleKey) -> u64 {
    crate::flow::hash(&[&key.0.to_bytes(), key.1.as_bytes()]) as u64
}

fn put(key: &ScheduleKey, after: Timestamp) -> Change {
    Change::SchedulePut(ScheduleRow {
        function: key.0,
        cron: Arc::clone(&key.1),
        after,
    })
}

fn tick_event(
    cron: &str,
    tick: Timestamp,
    fire_at: Timestamp,
    now: Timestamp,
    ids: &mut IdSource,
) -> NewEvent {
    // Ticks are whole seconds, and written so.
    let moment = |at: Timestamp| {
        span::format_moment_ms(i64::try_from(at.ms()).unwrap_or(i64::MAX)).replace(".000Z", "Z")
    };
    let data = json!({
        "cron": cron, "scheduledAt": moment(tick), "fireAt": moment(fire_at),
    });
    let data = shared_json(data.to_string()).expect("serialised JSON is JSON");
    let ts_ms = i64::try_from(fire_at.ms()).unwrap_or(i64::MAX);
    let event = AcceptedEvent::internal(SCHEDULED_TIMER, moment(tick), ts_ms, data);
    let id = ids.event_id(now);
    NewEvent {
        id,
        name: Arc::from(SCHEDULED_TIMER),
        external_id: event.external_id.clone(),
        ts_ms,
        repeatable: true,
        body: event.render(id),
    }
}
