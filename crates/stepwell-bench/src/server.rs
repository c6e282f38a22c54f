//! The server that is measured.

use crate::Arguments;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a started server may take to be ready.
const READY: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) pid: Option<u32>,
    started: Option<(Child, tempfile::TempDir)>,
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
        let ready = folder.path().join("ready");
        let mut command = Command::new(&bin);
        command
            .args(["dev", "--port", "0", "--log", "warn", "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if !arguments.in_memory {
            command.arg("--db").arg(folder.path().join("bench.db"));
        }
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
        let Ok(url) = tokio::time::timeout(READY, wait).await else {
            bail!("the server was not ready after {} s", READY.as_secs());
        };
        Ok(Self {
            url,
            pid: child.id(),
            started: Some((child, folder)),
        })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some((mut child, _folder)) = self.started {
            child.kill().await.context("cannot stop the server")?;
        }
        Ok(())
    }
}

fn beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(this.with_file_name(format!("stepwell{}", std::env::consts::EXE_SUFFIX)))
}
