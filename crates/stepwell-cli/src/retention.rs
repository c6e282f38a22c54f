//! How long what is over is kept, as options.

use clap::Args;
use std::time::Duration;
use stepwell_protocol::{limits, span};

/// The least size: a file must have room for more than what is under way.
const BYTES_MIN: u64 = 16 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Retention {
    /// How long finished runs and their events are kept, e.g. 7d, 36h or 1d12h, at least 24h; or forever.
    #[arg(help_heading = "State",
        long = "retain",
        env = "STEPWELL_RETAIN",
        default_value = "7d",
        value_name = "AGE",
        value_parser = parse_age
    )]
    age: Age,
    /// How much the file may hold, e.g. 2GiB, at least 16MiB. Above, the oldest finished runs go, whatever their age.
    #[arg(help_heading = "State",
        long = "retain-size",
        env = "STEPWELL_RETAIN_SIZE",
        value_name = "SIZE",
        value_parser = parse_bytes
    )]
    bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Forever,
    Only(Duration),
}

impl Retention {
    /// Whether the file's size is limited.
    pub(crate) fn limits_size(&self) -> bool {
        self.bytes.is_some()
    }
}

impl From<&Retention> for stepwell_runtime::Retention {
    fn from(retention: &Retention) -> Self {
        Self {
            age: match retention.age {
                Age::Forever => None,
                Age::Only(age) => Some(age),
            },
            bytes_max: retention.bytes,
        }
    }
}

fn parse_age(text: &str) -> Result<Age, String> {
    if text == "forever" {
        return Ok(Age::Forever);
    }
    let age_ms = span::parse_ms(text).map_err(|error| format!("{error}, or forever"))?;
    if age_ms < limits::IDEMPOTENCY_MS {
        return Err("the least is 24h: as long as duplicates are found".to_owned());
    }
    Ok(Age::Only(Duration::from_millis(age_ms)))
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let what_to_write = || {
        "write a number and a unit (B, KB, MB, GB, TB, or KiB, MiB, GiB, TiB), e.g. 2GiB".to_owned()
    };
    let text = text.trim();
    let unit = text
        .find(|character: char| !character.is_ascii_digit())
        .ok_or_else(what_to_write)?;
    let number: u64 = text[..unit].parse().map_err(|_| what_to_write())?;
    let factor: u64 = match text[unit..].trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(what_to_write()),
    };
    let bytes = number.saturating_mul(factor);
    if bytes < BYTES_MIN {
        return Err("the least is 16MiB".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Age, parse_age, parse_bytes};
    use std::time::Duration;

    #[test]
    fn ages_are_read() {
        let hours = |hours: u64| Ok(Age::Only(Duration::from_secs(hours * 3_600)));
        for (text, expected) in [
            ("7d", hours(7 * 24)),
            ("24h", hours(24)),
            ("1d12h", hours(36)),
            ("2w", hours(14 * 24)),
            ("forever", Ok(Age::Forever)),
        ] {
            assert_eq!(parse_age(text), expected, "{text}");
        }
        for text in [
            "",
            "0",
            "0d",
            "7",
            "seven days",
            "-7d",
            "23h59m",
            "Forever!",
        ] {
            parse_age(text).expect_err(text);
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("16MiB", 16 * 1024 * 1024),
            ("2GiB", 2 * 1024 * 1024 * 1024),
            ("2gib", 2 * 1024 * 1024 * 1024),
            ("20 MB", 20_000_000),
            ("1TB", 1_000_000_000_000),
            ("99999999999TiB", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "GiB", "2", "2 gigs", "1.5GiB", "-1GiB", "15MiB", "0GiB"] {
            parse_bytes(text).expect_err(text);
        }
    }
}
