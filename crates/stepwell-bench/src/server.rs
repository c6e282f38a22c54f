//! The server that is measured.

use crate::Arguments;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a started server may take to be ready.
const READY: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) pid: Option<u32>,
    started: Option<Started>,
}

/// A server that this program started.
struct Started {
    child: Child,
    bin: PathBuf,
    folder: tempfile::TempDir,
    in_memory: bool,
}

impl Server {
    pub(crate) async fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        if let Some(url) = &arguments.url {
            return Ok(Self {
                url: url.trim_end_matches('/').to_owned(),
                pid: arguments.pid,
                started: None,
            });
        }
        let bin = match &arguments.bin {
            Some(bin) => bin.clone(),
            None => beside_this()?,
        };
        let folder = match &arguments.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir_in("."),
        };
        let folder = folder.context("cannot make a folder for the server's file")?;
        let (child, url, _) = start(&bin, folder.path(), arguments.in_memory).await?;
        Ok(Self {
            url,
            pid: child.id(),
            started: Some(Started {
                child,
                bin,
                folder,
                in_memory: arguments.in_memory,
            }),
        })
    }

    /// Kills the server and starts it on the same file again: how long until it is ready. Nothing for a server that this
    /// program did not start, or that keeps no file.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Option<Duration>> {
        let Some(started) = self.started.as_mut().filter(|started| !started.in_memory) else {
            return Ok(None);
        };
        started
            .child
            .kill()
            .await
            .context("cannot stop the server")?;
        let (child, url, took) = start(&started.bin, started.folder.path(), false).await?;
        self.pid = child.id();
        self.url = url;
        started.child = child;
        Ok(Some(took))
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(mut started) = self.started {
            started
                .child
                .kill()
                .await
                .context("cannot stop the server")?;
        }
        Ok(())
    }
}

/// Starts a server: the process, its URL, and how long it took to be ready.
async fn start(
    bin: &Path,
    folder: &Path,
    in_memory: bool,
) -> anyhow::Result<(Child, String, Duration)> {
    let ready = folder.join("ready");
    if ready.exists() {
        std::fs::remove_file(&ready).context("cannot remove the file of an earlier server")?;
    }
    let mut command = Command::new(bin);
    command
        .args([
            "dev",
            "--no-discovery",
            "--port",
            "0",
            "--log",
            "warn",
            // Half of them are for subscribers.
            "--max-connections",
            "16384",
            "--ready-file",
        ])
        .arg(&ready)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    if !in_memory {
        command.arg("--db").arg(folder.join("bench.db"));
    }
    let begun = Instant::now();
    let child = command.spawn().with_context(|| {
        format!(
            "cannot start {}; build it with: cargo build --release -p stepwell-cli",
            bin.display()
        )
    })?;
    let wait = async {
        loop {
            if let Ok(url) = std::fs::read_to_string(&ready) {
                return url;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(READY, wait).await {
        Ok(url) => Ok((child, url, begun.elapsed())),
        Err(_) => bail!("the server was not ready after {} s", READY.as_secs()),
    }
}

fn beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(this.with_file_name(format!("stepwell{}", std::env::consts::EXE_SUFFIX)))
}
