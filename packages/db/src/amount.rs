//! Amounts as people write them: whole tokens and images, seconds and money with decimals.

use crate::UsageKind;

/// Decimals that an amount of a kind may have; its unit is the last of them.
fn decimals(kind: UsageKind) -> u32 {
    match kind {
        UsageKind::Tokens | UsageKind::Images => 0,
        UsageKind::Seconds => 3,
        UsageKind::Currency => 6,
    }
}

/// Reads `12.5` into the unit of its kind: tokens, images, milliseconds, or millionths of the currency.
///
/// # Errors
/// What an amount of the kind looks like.
pub fn parse(kind: UsageKind, text: &str) -> Result<u64, String> {
    let decimals = decimals(kind);
    let told = || match decimals {
        0 => format!("{text:?} is no whole number"),
        most => format!("{text:?} is no number of 0 or more with at most {most} decimals"),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|d| d.is_ascii_digit());
    let is_written = is_number(whole) && is_number(part);
    let part = part.trim_end_matches('0');
    if !is_written || part.len() > decimals as usize {
        return Err(told());
    }
    let digits = format!("{whole}{part:0<width$}", width = decimals as usize);
    let amount = digits.parse::<u64>().ok();
    let amount = amount.filter(|amount| i64::try_from(*amount).is_ok());
    amount.ok_or_else(|| format!("{text:?} is too much"))
}

/// Writes an amount in the unit of its kind as [`parse`] reads it: `12.5`.
#[must_use]
pub fn shown(kind: UsageKind, amount: u64) -> String {
    let decimals = decimals(kind);
    let one = 10_u64.pow(decimals);
    let (whole, part) = (amount / one, amount % one);
    if part == 0 {
        return whole.to_string();
    }
    let part = format!("{part:0width$}", width = decimals as usize);
    format!("{whole}.{}", part.trim_end_matches('0'))
}

/// What amounts of a kind are called, with the name of the studio's currency where it has one.
#[must_use]
pub fn unit(kind: UsageKind, currency: Option<&str>) -> &str {
    match kind {
        UsageKind::Currency => currency.unwrap_or("of money"),
        kind => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_alike() {
        for (kind, text, amount) in [
            (UsageKind::Tokens, "2000000", 2_000_000),
            (UsageKind::Images, "0", 0),
            (UsageKind::Seconds, "12.5", 12_500),
            (UsageKind::Currency, "0.000001", 1),
            (UsageKind::Currency, "25", 25_000_000),
            (UsageKind::Currency, "0.3", 300_000),
        ] {
            assert_eq!(parse(kind, text), Ok(amount), "{text}");
            assert_eq!(shown(kind, amount), text);
        }
        assert_eq!(parse(UsageKind::Currency, "5.50"), Ok(5_500_000));
        assert_eq!(parse(UsageKind::Tokens, "7.0"), Ok(7));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (kind, text) in [
            (UsageKind::Tokens, "1.5"),
            (UsageKind::Tokens, "-1"),
            (UsageKind::Tokens, "1e9"),
            (UsageKind::Tokens, ""),
            (UsageKind::Currency, "0.0000001"),
            (UsageKind::Currency, ".5"),
            (UsageKind::Currency, "1."),
            (UsageKind::Currency, "inf"),
            (UsageKind::Currency, "99999999999999"),
        ] {
            assert!(parse(kind, text).is_err(), "{text}");
        }
    }
}
