//! How long to wait before another try.

use std::time::Duration;

/// Seconds before each try; the last repeats (the protocol's table).
const TABLE_S: [u64; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];

/// How long to wait before the try after `failures` in a row: nothing after none, then at least half of what the table
/// says. `dice` is in `0.0..1.0`.
pub(super) fn delay(failures: u32, dice: f64) -> Duration {
    let Some(index) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let seconds = TABLE_S[index.min(TABLE_S.len() - 1)];
    crate::random::shortened(Duration::from_secs(seconds), dice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_vary() {
        assert_eq!(delay(0, 0.9), Duration::ZERO);
        assert_eq!(delay(1, 0.0), Duration::from_millis(500));
        assert_eq!(delay(1, 1.0), Duration::from_secs(1));
        assert_eq!(delay(4, 0.5), Duration::from_millis(7_500));
        assert_eq!(delay(9, 1.0), Duration::from_secs(300));
        assert_eq!(delay(u32::MAX, 1.0), Duration::from_secs(300));
    }
}
