//! Realtime, as browsers and publishers meet it.

mod client;
mod delivery;
mod runs;
mod tokens;
