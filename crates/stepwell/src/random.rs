//! Chance, straight from the operating system.

#[cfg(any(feature = "connect", feature = "realtime"))]
use std::time::Duration;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// A number from 0 to below 1.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / 4_294_967_296.0
}

/// At least half of a pause, so that those who lost one server do not come back all at once. `dice` is in `0.0..1.0`.
#[cfg(any(feature = "connect", feature = "realtime"))]
pub(crate) fn shortened(pause: Duration, dice: f64) -> Duration {
    pause.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
}
