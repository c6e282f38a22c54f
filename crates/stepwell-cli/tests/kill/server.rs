//! The real binary, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long a server may take to get ready or to stop. Far beyond what it needs; only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that gives no signal.
const LOOK: Duration = Duration::from_millis(2);

/// A folder for one server after another: the database, the ready file, what the servers said.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("stepwell.db")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What all servers of this folder have written to their standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }
}

/// A running `stepwell dev`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    ready: PathBuf,
    stderr: PathBuf,
}

impl Server {
    /// Starts a server on the folder's database and a free port, and does not wait for it.
    pub(crate) fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::start_by(stepwell(), folder, &folder.database(), arguments)
    }

    /// The same by a command that goes before the binary's arguments, on any database.
    pub(crate) fn start_by(
        mut command: Command,
        folder: &Folder,
        database: &Path,
        arguments: &[&str],
    ) -> Self {
        command
            .args(["dev", "--port", "0", "--no-discovery"])
            .env("STEPWELL_LOG", "warn")
            .arg("--db")
            .arg(database)
            .args(arguments);
        Self::launch(command, folder)
    }

    /// Starts a server by a whole command, but for what says when it is ready.
    pub(crate) fn launch(mut command: Command, folder: &Folder) -> Self {
        let ready = folder.path("ready");
        // The file of the one before would be believed.
        if let Err(error) = std::fs::remove_file(&ready) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
        let stderr = folder.path("stderr");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&stderr)
            .expect("the log can be opened");
        let child = command
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        Self {
            child,
            ready,
            stderr,
        }
    }

    /// Waits until the server takes requests; returns its URL.
    pub(crate) async fn url(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(url) = std::fs::read_to_string(&self.ready) {
                return url;
            }
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                panic!("the server ended with {status}: {}", self.said());
            }
            assert!(
                Instant::now() < deadline,
                "the server does not get ready: {}",
                self.said()
            );
            sleep(LOOK).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the process was not waited for")
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }

    /// Asks the server to stop, as an init system would.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        use nix::sys::signal::{Signal, kill};
        let pid = i32::try_from(self.pid()).expect("a process id fits");
        kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("the process is there");
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the server does not stop: {}", self.said()))
            .expect("the process can be waited for")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

/// The binary under test, with nothing from the environment that it would take for an option.
pub(crate) fn stepwell() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_stepwell")));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("STEPWELL_") || text.starts_with("INNGEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// A client for the servers; they speak HTTP only, but it wants to know how it would do TLS.
pub(crate) fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .expect("the client can be set up")
}
