//! Back-ups: a copy of a database file as it was at one moment, also while a server writes to it.

use super::examine::faults;
use super::{connect, doing};
use crate::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages that are copied between two looks at the progress: 4 MiB of a usual file.
const PAGES_PER_STEP: i32 = 1_024;

/// What the names of copies end with that are being made.
const DRAFT: &str = ".partial";
/// Drafts of one process for one target, at most; each holds a whole copy.
const DRAFTS_MAX: u32 = 1_000;
/// A draft that nobody has written to for so long is nobody's: checking a copy takes less.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the back-up is refused.
    Keep,
    /// The back-up takes its place, once that is complete.
    Replace,
}

/// How far a back-up has come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// Copied so far.
    pub copied: u64,
    /// In all.
    pub total: u64,
}

/// A back-up that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Bytes of the copy.
    pub bytes: u64,
    /// The version of its schema.
    pub schema: u32,
    /// Runs in it that have not ended.
    pub runs_unfinished: u64,
}

/// No back-up was made. Nothing is left of it, and a file that was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target is there, and is to stay.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The target is the database itself, or what belongs to it.
    #[error("{} belongs to the database itself", .0.display())]
    Itself(PathBuf),
    /// The file holds no database of ours.
    #[error("{} is no database of Stepwell", .0.display())]
    Foreign(PathBuf),
    /// The copy is damaged, as the database is, or the disk of the copy does not keep what is written to it.
    #[error("the copy is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// The database cannot be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refuses something.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What it refused.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Copies a database to a file, as it is at the beginning, and checks the copy. Whoever writes to the database goes on; what it
/// writes meanwhile stays in its log until the copy is made.
///
/// The copy is complete or not there at all: it is made beside its place, synced, checked, and moved there in one step.
///
/// # Errors
/// [`BackupError`].
pub fn backup(
    database: &Path,
    target: &Path,
    existing: Existing,
    mut progress: impl FnMut(BackupProgress),
) -> Result<BackedUp, BackupError> {
    if !database.is_file() {
        // Opening would say less.
        return Err(file("find", database)(ErrorKind::NotFound.into()));
    }
    if belongs_to(target, database) {
        return Err(BackupError::Itself(target.to_owned()));
    }
    let draft = Draft::beside(target, existing)?;
    let source = connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    copy(&source, &draft.path, &mut progress)?;
    drop(source);
    let found = check(&draft.path, database)?;
    draft.put(target)?;
    Ok(found)
}

/// Copies all pages of one moment.
fn copy(
    source: &Connection,
    target: &Path,
    progress: &mut impl FnMut(BackupProgress),
) -> Result<(), StoreError> {
    // Holds the moment: without it every commit of a server would begin the copy anew.
    source
        .execute_batch("begin; select count(*) from sqlite_schema;")
        .map_err(doing("reading the database"))?;
    let page_bytes: u64 = source
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .map_err(doing("reading the database"))?;
    let mut copy = connect(target, OpenFlags::default())?;
    let backup = Backup::new(source, &mut copy).map_err(doing("copying the database"))?;
    loop {
        let copying = doing("copying the database");
        let done = match backup.step(PAGES_PER_STEP).map_err(&copying)? {
            StepResult::Done => true,
            StepResult::More => false,
            // It holds the moment already, and the copy is nobody else's: whoever is in the way is no friend.
            _ => return Err(copying(busy())),
        };
        let pages = backup.progress();
        let bytes = |count: i32| u64::try_from(count).unwrap_or(0) * page_bytes;
        progress(BackupProgress {
            copied: bytes(pages.pagecount - pages.remaining),
            total: bytes(pages.pagecount),
        });
        if done {
            break;
        }
    }
    drop(backup);
    // One file by itself, without a log: it may be moved and copied like any other.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
        .map_err(doing("finishing the copy"))?;
    copy.close()
        .map_err(|(_, error)| doing("finishing the copy")(error))
}

