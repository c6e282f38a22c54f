//! A real store that can be told to refuse, and to die.

use crate::scenario::StoreKind;
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_store::sqlite::{self, Durability, Options};
use stepwell_store::{Pruned, Reader, Slice, Store, StoreError, memory};
use tempfile::TempDir;

/// The store of a simulation.
pub(crate) struct FaultyStore {
    store: Store,
    /// Where the file is, if there is one.
    folder: Option<TempDir>,
    /// Writes and probes that are refused from now on.
    refusals: u32,
}

impl FaultyStore {
    /// # Errors
    /// What the file system or the store says.
    pub(crate) fn open(kind: StoreKind) -> Result<Self, StoreError> {
        let (store, folder) = match kind {
            StoreKind::Memory => (memory::open(), None),
            StoreKind::Sqlite => {
                let folder = tempfile::tempdir().map_err(|source| StoreError::Open {
                    path: std::env::temp_dir(),
                    source,
                })?;
                (open_file(&folder)?, Some(folder))
            }
        };
        Ok(Self {
            store,
            folder,
            refusals: 0,
        })
    }

    /// Refuses the next commit, and then so many probes.
    pub(crate) fn refuse(&mut self, probes: u32) {
        self.refusals = probes + 1;
    }

    pub(crate) fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.ask()?;
        self.store.writer.commit(changes)
    }

    pub(crate) fn probe(&mut self) -> Result<(), StoreError> {
        self.ask()
    }

    fn ask(&mut self) -> Result<(), StoreError> {
        if self.refusals == 0 {
            return Ok(());
        }
        self.refusals -= 1;
        Err(StoreError::Full)
    }

    pub(crate) fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.store.writer.prune(slice)
    }

    pub(crate) fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.store.writer.load(now)
    }

    pub(crate) fn reader(&self) -> &dyn Reader {
        &*self.store.reader
    }

    /// Closes the file, as the end of its process does, and opens it again. Memory stays: it stands for a file here.
    pub(crate) fn reopen(&mut self) -> Result<(), StoreError> {
        self.refusals = 0;
        if let Some(folder) = &self.folder {
            // Only one may have the file open.
            let nothing = memory::open();
            drop(std::mem::replace(&mut self.store, nothing));
            self.store = open_file(folder)?;
        }
        Ok(())
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        // The file goes before its folder does.
        self.store = memory::open();
    }
}

fn open_file(folder: &TempDir) -> Result<Store, StoreError> {
    sqlite::open(&Options {
        durability: Durability::Process,
        ..Options::new(folder.path().join("sim.db"))
    })
}
