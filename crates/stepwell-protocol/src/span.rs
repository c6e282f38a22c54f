//! Spans of time and moments as the protocol writes them: `1d2h30m`, `500ms`, RFC 3339.

use jiff::Timestamp;

/// Not a span of time such as `90s` or `1d2h30m`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a duration; write a number and a unit (ns, us, ms, s, m, h, d, w), e.g. 90s or 1d12h"
)]
pub struct ParseSpanError(pub String);

/// Parses a time string: numbers with the units `ns us µs ms s m h d w`, repeated; the result is in
/// milliseconds, rounded. Empty text is 0.
///
/// # Errors
/// [`ParseSpanError`] when the text is anything else, negative, or longer than 64 bytes.
pub fn parse_ms(text: &str) -> Result<u64, ParseSpanError> {
    let fail = || ParseSpanError(text.chars().take(64).collect());
    if text.len() > 64 {
        return Err(fail());
    }
    let mut rest = text.trim();
    let mut total_ms: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(fail)?;
        let number: f64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ns" => 1e-6,
            "us" | "µs" | "μs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            "w" => 604_800e3,
            _ => return Err(fail()),
        };
        total_ms += number * unit_ms;
        rest = &rest[letters..];
    }
    // Saturates for absurd lengths; every use has an upper limit of its own.
    Ok(total_ms.round() as u64)
}

/// Writes milliseconds as a time string that [`parse_ms`] reads back exactly.
#[must_use]
pub fn format_ms(total_ms: u64) -> String {
    if total_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = total_ms;
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= unit_ms {
            text.push_str(&format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    text
}

/// Parses a moment: RFC 3339, RFC 2822 or RFC 1123, in milliseconds since the Unix epoch.
#[must_use]
pub fn parse_moment_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text)
        .ok()
        .map(Timestamp::as_millisecond)
}

/// Writes a moment as RFC 3339 in UTC with milliseconds, e.g. `2026-01-02T03:04:05.678Z`.
#[must_use]
pub fn format_moment_ms(moment_ms: i64) -> String {
    Timestamp::from_millisecond(moment_ms)
        .map(|moment| format!("{moment:.3}"))
        .unwrap_or_else(|_| moment_ms.to_string())
}

/// When a sleep that was asked for as `text` ends: a time string from `now_ms` on, or a moment (rounded to the
/// second; one in the past ends now). `None` when it is neither.
#[must_use]
pub fn sleep_until_ms(text: &str, now_ms: u64) -> Option<u64> {
    if let Ok(span_ms) = parse_ms(text) {
        return Some(now_ms.saturating_add(span_ms));
    }
    if text.len() < 10 {
        return None;
    }
    let moment_ms = parse_moment_ms(text)?;
    let rounded_ms = (moment_ms + 500).div_euclid(1_000) * 1_000;
    Some(u64::try_from(rounded_ms).unwrap_or(0).max(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn time_strings() {
        for (text, ms) in [
            ("", 0),
            ("1s", 1_000),
            ("1d2h30m", 95_400_000),
            ("1w", 604_800_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1500us", 2),
            ("0s", 0),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for text in [
            "1",
            "s",
            "1x",
            "-1s",
            "1s2",
            "NaNs",
            "1..2s",
            &"1s".repeat(40),
        ] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_in_the_formats_that_sdks_send() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T04:04:05+01:00",
            "Fri, 02 Jan 2026 03:04:05 GMT",
        ] {
            assert_eq!(parse_moment_ms(text), Some(1_767_323_045_000), "{text}");
        }
        assert_eq!(parse_moment_ms("tomorrow"), None);
    }

    #[test]
    fn a_sleep_until_the_past_ends_now() {
        assert_eq!(
            sleep_until_ms("2001-01-01T00:00:00Z", 5_000_000_000_000),
            Some(5_000_000_000_000)
        );
        assert_eq!(sleep_until_ms("10s", 1_000), Some(11_000));
        assert_eq!(sleep_until_ms("soon", 1_000), None);
    }

    proptest! {
        #[test]
        fn formatted_spans_read_back(ms in 0_u64..1_000_000_000_000) {
            prop_assert_eq!(parse_ms(&format_ms(ms)), Ok(ms));
        }
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = parse_ms(&text);
            let _ = parse_moment_ms(&text);
        }
    }
}
