//! `stepwell keys`: the keys that a server and its apps share.

use crate::printing;
use anyhow::Context;
use clap::{Args, Subcommand};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::json;

/// As many as HMAC-SHA256 makes use of.
const KEY_BYTES: usize = 32;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an event key and a signing key, as lines for an environment file. They are random and kept nowhere.
    New {
        /// The environment that the signing key names; SDKs show it and compare nothing.
        #[arg(long, default_value = "prod", value_parser = check_name, value_name = "NAME")]
        name: String,
    },
}

/// What SDKs take between `signkey-` and the key.
fn check_name(text: &str) -> Result<String, String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.is_empty() || !text.chars().all(is_word) {
        return Err("only letters, digits and _ may be in it".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let Command::New { name } = &arguments.command;
    let event_key = random_hex()?;
    let signing_key = format!("signkey-{name}-{}", random_hex()?);
    if json {
        return printing::value(&json!({"event_key": event_key, "signing_key": signing_key}));
    }
    // Names that the server reads and SDKs, too: one file does for both.
    printing::line(&format!(
        "INNGEST_EVENT_KEY={event_key}\nINNGEST_SIGNING_KEY={signing_key}"
    ))
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .context("the system gives no random bytes")?;
    Ok(hex::encode(bytes))
}
