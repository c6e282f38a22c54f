//! Cron schedules: when a function runs by the clock on the wall of a time zone.
//!
//! # Fields
//!
//! Minute, hour, day of the month, month, day of the week; lists, ranges and steps; `JAN` to `DEC` and `SUN` to `SAT` in
//! either case; 0 and 7 are Sunday; `?` is `*`; `5/15` is `5-59/15`. When both day fields are restricted, a day that
//! matches either is meant. A field is restricted unless it is `*`: `*/2` is restricted, as in the cron library that
//! servers of this protocol use, and unlike in Vixie's.
//!
//! # When the clock is changed
//!
//! A time of the wall clock is one tick, or none:
//!
//! - One that is skipped in spring ticks at the first moment after the gap. Several in one gap, and one that stands
//!   right after it, are the same tick.
//! - One that comes twice in autumn ticks the first time only, if the hour is restricted: `30 2 * * *` is once a day. When
//!   it is not, as in `*/5 * * * *`, it ticks both times, since such a schedule is meant to go on without a pause.
//!
//! # Why our own matcher
//!
//! Ready-made ones (croner was looked at) treat fields with `*` by other rules than the ones above when the clock is
//! changed: they skip a gap and repeat an overlap. They also walk towards the next match, where masks of bits find it, in
//! either direction, in a number of operations that has a limit. Zones and the calendar are jiff's, with the time zone
//! database in the binary.

mod fields;
#[cfg(test)]
mod tests;

use self::fields::Fields;
use super::hash;
use crate::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};
use stepwell_protocol::{FunctionId, span};

/// Longest expression, in bytes: what servers of this protocol take.
const SOURCE_BYTES_MAX: usize = 255;

/// Shortest jitter, which is also the least that a tick is delayed by when there is one.
const JITTER_MS_MIN: u64 = 1_000;

/// Longest jitter: five minutes.
const JITTER_MS_MAX: u64 = 5 * 60 * 1_000;

/// Matches to try before giving up. Only those around an overlap are passed over, at most one a minute; no clock was ever
/// set back by more than a day.
const MATCHES_MAX: usize = 24 * 60 + 1;

/// When a function runs by the clock.
///
/// ```
/// use stepwell_engine::{Timestamp, flow::cron::Schedule};
///
/// let schedule = Schedule::parse("TZ=Europe/Paris 0 5 * * MON-FRI", None)?;
/// let friday_noon = Timestamp::from_ms(1_767_351_600_000); // 2026-01-02T11:00:00Z
/// let monday_five = Timestamp::from_ms(1_767_585_600_000); // 2026-01-05T04:00:00Z
/// assert_eq!(schedule.next_after(friday_noon), Some(monday_five));
/// # Ok::<(), stepwell_engine::flow::cron::ScheduleError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    source: Box<str>,
    fields: Fields,
    zone: TimeZone,
    /// 0 when there is none.
    jitter_ms: u64,
}

/// What is wrong with a cron trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "the cron expression is {0} bytes long and may have {SOURCE_BYTES_MAX}; write ranges and steps instead of lists"
    )]
    TooLong(usize),
    #[error("the cron expression '{written}' is a descriptor; write five fields, {instead}")]
    Descriptor {
        written: String,
        instead: &'static str,
    },
    #[error(
        "the cron expression '{written}' has {count} fields and must have five (minute, hour, day of month, month, day of week), {instead}"
    )]
    FieldCount {
        written: String,
        count: usize,
        instead: &'static str,
    },
    #[error(
        "the cron expression is for the time zone '{0}', which does not exist; write a name of the tz database, e.g. TZ=Europe/Paris 0 5 * * *"
    )]
    Zone(String),
    #[error("the {field} field of the cron expression is wrong at '{part}': {problem}")]
    Field {
        /// Which of the five.
        field: &'static str,
        /// The element of its list.
        part: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    #[error("cron jitter {0}")]
    JitterUnreadable(span::ParseSpanError),
    #[error("cron jitter must be at least 1s")]
    JitterTooShort,
    #[error("cron jitter must be less than or equal to 5m0s")]
    JitterTooLong,
}