fn check(copy: &Path, database: &Path) -> Result<BackedUp, BackupError> {
    let connection = connect(copy, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let faults = faults(&connection, false)?;
    if !faults.is_empty() {
        return Err(BackupError::Damaged(faults));
    }
    let asked = |question: &str| {
        connection
            .query_row(question, [], |row| row.get::<_, u64>(0))
            .map_err(doing("checking the copy"))
    };
    let schema = asked("select user_version from pragma_user_version")?;
    if schema == 0 || asked("select count(*) from sqlite_schema where name = 'runs'")? == 0 {
        return Err(BackupError::Foreign(database.to_owned()));
    }
    let runs_unfinished = asked("select count(*) from runs where ended_at is null")?;
    let metadata = std::fs::metadata(copy).map_err(file("look at", copy))?;
    Ok(BackedUp {
        bytes: metadata.len(),
        schema: u32::try_from(schema).unwrap_or(u32::MAX),
        runs_unfinished,
    })
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)
}

/// Whether a file is the database, or is used for it.
fn belongs_to(target: &Path, database: &Path) -> bool {
    let (target, database) = (real(target), real(database));
    ["", "-wal", "-shm", "-journal", ".lock"]
        .into_iter()
        .any(|ending| with(&database, ending) == target)
}

/// A path without detours, also when there is no such file yet.
fn real(path: &Path) -> PathBuf {
    let in_folder = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    let real = path.canonicalize().ok().or_else(in_folder);
    real.unwrap_or_else(|| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// A copy that is being made; removed unless it is put in its place.
struct Draft {
    path: PathBuf,
    /// Whether the target is an empty file that holds the place.
    placeholder: Option<PathBuf>,
}

impl Draft {
    fn beside(target: &Path, existing: Existing) -> Result<Self, BackupError> {
        remove_abandoned(target);
        let mut draft = Self {
            path: make_draft(target)?,
            placeholder: None,
        };
        if existing == Existing::Keep {
            // Made here, so that of two at the same time one is refused.
            match OpenOptions::new().write(true).create_new(true).open(target) {
                Ok(_) => draft.placeholder = Some(target.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(BackupError::Exists(target.to_owned()));
                }
                Err(error) => return Err(file("make", target)(error)),
            }
        }
        Ok(draft)
    }

    fn put(mut self, target: &Path) -> Result<(), BackupError> {
        let synced = File::open(&self.path).and_then(|copy| copy.sync_all());
        synced.map_err(file("sync", &self.path))?;
        std::fs::rename(&self.path, target).map_err(file("make", target))?;
        self.placeholder = None;
        // The name is to survive the machine, too, where a folder can be synced.
        File::open(folder_of(target))
            .and_then(|folder| folder.sync_all())
            .unwrap_or_default();
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.path);
        remove(&with(&self.path, "-journal"));
        if let Some(placeholder) = &self.placeholder {
            remove(placeholder);
        }
    }
}

/// An empty file beside the target, of a name of its own: others may make a back-up with this target at the same time.
fn make_draft(target: &Path) -> Result<PathBuf, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // It will hold what the database holds.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut number = 0_u32;
    loop {
        let path = with(target, &format!(".{}-{number}{DRAFT}", std::process::id()));
        match options.open(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < DRAFTS_MAX => {
                number += 1;
            }
            Err(error) => return Err(file("make", target)(error)),
        }
    }
}

/// Removes drafts for this target that were left behind when those who made them were killed.
fn remove_abandoned(target: &Path) {
    let Some(name) = target.file_name().map(|name| name.to_string_lossy()) else {
        return;
    };
    let (first, entries) = (format!("{name}."), std::fs::read_dir(folder_of(target)));
    for entry in entries.into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        let own = found
            .strip_prefix(&first)
            .and_then(|rest| rest.strip_suffix(DRAFT))
            .and_then(|numbers| numbers.split_once('-'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_draft = own.is_some_and(|(process, nth)| is_number(process) && is_number(nth));
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|at| at.elapsed().ok());
        if is_draft && age.is_some_and(|age| age > ABANDONED) {
            remove(&entry.path());
        }
    }
}

/// Removes a file if it is there.
fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap_or_default();
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
