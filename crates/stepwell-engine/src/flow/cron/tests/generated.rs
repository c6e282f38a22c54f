//! Ticks of generated schedules, compared with what the clock of the zone shows minute by minute.

use super::{instant, schedule};
use crate::Timestamp;
use crate::flow::cron::{Schedule, timestamp};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};
use proptest::prelude::*;

/// One field as text, and the values it means, made apart from the parser.
fn field(least: u8, most: u8) -> impl Strategy<Value = (String, Vec<u8>, bool)> {
    let any = Just(("*".to_owned(), (least..=most).collect(), true));
    let steps = (2..most).prop_map(move |step| {
        let values = (least..=most).step_by(usize::from(step)).collect();
        (format!("*/{step}"), values, false)
    });
    let range = (least..=most, least..=most).prop_map(|(one, other)| {
        let (start, end) = (one.min(other), one.max(other));
        (format!("{start}-{end}"), (start..=end).collect(), false)
    });
    let list = proptest::collection::vec(least..=most, 1..4).prop_map(|values| {
        let text: Vec<String> = values.iter().map(u8::to_string).collect();
        (text.join(","), values, false)
    });
    prop_oneof![3 => any, 1 => steps, 1 => range, 2 => list]
}

#[derive(Debug, Clone)]
struct Meant {
    text: String,
    values: [Vec<u8>; 5],
    either_day: bool,
    any_hour: bool,
}

impl Meant {
    fn matches(&self, local: DateTime) -> bool {
        let has = |field: usize, value: i8| self.values[field].contains(&(value as u8));
        let by_day = has(2, local.day());
        let by_weekday = has(4, local.weekday().to_sunday_zero_offset());
        has(0, local.minute())
            && has(1, local.hour())
            && has(3, local.month())
            && match self.either_day {
                true => by_day || by_weekday,
                false => by_day && by_weekday,
            }
    }

    /// Whether there is a tick at this whole minute: the clock shows a time that matches, for the first time unless every
    /// hour does, or jumps over one.
    fn ticks_at(&self, zone: &TimeZone, minute: Instant) -> bool {
        let offset_before = zone.to_offset(minute - SignedDuration::from_nanos(1));
        let offset = zone.to_offset(minute);
        let local = offset.to_datetime(minute);
        let mut skipped = offset_before.to_datetime(minute);
        while skipped < local {
            if self.matches(skipped) {
                return true;
            }
            skipped = skipped.saturating_add(SignedDuration::from_mins(1));
        }
        self.matches(local) && (self.any_hour || !is_repeated(zone, local, offset))
    }
}

fn is_repeated(zone: &TimeZone, local: DateTime, offset: Offset) -> bool {
    matches!(
        zone.to_ambiguous_timestamp(local).offset(),
        AmbiguousOffset::Fold { after, .. } if after == offset
    )
}

fn meant() -> impl Strategy<Value = Meant> {
    let fields = (
        field(0, 59),
        field(0, 23),
        field(1, 31),
        field(1, 12),
        field(0, 6),
    );
    fields.prop_map(|(minute, hour, day, month, weekday)| Meant {
        text: [&minute.0, &hour.0, &day.0, &month.0, &weekday.0]
            .map(String::as_str)
            .join(" "),
        either_day: !day.2 && !weekday.2,
        any_hour: hour.2,
        values: [minute.1, hour.1, day.1, month.1, weekday.1],
    })
}

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

/// A zone and a moment of 2005 to 2030, every other one within a day and a half of a change of its clock.
fn place() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let seconds = 1_104_537_600_i64..1_893_456_000;
    let near = proptest::option::of(-130_000_i64..130_000);
    (proptest::sample::select(&ZONES), seconds, near).prop_map(|(name, second, near)| {
        let moment = Instant::from_second(second).unwrap();
        let zone = zone(name);
        let moment = match (near, zone.following(moment).next()) {
            (Some(seconds), Some(change)) => {
                change.timestamp() + SignedDuration::from_secs(seconds)
            }
            _ => moment,
        };
        (name, timestamp(moment).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ticks_increase_and_match_the_clock_of_their_zone(meant in meant(), (name, start) in place()) {
        let schedule = schedule(&format!("TZ={name} {}", meant.text));
        let zone = zone(name);
        let mut last = start;
        for _ in 0..20 {
            let Some(tick) = schedule.next_after(last) else { break };
            prop_assert!(tick > last);
            prop_assert!(meant.ticks_at(&zone, instant(tick)), "{:?}", instant(tick));
            prop_assert_eq!(schedule.last_at_or_before(tick, last), Some(tick));
            let just_before = Timestamp::from_ms(tick.ms() - 1);
            prop_assert_eq!(schedule.last_at_or_before(just_before, last), None);
            last = tick;
        }
    }

    #[test]
    fn no_tick_is_left_out(meant in meant(), (name, start) in place()) {
        let schedule = schedule(&format!("TZ={name} {}", meant.text));
        let zone = zone(name);
        let mut next = schedule.next_after(start);
        let first_minute = start.ms() / 60_000 + 1;
        for minute in first_minute..first_minute + 2_000 {
            let moment = Timestamp::from_ms(minute * 60_000);
            let is_tick = next == Some(moment);
            prop_assert_eq!(meant.ticks_at(&zone, instant(moment)), is_tick, "{:?}", instant(moment));
            if is_tick {
                next = schedule.next_after(moment);
            }
        }
    }

    #[test]
    fn no_expression_panics(expression in "(TZ=(UTC|Europe/Paris|x)? )?[0-9*/,?a-zA-Z@ -]{0,30}", jitter in ".{0,8}", ms in any::<u64>(), after in any::<u64>()) {
        if let Ok(schedule) = Schedule::parse(&expression, None) {
            let _ = schedule.next_after(Timestamp::from_ms(ms));
            let _ = schedule.last_at_or_before(Timestamp::from_ms(ms), Timestamp::from_ms(after));
        }
        let _ = Schedule::parse("* * * * *", Some(&jitter));
    }
}