impl Schedule {
    /// Reads five fields, perhaps after `TZ=Area/City ` or `CRON_TZ=Area/City `; UTC without. `jitter` is a time string
    /// from `1s` to `5m`; empty or zero is none.
    ///
    /// # Errors
    /// When the expression is anything else or longer than 255 bytes, or the jitter is out of its range. An expression
    /// without any tick, such as one for 30 February, is none.
    pub fn parse(expression: &str, jitter: Option<&str>) -> Result<Self, ScheduleError> {
        if expression.len() > SOURCE_BYTES_MAX {
            return Err(ScheduleError::TooLong(expression.len()));
        }
        let (zone, fields) = split_zone(expression)?;
        Ok(Self {
            source: expression.into(),
            fields: Fields::parse(fields)?,
            zone,
            jitter_ms: parse_jitter(jitter)?,
        })
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The first tick after `moment`; `None` when there is none before the year 10000.
    #[must_use]
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let instant = i64::try_from(moment.ms())
            .ok()
            .and_then(|ms| Instant::from_millisecond(ms).ok())?;
        let now = self.zone.to_datetime(instant);
        // A time of the wall clock before this one does not tick later than now, unless the clock is set back.
        let mut local = self.fields.next_from(now)?;
        if let Some(overlap) = self.overlap(instant, now) {
            let minute_later = now.checked_add(SignedDuration::from_mins(1)).ok()?;
            local = self.fields.next_from(minute_later)?;
            if !overlap.again {
                if overlap.holds(local) {
                    return timestamp(overlap.first.to_timestamp(local).ok()?);
                }
                local = self.fields.next_from(overlap.start)?;
            }
            if overlap.holds(local) {
                return timestamp(overlap.second.to_timestamp(local).ok()?);
            }
        }
        for _ in 0..MATCHES_MAX {
            let tick = self.tick_of(local)?;
            if tick > instant {
                return timestamp(tick);
            }
            let minute_later = local.checked_add(SignedDuration::from_mins(1)).ok()?;
            local = self.fields.next_from(minute_later)?;
        }
        None
    }

    /// The latest tick up to `moment` that is later than `after`, however many there are between them.
    #[must_use]
    pub fn last_at_or_before(&self, moment: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let instant = i64::try_from(moment.ms())
            .ok()
            .and_then(|ms| Instant::from_millisecond(ms).ok())
            .unwrap_or(Instant::MAX);
        let tick = self.last_up_to(instant)?;
        timestamp(tick).filter(|tick| *tick > after)
    }

    fn last_up_to(&self, instant: Instant) -> Option<Instant> {
        let now = self.zone.to_datetime(instant);
        let mut local = now;
        if let Some(overlap) = self.overlap(instant, now) {
            local = self.fields.last_up_to(now)?;
            if overlap.again {
                if overlap.holds(local) {
                    return overlap.second.to_timestamp(local).ok();
                }
                local = overlap.end.checked_sub(SignedDuration::from_mins(1)).ok()?;
                local = self.fields.last_up_to(local)?;
            }
            if overlap.holds(local) {
                return overlap.first.to_timestamp(local).ok();
            }
        } else if let AmbiguousOffset::Fold {
            before: first,
            after: second,
        } = self.zone.to_ambiguous_timestamp(now).offset()
        {
            // Times of the wall clock up to the end of the overlap may have ticked when they came first.
            local = local.saturating_add(first.duration_since(second));
        }
        let mut local = self.fields.last_up_to(local)?;
        for _ in 0..MATCHES_MAX {
            let tick = self.last_tick_of(local)?;
            if tick <= instant {
                return Some(tick);
            }
            let minute_earlier = local.checked_sub(SignedDuration::from_mins(1)).ok()?;
            local = self.fields.last_up_to(minute_earlier)?;
        }
        None
    }

