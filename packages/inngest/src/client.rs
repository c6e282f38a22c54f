//! The one client of the studio's jobs.

use stepwell::{Client, Config};

/// The app that the functions belong to, as servers know it.
pub const APP_ID: &str = "studio-233";

/// The client that sends the studio's events and that its functions belong to. Where servers are, and the keys
/// to them, stand in the configuration: [`Config::from_env`] reads the protocol's `INNGEST_…` variables.
#[must_use]
pub fn client(config: Config) -> Client {
    Client::builder(APP_ID, config).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_keeps_the_name_that_servers_know() {
        assert_eq!(client(Config::dev()).app_id(), "studio-233");
    }
}
