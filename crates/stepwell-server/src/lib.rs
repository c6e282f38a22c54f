//! The HTTP server: events come in, apps register, runs are read.
//!
//! [`router`] gives the routes over a running engine's [`stepwell_runtime::Handle`]; [`Poller`] asks development apps to register again
//! and again; [`Gateway`] is where workers connect that call out instead of being called. The server decides nothing: every request becomes an input of the engine or a question to the
//! store.

mod access;
mod answer;
mod body;
mod connect;
mod endings;
mod poller;
mod routes;
mod state;

pub use access::EventKeys;
pub use connect::{ConnectOptions, ConnectTimes, Gateway};
pub use poller::{Poller, PollerOptions};
pub use routes::router;
pub use state::{ServerKind, ServerOptions};