    /// When a function's run for a tick starts: at the tick, and with jitter from 1 s to less than it later. The same
    /// tick of the same function always gives the same.
    #[must_use]
    pub fn fire_at(&self, function: FunctionId, tick: Timestamp) -> Timestamp {
        if self.jitter_ms == 0 {
            return tick;
        }
        let hash = hash(&[
            b"cron",
            &function.to_bytes(),
            self.source.as_bytes(),
            &tick.ms().to_le_bytes(),
        ]);
        // A jitter of exactly one second leaves nothing to choose from.
        let choices = u128::from(self.jitter_ms - JITTER_MS_MIN).max(1);
        let chosen_ms = u64::try_from(hash % choices).expect("it is below a jitter, five minutes");
        tick.after_ms(JITTER_MS_MIN + chosen_ms)
    }

    /// The overlap that the clock is in, for a schedule that ticks both times.
    fn overlap(&self, instant: Instant, now: DateTime) -> Option<Overlap> {
        if !self.fields.any_hour {
            return None;
        }
        let AmbiguousOffset::Fold {
            before: first,
            after: second,
        } = self.zone.to_ambiguous_timestamp(now).offset()
        else {
            return None;
        };
        let again = self.zone.to_offset(instant) == second;
        let change = if again {
            let from = instant.checked_add(SignedDuration::from_nanos(1)).ok()?;
            let mut changes = self.zone.preceding(from);
            changes.find(|change| change.offset() == second)?
        } else {
            let mut changes = self.zone.following(instant);
            changes.find(|change| change.offset() == second)?
        };
        Some(Overlap {
            first,
            second,
            start: second.to_datetime(change.timestamp()),
            end: first.to_datetime(change.timestamp()),
            again,
        })
    }

    /// When a time of the wall clock ticks last.
    fn last_tick_of(&self, local: DateTime) -> Option<Instant> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { after, .. } if self.fields.any_hour => {
                after.to_timestamp(local).ok()
            }
            _ => self.tick_of(local),
        }
    }

    /// When a time of the wall clock ticks first. Later times never tick earlier.
    fn tick_of(&self, local: DateTime) -> Option<Instant> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { before, after } => {
                // By the offset of before the gap it is where the clock was changed, or later.
                let later = before.to_timestamp(local).ok()?;
                let from = later.checked_add(SignedDuration::from_nanos(1)).ok()?;
                self.zone
                    .preceding(from)
                    .find(|change| change.offset() == after)
                    .map(|change| change.timestamp())
            }
        }
    }
}

/// Times of the wall clock that come twice, from `start` until before `end`.
struct Overlap {
    first: Offset,
    second: Offset,
    start: DateTime,
    end: DateTime,
    /// Whether they come for the second time now.
    again: bool,
}

impl Overlap {
    fn holds(&self, local: DateTime) -> bool {
        self.start <= local && local < self.end
    }
}

fn timestamp(instant: Instant) -> Option<Timestamp> {
    let ms = u64::try_from(instant.as_millisecond()).ok()?;
    Some(Timestamp::from_ms(ms))
}

/// The zone, and the five fields.
fn split_zone(expression: &str) -> Result<(TimeZone, &str), ScheduleError> {
    let expression = expression.trim();
    let Some(rest) = expression
        .strip_prefix("CRON_TZ=")
        .or_else(|| expression.strip_prefix("TZ="))
    else {
        return Ok((TimeZone::UTC, expression));
    };
    let (name, fields) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let zone = TimeZoneDatabase::bundled()
        .get(name)
        .ok()
        .filter(|zone| !zone.is_unknown())
        .ok_or_else(|| ScheduleError::Zone(name.to_owned()))?;
    Ok((zone, fields))
}

fn parse_jitter(jitter: Option<&str>) -> Result<u64, ScheduleError> {
    let jitter = jitter.filter(|jitter| *jitter != "0").unwrap_or_default();
    let jitter_ms = span::parse_ms(jitter).map_err(ScheduleError::JitterUnreadable)?;
    match jitter_ms {
        0 => Ok(0),
        1..JITTER_MS_MIN => Err(ScheduleError::JitterTooShort),
        JITTER_MS_MIN..=JITTER_MS_MAX => Ok(jitter_ms),
        _ => Err(ScheduleError::JitterTooLong),
    }
}
