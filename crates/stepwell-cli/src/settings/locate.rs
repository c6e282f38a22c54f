//! Where the configuration file is.

use super::Surroundings;
use std::path::{Path, PathBuf};

/// Names of files that are looked for, the first before the others.
const NAMES: &[&str] = &[
    "stepwell.yaml",
    "stepwell.yml",
    "stepwell.json",
    "stepwell.toml",
    "inngest.json",
    "inngest.yaml",
    "inngest.yml",
];
/// Folders in the user's own that are looked into last.
const USER_FOLDERS: &[&str] = &[".config/stepwell", ".config/inngest"];

/// The file that was asked for, which must be there; or the first that is found from the folder upwards, then in the
/// user's configuration.
pub(super) fn find(
    asked_for: Option<&Path>,
    surroundings: &Surroundings,
) -> Result<Option<PathBuf>, String> {
    if let Some(path) = asked_for {
        let path = surroundings.folder.join(path);
        return if path.is_file() {
            Ok(Some(path))
        } else {
            Err(format!("there is no configuration file {}", path.display()))
        };
    }
    let upwards = surroundings.folder.ancestors().map(Path::to_owned);
    let of_user = surroundings.home.iter().flat_map(|home| {
        let folders = USER_FOLDERS.iter();
        folders.map(move |folder| home.join(folder))
    });
    let mut candidates = upwards
        .chain(of_user)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)));
    Ok(candidates.find(|path| path.is_file()))
}
