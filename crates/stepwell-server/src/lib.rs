//! The HTTP server: events come in, apps register, runs are read.
//!
//! [`router`] gives the routes over a running engine's [`stepwell_runtime::Handle`]; [`serve`] serves them over connections of which
//! none holds up the others; [`Gateway`] is where workers connect that call out instead of being called; [`Poller`] asks
//! development apps to register again and again. The server decides nothing: every request becomes an input of the engine or a question to the
//! store.

mod access;
mod answer;
mod apps;
mod body;
mod configuration;
mod connect;
mod connections;
mod endings;
mod finder;
mod graphql;
mod metrics;
mod poller;
mod realtime;
mod removal;
mod routes;
mod state;
mod tracer;

pub use access::{EventKeys, MetricsToken};
pub use apps::{Apps, KnownApp};
pub use connect::{ConnectOptions, ConnectTimes, Gateway};
pub use connections::{ConnectionLimits, serve};
pub use poller::{Poller, PollerOptions, Polling};
pub use routes::router;
pub use state::{ServerKind, ServerOptions};
pub use tracer::{TraceCounts, Tracer, TracerError, TracerOptions};
