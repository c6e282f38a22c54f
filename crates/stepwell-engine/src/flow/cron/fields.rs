//! The five fields as masks of bits, and the times of the wall clock that match them.

use super::ScheduleError;
use jiff::civil::{Date, DateTime};
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Months to look through for a day: 29 February may be eight years away, around 2100.
const MONTHS_MAX: usize = 8 * 12 + 1;

/// What matches; bit `n` is the value `n`. No field is empty, though a month may have none of the days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Both day fields are restricted: a day matches by either.
    either_day: bool,
    /// The hour is not restricted.
    pub(super) any_hour: bool,
}

impl Fields {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if let Some(instead) = instead_of_descriptor(text) {
            let written = text.to_owned();
            return Err(ScheduleError::Descriptor { written, instead });
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(ScheduleError::FieldCount {
                written: text.to_owned(),
                count: fields.len(),
                instead: match fields.len() {
                    6 | 7 => "without seconds or years",
                    _ => "e.g. '0 5 * * 1-5' for 05:00 from Monday to Friday",
                },
            });
        };
        let (minutes, _) = MINUTE.parse(minute)?;
        let (hours, any_hour) = HOUR.parse(hour)?;
        let (days, any_day) = DAY.parse(day)?;
        let (months, _) = MONTH.parse(month)?;
        let (weekdays, any_weekday) = WEEKDAY.parse(weekday)?;
        const SUNDAY_AGAIN: u64 = 1 << 7;
        let weekdays = (weekdays | u64::from(weekdays & SUNDAY_AGAIN != 0)) & !SUNDAY_AGAIN;
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            weekdays,
            either_day: !any_day && !any_weekday,
            any_hour,
        })
    }

    /// The earliest match that is not before `from`, whose seconds do not count.
    pub(super) fn next_from(&self, from: DateTime) -> Option<DateTime> {
        let (hour, minute) = (from.hour(), from.minute());
        let rest_of_hour = first(self.minutes & at_least(minute))
            .filter(|_| self.hours & bit(hour) != 0)
            .map(|minute| (hour, minute));
        let rest_of_day = rest_of_hour.or_else(|| {
            Some((
                first(self.hours & at_least(hour + 1))?,
                first(self.minutes)?,
            ))
        });
        let days_left = match rest_of_day {
            Some(_) => at_least(from.day()),
            None => at_least(from.day() + 1),
        };
        let (mut year, mut month) = (from.year(), from.month());
        for index in 0..MONTHS_MAX {
            let days = match index {
                0 => self.days_of(year, month)? & days_left,
                _ => self.days_of(year, month)?,
            };
            if let Some(day) = first(days) {
                let date = Date::new(year, month, day).ok()?;
                let (hour, minute) = rest_of_day
                    .filter(|_| date == from.date())
                    .or_else(|| Some((first(self.hours)?, first(self.minutes)?)))?;
                return Some(date.at(hour, minute, 0, 0));
            }
            (year, month) = match month {
                12 => (year.checked_add(1)?, 1),
                _ => (year, month + 1),
            };
        }
        None
    }

    /// The latest match that is not after `to`.
    pub(super) fn last_up_to(&self, to: DateTime) -> Option<DateTime> {
        let (hour, minute) = (to.hour(), to.minute());
        let start_of_hour = last(self.minutes & below(minute + 1))
            .filter(|_| self.hours & bit(hour) != 0)
            .map(|minute| (hour, minute));
        let start_of_day =
            start_of_hour.or_else(|| Some((last(self.hours & below(hour))?, last(self.minutes)?)));
        let days_before = match start_of_day {
            Some(_) => below(to.day() + 1),
            None => below(to.day()),
        };
        let (mut year, mut month) = (to.year(), to.month());
        for index in 0..MONTHS_MAX {
            let days = match index {
                0 => self.days_of(year, month)? & days_before,
                _ => self.days_of(year, month)?,
            };
            if let Some(day) = last(days) {
                let date = Date::new(year, month, day).ok()?;
                let (hour, minute) = start_of_day
                    .filter(|_| date == to.date())
                    .or_else(|| Some((last(self.hours)?, last(self.minutes)?)))?;
                return Some(date.at(hour, minute, 0, 0));
            }
            (year, month) = match month {
                1 => (year.checked_sub(1)?, 12),
                _ => (year, month - 1),
            };
        }
        None
    }

    /// The days of a month that match; `None` outside the calendar.
    fn days_of(&self, year: i16, month: i8) -> Option<u64> {
        if self.months & bit(month) == 0 {
            return Some(0);
        }
        let start = Date::new(year, month, 1).ok()?;
        // Six weeks from a Sunday on, moved so that bit 1 is the first of the month.
        let weeks = (0..6).fold(0, |weeks, week| weeks | self.weekdays << (7 * week));
        let by_weekday = weeks >> start.weekday().to_sunday_zero_offset() << 1;
        let by_day = self.days;
        let days = if self.either_day {
            by_weekday | by_day
        } else {
            by_weekday & by_day
        };
        Some(days & at_least(1) & below(start.days_in_month() + 1))
    }
}

