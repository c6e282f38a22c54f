//! `server.json` in the data folder: how commands find a running studio.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const NAME: &str = "server.json";
const BYTES_MAX: u64 = 4 * 1024;

/// Where a studio is, written once it takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    /// The web API's origin.
    pub(crate) url: String,
    /// The process.
    pub(crate) pid: u32,
}

impl ServerFile {
    fn path(data: &Path) -> PathBuf {
        data.join(NAME)
    }

    /// What the folder's file says; nothing when there is none, or none that can be read.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let path = Self::path(data);
        let size = std::fs::metadata(&path).ok()?.len();
        let text = (size <= BYTES_MAX).then(|| std::fs::read(&path).ok())??;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the file in one step, so that nobody reads half of it.
    pub(crate) fn write(&self, data: &Path) -> std::io::Result<()> {
        let new = data.join("server.json.new");
        let text = serde_json::to_vec(self).expect("text and numbers serialise");
        std::fs::write(&new, text)?;
        std::fs::rename(new, Self::path(data))
    }

    /// Removes the file, if it is this process's.
    pub(crate) fn remove(&self, data: &Path) {
        if Self::read(data).as_ref() == Some(self) {
            // One that stays behind is found to lead nowhere.
            let _ = std::fs::remove_file(Self::path(data));
        }
    }
}
