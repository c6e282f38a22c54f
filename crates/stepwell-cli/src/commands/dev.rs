//! `stepwell dev`: a server for development.

use crate::serving::{self, Keys, Shape};
use clap::Args;
use stepwell_server::{EventKeys, Polling, ServerKind};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    serving: serving::Options,
    /// Do not look for apps on the usual ports of this machine.
    #[arg(help_heading = "Apps", long, env = "STEPWELL_NO_DISCOVERY")]
    no_discovery: bool,
    /// Ask an app to register only until it has, and again when it fails, rather than always.
    #[arg(help_heading = "Apps", long, env = "STEPWELL_NO_POLL")]
    no_poll: bool,
    /// Keep everything in the folder of --sqlite-dir. Without it or --db, all is forgotten when the server stops.
    #[arg(help_heading = "State", long, env = "STEPWELL_PERSIST")]
    persist: bool,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let options = &arguments.serving;
    let keys = options.keys()?;
    let shape = Shape {
        kind: ServerKind::Dev,
        database: options.database(arguments.persist)?,
        keys: Keys {
            events: if keys.events.is_empty() {
                EventKeys::Any
            } else {
                EventKeys::These(keys.events)
            },
            signing: keys.signing,
            fallback: keys.fallback,
        },
        polling: if arguments.no_poll {
            Polling::Failing
        } else {
            Polling::All
        },
        finds: !arguments.no_discovery,
        private_addresses: options.private_addresses(true),
        json,
    };
    serving::run(options, shape)
}
