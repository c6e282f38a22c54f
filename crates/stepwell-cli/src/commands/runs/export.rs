//! `stepwell runs export`.

use super::filter::Filter;
use crate::client::Client;
use anyhow::Context;
use clap::Args;
use serde_json::Value;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Write to this file instead of the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add each run's steps and attempts, as `trace`.
    #[arg(long)]
    trace: bool,
}

pub(super) fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let name = match &arguments.output {
        Some(path) => path.display().to_string(),
        None => "the standard output".to_owned(),
    };
    let more = [
        ("includeOutput", "true".to_owned()),
        ("order", "ASC".to_owned()),
    ];
    let mut out = None;
    let mut written = Ok(());
    arguments.filter.pages(client, &more, |page| {
        written = open(&mut out, arguments.output.as_deref())
            .and_then(|out| write_all(client, out, page, arguments.trace));
        written.is_ok()
    })?;
    if let (Ok(()), Some(mut out)) = (&written, out) {
        written = out.flush().map_err(anyhow::Error::from);
    }
    match written {
        // A reader that has had enough, such as `head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        written => written.with_context(|| format!("cannot write all runs to {name}")),
    }
}

type Out = BufWriter<Box<dyn Write>>;

/// Where runs go. A file is not touched before the server has answered.
fn open<'o>(out: &'o mut Option<Out>, path: Option<&Path>) -> anyhow::Result<&'o mut Out> {
    let opened: Out = match out.take() {
        Some(opened) => opened,
        None => BufWriter::new(match path {
            Some(path) => Box::new(std::fs::File::create(path)?),
            None => Box::new(std::io::stdout().lock()),
        }),
    };
    Ok(out.insert(opened))
}

fn write_all(
    client: &Client,
    out: &mut Out,
    runs: Vec<Value>,
    with_trace: bool,
) -> anyhow::Result<()> {
    runs.into_iter()
        .try_for_each(|run| write(client, out, run, with_trace))
}

fn write(
    client: &Client,
    out: &mut impl Write,
    mut run: Value,
    with_trace: bool,
) -> anyhow::Result<()> {
    if with_trace && let Some(id) = run["id"].as_str() {
        let query = [("includeOutput", "true".to_owned())];
        let trace = client.get(&["v2", "runs", id, "trace"], &query)?;
        run["trace"] = trace["data"]["rootSpan"].clone();
    }
    writeln!(out, "{run}")?;
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
