//! The studio's web API and all-in-one mode.
//!
//! [`Studio`] is everything in one process: the engine on a SQLite file, the jobs, the web API and health
//! endpoints, on loopback. The commands of the binary `studio233` are in [`commands`]; all but `serve` are
//! clients of the web API, of a running studio's or of one that they start for themselves.
//!
//! The web API is also the producers: registering a brand asset sends the event that has it read.

mod api;
mod client;
pub mod commands;
mod data_folder;
mod engine;
mod progress;
mod run_view;
mod server_file;
mod studio;
mod terminal;

pub use studio::Studio;
