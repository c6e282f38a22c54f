//! A PostgreSQL server with pgvector, and databases in it.
//!
//! `cargo xtask test` starts one server for all tests and names it in [`URL_VARIABLE`]. Without the variable, the first
//! test of a process that asks starts one for that process. A server that cannot be started is an error that says what
//! to do; nothing is skipped.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod installed;

pub use installed::{FOLDER, WHEEL, is_installed};

/// Names a server to make databases in. Its user must be allowed to, and to create the extension `vector`.
pub const URL_VARIABLE: &str = "TESTBED_POSTGRES_URL";

const USER: &str = "testbed";
/// A first start on a machine that is busy building.
const START_MAX: Duration = Duration::from_secs(60);
/// Between looking for a free port and taking it, somebody else may.
const STARTS_MAX: u32 = 3;

/// Starts the server, and ends it when the pipe to whoever asked for it closes, however that comes about.
const KEEPER: &str = r#"folder=$1; shift
"$@" >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$folder"
"#;

/// Why there is no PostgreSQL to test with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("PostgreSQL with pgvector is not installed; run `cargo xtask setup`")]
    NotInstalled,
    #[error("cannot {doing}")]
    Io {
        doing: String,
        source: std::io::Error,
    },
    #[error("`{program}` failed: {told}")]
    Program { program: String, told: String },
    #[error("PostgreSQL was not ready within {} s: {log}", START_MAX.as_secs())]
    NotReady { log: String },
}

/// A running server. It ends when this is dropped, or when the process ends without dropping it.
#[derive(Debug)]
pub struct Server {
    keeper: Child,
    url: String,
}

impl Server {
    /// Makes a cluster in a temporary folder (its path is short and anybody may enter it) and starts it on a free port
    /// of loopback. What makes PostgreSQL survive power cuts is off.
    ///
    /// # Errors
    /// [`Error`], which says what to do.
    pub fn start() -> Result<Self, Error> {
        let programs = installed::Programs::find().ok_or(Error::NotInstalled)?;
        let account = installed::Account::unprivileged()?;
        let programs = programs.reachable_by(account)?;
        let folder = tempfile::Builder::new()
            .prefix("testbed-postgres-")
            .tempdir()
            .map_err(io("make a folder for PostgreSQL"))?
            .keep();
        let started = Self::start_in(&folder, &programs, account);
        if started.is_err() {
            let _ = std::fs::remove_dir_all(&folder);
        }
        started
    }

    fn start_in(
        folder: &Path,
        programs: &installed::Programs,
        account: installed::Account,
    ) -> Result<Self, Error> {
        let password = password()?;
        let password_file = folder.join("password");
        std::fs::write(&password_file, &password).map_err(io("write a password file"))?;
        account.own(folder)?;
        account.own(&password_file)?;
        let cluster = folder.join("cluster");
        let mut initdb = account.command(&programs.path("initdb"), folder);
        initdb
            .arg("--pgdata")
            .arg(&cluster)
            .args(["--username", USER, "--auth", "scram-sha-256", "--pwfile"])
            .arg(&password_file)
            .args(["--locale", "C", "--encoding", "UTF8", "--no-sync"]);
        run(&mut initdb)?;

        let mut told = String::new();
        for _ in 0..STARTS_MAX {
            let port = free_port()?;
            let mut keeper = keeper(folder, &cluster, port, programs, account)?;
            if is_ready(&mut keeper, port, programs) {
                return Ok(Self {
                    keeper,
                    url: format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres"),
                });
            }
            told = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        Err(Error::NotReady { log: told })
    }

    /// Where it is, as its superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The URL of a new, empty database in the server that the tests of this process share.
///
/// # Errors
/// [`Error`], which says what to do.
pub fn database() -> Result<String, Error> {
    static OWN: OnceLock<Server> = OnceLock::new();
    static STARTING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    static NUMBER: AtomicU32 = AtomicU32::new(0);

    let server = match std::env::var(URL_VARIABLE) {
        Ok(url) => url,
        Err(_) => {
            let _one_at_a_time = STARTING
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match OWN.get() {
                Some(server) => server.url.clone(),
                None => OWN
                    .get_or_init({
                        let server = Server::start()?;
                        || server
                    })
                    .url
                    .clone(),
            }
        }
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let programs = installed::Programs::find().ok_or(Error::NotInstalled)?;
    let mut createdb = Command::new(programs.path("createdb"));
    createdb.arg("--maintenance-db").arg(&server);
    run(createdb.args(["--template", "template0"]).arg(&name))?;
    let (before, query) = match server.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (server.as_str(), String::new()),
    };
    let host = before.rsplit_once('/').map_or(before, |(host, _)| host);
    Ok(format!("{host}/{name}{query}"))
}

fn keeper(
    folder: &Path,
    cluster: &Path,
    port: u16,
    programs: &installed::Programs,
    account: installed::Account,
) -> Result<Child, Error> {
    let mut keeper = account.command(Path::new("/bin/sh"), folder);
    keeper
        .args(["-c", KEEPER, "testbed-postgres"])
        .arg(folder)
        .arg(programs.path("postgres"))
        .arg("-D")
        .arg(cluster);
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "autovacuum=off".to_owned(),
    ];
    for setting in settings {
        keeper.args(["-c", &setting]);
    }
    // Ctrl-C in a terminal ends the tests; the pipe tells the keeper.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
    keeper
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io("start PostgreSQL"))
}

fn is_ready(keeper: &mut Child, port: u16, programs: &installed::Programs) -> bool {
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        let asked = Command::new(programs.path("pg_isready"))
            .args(["--quiet", "--host", "127.0.0.1", "--username", USER])
            .args(["--port", &port.to_string()])
            .status();
        if asked.is_ok_and(|status| status.success()) {
            return true;
        }
        if !matches!(keeper.try_wait(), Ok(None)) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(io("find a free port"))
}

/// Other users of the machine can reach the port.
fn password() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))
        .map_err(io("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs a program to its end; what it wrote is told only when it failed.
fn run(command: &mut Command) -> Result<(), Error> {
    let name = Path::new(command.get_program()).file_name();
    let program = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(io(format!("start {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Program { program, told })
}

fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io {
        doing: doing.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Server, database, installed, run};
    use std::time::{Duration, Instant};

    fn asks(url: &str) -> bool {
        let programs = installed::Programs::find().unwrap();
        let mut psql = Command::new(programs.path("psql"));
        run(psql.arg(url).args(["-c", "CREATE EXTENSION vector"])).is_ok()
    }

    #[test]
    fn each_database_is_its_own_and_has_vectors() {
        let (one, other) = (database().unwrap(), database().unwrap());
        assert_ne!(one, other);
        assert!(asks(&one) && asks(&other));
    }

    #[test]
    fn a_dropped_server_leaves_neither_process_nor_folder() {
        let server = Server::start().unwrap();
        let url = server.url().to_owned();
        assert!(asks(&url));
        drop(server);
        assert!(!asks(&url));
    }

    /// A killed test run cannot drop anything; its end of the pipe closes all the same.
    #[test]
    fn a_server_ends_with_the_pipe_to_its_keeper() {
        let mut server = Server::start().unwrap();
        drop(server.keeper.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.keeper.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the server outlived its pipe");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