/// What to write in place of a descriptor; `None` when it is none.
fn instead_of_descriptor(text: &str) -> Option<&'static str> {
    let name = text.strip_prefix('@')?;
    Some(match name.to_ascii_lowercase().as_str() {
        "yearly" | "annually" => "'0 0 1 1 *'",
        "monthly" => "'0 0 1 * *'",
        "weekly" => "'0 0 * * 0'",
        "daily" | "midnight" => "'0 0 * * *'",
        "hourly" => "'0 * * * *'",
        _ => "e.g. '*/5 * * * *' for every five minutes",
    })
}

/// One of the five fields.
struct Field {
    name: &'static str,
    least: u8,
    /// The last value of `*`; what a step counts to.
    most: u8,
    /// The last value that may be written.
    written_most: u8,
    /// The names of the values from `least` on.
    names: &'static [&'static str],
    /// What may stand in it, for errors.
    values: &'static str,
}

const MINUTE: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    written_most: 59,
    names: &[],
    values: "0 to 59",
};

const HOUR: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    written_most: 23,
    names: &[],
    values: "0 to 23",
};

const DAY: Field = Field {
    name: "day of month",
    least: 1,
    most: 31,
    written_most: 31,
    names: &[],
    values: "1 to 31",
};

const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    written_most: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    values: "1 to 12 or JAN to DEC",
};

const WEEKDAY: Field = Field {
    name: "day of week",
    least: 0,
    most: 6,
    written_most: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    values: "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
};

impl Field {
    /// The values, and whether the field is unrestricted.
    fn parse(&self, text: &str) -> Result<(u64, bool), ScheduleError> {
        let mut mask = 0;
        let mut any = false;
        for part in text.split(',') {
            let (values, is_star) = self.part(part).map_err(|problem| ScheduleError::Field {
                field: self.name,
                part: part.to_owned(),
                problem,
            })?;
            mask |= values;
            any |= is_star;
        }
        Ok((mask, any))
    }

    /// `*`, `5` or `5-10`, perhaps with a step.
    fn part(&self, part: &str) -> Result<(u64, bool), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(parse_step(step)?)),
            None => (part, None),
        };
        let is_star = matches!(range, "*" | "?");
        let (start, end) = if is_star {
            (self.least, self.most)
        } else if let Some((start, end)) = range.split_once('-') {
            (self.value(start)?, self.value(end)?)
        } else {
            let start = self.value(range)?;
            // `5/15` goes on to the end of the field.
            (start, step.map_or(start, |_| self.most.max(start)))
        };
        if start > end {
            let up_to_most = range_text(start, self.most.max(start));
            let from_least = range_text(self.least, end);
            return Err(format!(
                "the range goes backwards; write {up_to_most},{from_least}"
            ));
        }
        let step = step.unwrap_or(1);
        let values = (start..=end).step_by(step);
        let mask = values.fold(0, |mask, value| mask | 1 << value);
        Ok((mask, is_star && step == 1))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = || {
            let index = self
                .names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text))?;
            Some(self.least + u8::try_from(index).ok()?)
        };
        number(text)
            .or_else(named)
            .filter(|value| (self.least..=self.written_most).contains(value))
            .ok_or_else(|| match text {
                "" => format!("a value is missing; write {}", self.values),
                _ => format!("'{text}' is not a value of it; write {}", self.values),
            })
    }
}

fn range_text(start: u8, end: u8) -> String {
    if start == end {
        start.to_string()
    } else {
        format!("{start}-{end}")
    }
}

/// A step beyond the end of the field leaves the first value, as `*/60` of minutes does.
fn parse_step(text: &str) -> Result<usize, String> {
    number(text)
        .and_then(NonZeroUsize::new)
        .map(NonZeroUsize::get)
        .ok_or_else(|| "the step must be a number from 1 on, e.g. */5".to_owned())
}

/// Digits only: `parse` would take a sign.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn bit(value: i8) -> u64 {
    1 << value
}

fn at_least(value: i8) -> u64 {
    u64::MAX << value
}

fn below(value: i8) -> u64 {
    !at_least(value)
}

fn first(mask: u64) -> Option<i8> {
    i8::try_from(mask.trailing_zeros())
        .ok()
        .filter(|_| mask != 0)
}

fn last(mask: u64) -> Option<i8> {
    i8::try_from(mask.checked_ilog2()?).ok()
}
