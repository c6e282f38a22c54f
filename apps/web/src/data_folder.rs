//! The data folder: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use studio233_setup::Failure;

const LOCK: &str = "studio.lock";

/// A folder that this process has, as long as this lives; the system gives it back when the process ends, however it
/// does.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// `data_folder`, or `data_in_use` with the other process.
    pub(crate) fn take(path: &Path) -> Result<Self, Failure> {
        let unusable = |doing: &str, error: &std::io::Error| {
            Failure::new(
                "data_folder",
                format!("cannot {doing} {}: {error}", path.display()),
            )
            .hint("name a folder that you may write to with --data")
        };
        std::fs::create_dir_all(path).map_err(|error| unusable("make the folder", &error))?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|error| unusable("write into", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(unusable("lock", &error)),
        }
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()));
        noted.map_err(|error| unusable("write into", &error))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn in_use(path: &Path, lock: &mut File) -> Failure {
    let mut pid = String::new();
    // Who holds it is a courtesy.
    let read = Read::by_ref(lock).take(20).read_to_string(&mut pid);
    let pid = pid.trim();
    let owner = match read.is_ok() && pid.parse::<u32>().is_ok() {
        true => format!(" (pid {pid})"),
        false => String::new(),
    };
    Failure::new(
        "data_in_use",
        format!("{} is in use by another process{owner}", path.display()),
    )
    .hint("stop that process, or name another folder with --data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let taken = DataFolder::take(&path).unwrap();
        let refused = DataFolder::take(&path).unwrap_err();
        assert_eq!(refused.code, "data_in_use");
        let pid = std::process::id();
        assert!(
            refused.message.ends_with(&format!("(pid {pid})")),
            "{refused}"
        );
        drop(taken);
        DataFolder::take(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataFolder::take(&file.path().join("data")).unwrap_err();
        assert_eq!(refused.code, "data_folder");
    }
}
