//! The jobs.
//!
//! [`all`] is the one list of them; one file each, by domain. [`Deps`] is everything they work with.

pub mod brand;
mod deps;
mod ending;
pub(crate) mod failure;
#[cfg(test)]
pub(crate) mod fixture;
pub mod studio;
pub mod vision;

pub use deps::Deps;

use crate::middleware::{ErrorReporting, Logging, Reporter};
use stepwell::{App, Client, Function};

/// The functions that may spend something, by their ids: those that a budget can be set for.
pub const SPENDING: [&str; 5] = [
    brand::ingestion::ID,
    brand::synthesize::ID,
    brand::vision_sync::ID,
    studio::fashion_item::ID,
    studio::process_workflow::ID,
];

/// Every function of the studio.
#[must_use]
pub fn all(deps: &Deps) -> Vec<Function> {
    vec![
        brand::ingestion::function(deps),
        brand::vision_sync::function(deps),
        brand::synthesize::function(deps),
        brand::ended::function(deps),
        studio::process_workflow::function(deps),
        studio::dry_run::function(deps),
        studio::fashion_item::function(deps),
        studio::ended::function(deps),
        studio::housekeeping::function(deps),
        vision::archive::function(deps),
        vision::cleanup_blobs::function(deps),
        vision::cleanup_temp::function(deps),
    ]
}

/// The app that servers call: every function, with logging, and failures told to `reporter`.
#[must_use]
pub fn app(client: Client, deps: &Deps, reporter: impl Reporter) -> App {
    App::new(client)
        .version(env!("CARGO_PKG_VERSION"))
        .middleware(Logging)
        .middleware(ErrorReporting::new(reporter))
        .functions(all(deps))
}

#[cfg(test)]
mod tests;
