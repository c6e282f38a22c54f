//! `stepwell start`: a server for production.

use crate::serving::{self, Keys, Shape};
use anyhow::bail;
use clap::Args;
use stepwell_server::{EventKeys, Polling, ServerKind};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    serving: serving::Options,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let options = &arguments.serving;
    let keys = options.keys()?;
    let mut missing = Vec::new();
    if keys.signing.is_none() {
        missing.push("signing-key is required");
    }
    if keys.events.is_empty() {
        missing.push("at least one event-key is required");
    }
    if !missing.is_empty() {
        bail!(
            "{}\n\n  Make keys with `stepwell keys new`. Give them to the server in STEPWELL_SIGNING_KEY and STEPWELL_EVENT_KEY, or in\n  \
             its configuration file, and to your apps in INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY.",
            missing.join("; ")
        );
    }
    let shape = Shape {
        kind: ServerKind::Cloud,
        database: options.database(true)?,
        keys: Keys {
            events: EventKeys::These(keys.events),
            signing: keys.signing,
            fallback: keys.fallback,
        },
        polling: Polling::Failing,
        finds: false,
        private_addresses: options.private_addresses(false),
        json,
    };
    serving::run(options, shape)
}
