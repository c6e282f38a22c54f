//! `stepwell dev`: a server for development.

use crate::serving::{self, Shape};
use clap::Args;
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_server::ServerKind;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    serving: serving::Options,
    /// Ask each app only until it has registered, rather than again and again.
    #[arg(long, env = "STEPWELL_NO_POLL")]
    no_poll: bool,
    /// Whether functions may have the server make requests (step.fetch, step.ai.infer) to this machine and its network,
    /// and durable endpoints be there.
    #[arg(long, env = "STEPWELL_ALLOW_PRIVATE_ADDRESSES", default_value_t = true,
          action = clap::ArgAction::Set, value_name = "BOOL")]
    allow_private_addresses: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let shape = Shape {
        kind: ServerKind::Dev,
        poll_once: arguments.no_poll,
        private_addresses: if arguments.allow_private_addresses {
            PrivateAddresses::Allow
        } else {
            PrivateAddresses::Refuse
        },
    };
    serving::run(&arguments.serving, &shape)
}
