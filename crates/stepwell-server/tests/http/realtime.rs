//! Realtime, as browsers and publishers meet it.

pub(crate) mod client;
mod delivery;
mod runs;
mod tokens;
