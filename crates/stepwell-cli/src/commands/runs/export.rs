//! `stepwell runs export`.

use super::filter::Filter;
use crate::client::Client;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use std::fs::File;
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
        written = opened(&mut out, arguments.output.as_deref())
            .and_then(|out| write_all(client, &mut out.stream, page, arguments.trace));
        written.is_ok()
    })?;
    if let (Ok(()), Some(out)) = (&written, out) {
        written = out.finish();
    }
    match written {
        // A reader that has had enough, such as `head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        written => written.with_context(|| format!("cannot write all runs to {name}")),
    }
}

/// Where runs go. A file is made beside its place and moved there when all runs are in it: until then, whatever is there
/// stays as it is.
struct Out {
    stream: BufWriter<Box<dyn Write>>,
    draft: Option<Draft>,
}

impl Out {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let (stream, draft): (Box<dyn Write>, _) = match path {
            None => (Box::new(std::io::stdout().lock()), None),
            // A pipe or a device, such as /dev/null, is written to.
            Some(path) if path.exists() && !path.is_file() => {
                (Box::new(File::options().write(true).open(path)?), None)
            }
            Some(path) => {
                let (draft, file) = Draft::beside(path)?;
                (Box::new(file), Some(draft))
            }
        };
        Ok(Self {
            stream: BufWriter::new(stream),
            draft,
        })
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.stream.flush()?;
        drop(self.stream);
        match self.draft {
            Some(draft) => draft.take_place(),
            None => Ok(()),
        }
    }
}

/// A file that is being written; removed unless it was moved.
struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Draft {
    fn beside(path: &Path) -> anyhow::Result<(Self, File)> {
        // Of a link, what it leads to is replaced.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let draft = Self {
            path: PathBuf::from(name),
            place,
        };
        let known = std::fs::metadata(&draft.place).ok();
        if known
            .as_ref()
            .is_some_and(|known| known.permissions().readonly())
        {
            bail!("{} may not be written to", draft.place.display());
        }
        let file = File::create_new(&draft.path)
            .with_context(|| format!("cannot make {}", draft.path.display()))?;
        if let Some(known) = known {
            file.set_permissions(known.permissions())?;
        }
        Ok((draft, file))
    }

    /// What was written is on the disk before it replaces anything.
    fn take_place(self) -> anyhow::Result<()> {
        let moved = File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.place));
        moved.with_context(|| format!("cannot move {} into place", self.path.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it was moved, there is nothing.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// Opens the place when the first page has come.
fn opened<'o>(out: &'o mut Option<Out>, path: Option<&Path>) -> anyhow::Result<&'o mut Out> {
    let opened = match out.take() {
        Some(opened) => opened,
        None => Out::open(path)?,
    };
    Ok(out.insert(opened))
}

fn write_all(
    client: &Client,
    out: &mut impl Write,
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
