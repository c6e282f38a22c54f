//! Instants and durations as the language writes them. No clock and no time zone database.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::function::Calendar;

/// Longest text that is read as an instant or a duration, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// RFC 3339 or RFC 2822; without an offset, or as a day alone, in UTC.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    // RFC 9557 zone annotations would need a zone database.
    if text.len() > TEXT_BYTES_MAX || text.contains('[') {
        return None;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().ok()?.at(0, 0, 0, 0),
    };
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// Milliseconds since 1970.
pub(crate) fn instant_of_ms(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}

/// Numbers with units, as Go writes them, and days and weeks: `1h30m`, `1.5s`, `-2d`.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (number, after) = rest.split_at(number_len);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        total = total.checked_add(nanoseconds(number, unit)?)?;
        rest = after;
    }
    let total = if negative { -total } else { total };
    let seconds = i64::try_from(total / NANOSECONDS).ok()?;
    let remainder = i32::try_from(total % NANOSECONDS).ok()?;
    Some(SignedDuration::new(seconds, remainder))
}

const NANOSECONDS: i128 = 1_000_000_000;

fn nanoseconds(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOSECONDS,
        "m" => 60 * NANOSECONDS,
        "h" => 3_600 * NANOSECONDS,
        "d" => 86_400 * NANOSECONDS,
        "w" => 7 * 86_400 * NANOSECONDS,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(i128::from(digit - b'0') * place)?;
    }
    Some(total)
}

/// As CEL writes durations: seconds with an `s`.
pub(crate) fn duration_text(duration: SignedDuration) -> String {
    let nanoseconds = duration.subsec_nanos().unsigned_abs();
    let sign = if duration.is_negative() { "-" } else { "" };
    let seconds = duration.as_secs().unsigned_abs();
    if nanoseconds == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// `UTC`, or a fixed offset such as `+02:00`.
pub(crate) fn zone(text: &str) -> Option<TimeZone> {
    if text == "UTC" || text == "Z" {
        return Some(TimeZone::UTC);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |text: &str| -> Option<i32> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if minutes >= 60 {
        return None;
    }
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some(TimeZone::fixed(offset))
}

/// Months, days of the month (not of `getDate`), weekdays and days of the year count from 0, as in CEL.
pub(crate) fn part_of_instant(part: Calendar, instant: Timestamp, zone: TimeZone) -> i64 {
    let zoned: Zoned = instant.to_zoned(zone);
    match part {
        Calendar::FullYear => i64::from(zoned.year()),
        Calendar::Month => i64::from(zoned.month()) - 1,
        Calendar::Date => i64::from(zoned.day()),
        Calendar::DayOfMonth => i64::from(zoned.day()) - 1,
        Calendar::DayOfWeek => i64::from(zoned.weekday().to_sunday_zero_offset()),
        Calendar::DayOfYear => i64::from(zoned.day_of_year()) - 1,
        Calendar::Hours => i64::from(zoned.hour()),
        Calendar::Minutes => i64::from(zoned.minute()),
        Calendar::Seconds => i64::from(zoned.second()),
        Calendar::Milliseconds => i64::from(zoned.millisecond()),
    }
}

/// The whole duration in a unit, except milliseconds: those are the part below the second, as in CEL.
pub(crate) fn part_of_duration(part: Calendar, duration: SignedDuration) -> Option<i64> {
    match part {
        Calendar::Hours => Some(duration.as_secs() / 3600),
        Calendar::Minutes => Some(duration.as_secs() / 60),
        Calendar::Seconds => Some(duration.as_secs()),
        Calendar::Milliseconds => Some(i64::from(duration.subsec_nanos() / 1_000_000)),
        _ => None,
    }
}
