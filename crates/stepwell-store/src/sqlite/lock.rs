//! One process at a time: a lock file beside the database.

use crate::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The lock of a database file; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not do: a child that is being started has the file, too, until it becomes another program.
        // Should it fail, closing the file is what is left.
        drop(self.file.unlock());
    }
}

/// Takes the lock of a database file, which is made if need be, and leaves the process id for whoever comes second.
pub(super) fn acquire(path: &Path) -> Result<Lock, StoreError> {
    let lock_path = beside(&real(path)?);
    let failed = |source| StoreError::Open {
        path: lock_path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // The owner's id only makes the message better.
            let read = file.read_to_string(&mut owner);
            let owner = read.ok().and_then(|_| owner.trim().parse().ok());
            return Err(StoreError::Locked {
                path: path.to_owned(),
                owner,
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let note = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    note.map_err(failed)?;
    Ok(Lock { file })
}

/// The path without links, so that a database has one lock by whatever name it is opened.
fn real(path: &Path) -> Result<PathBuf, StoreError> {
    let found = match path.canonicalize() {
        // A link may lead to a file that is still to be made. Once it is there, all names lead to it; an empty file
        // is an empty database.
        Err(error) if error.kind() == ErrorKind::NotFound => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|_| path.canonicalize()),
        found => found,
    };
    found.map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::acquire;

    #[test]
    fn a_process_that_is_being_started_does_not_keep_a_dropped_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stepwell.db");
        let lock = acquire(&path).expect("nobody has it");
        // What a child has of all open files until it becomes another program.
        let _inherited = lock.file.try_clone().expect("the file is open");
        drop(lock);
        acquire(&path).expect("it was given back");
    }
}
