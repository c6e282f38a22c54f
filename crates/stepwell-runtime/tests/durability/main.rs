//! Nothing that was acknowledged is lost, and nothing is done twice without need: through outages of the store,
//! stops and restarts.

mod audience;
mod engine;
mod giving_up;
mod outage;
mod restart;
mod retention;
mod upgrades;
