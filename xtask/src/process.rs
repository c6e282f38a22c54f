//! Running other programs, with errors that say which one and what to do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::console;

/// Runs to the end with the terminal as it is; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs to the end with the terminal as it is; whether the exit code was 0.
pub(crate) fn passes(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    Ok(status.success())
}

/// Runs to the end, shows each line of standard output as it comes and keeps it. The flag says whether the exit code was 0.
pub(crate) fn run_and_keep(command: &mut Command) -> Result<(bool, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let output = child
        .stdout
        .take()
        .context("standard output was not piped")?;
    let mut kept = String::new();
    for line in BufReader::new(output).split(b'\n') {
        let line =
            line.with_context(|| format!("cannot read the output of `{}`", shown(command)))?;
        let line = String::from_utf8_lossy(&line);
        console::line(&line);
        kept.push_str(&line);
        kept.push('\n');
    }
    let status = child
        .wait()
        .with_context(|| format!("`{}` was lost", shown(command)))?;
    Ok((status.success(), kept))
}

/// Standard output of a program that has to succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` did not write UTF-8", shown(command)))
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy()),
    );
    words.join(" ")
}
