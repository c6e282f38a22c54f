//! `cleanup-vision-temp`: a temporary file is deleted, some time after it was last needed.
//!
//! | step | does |
//! |---|---|
//! | `wait-for-safety-window` | sleeps five minutes, for whoever still reads the file |
//! | `prune-file` | deletes it; one that is gone is fine |
//!
//! Only files in the folder for temporary files are deleted. Events come from many producers, so what names anything
//! else is refused, and not tried again.

use crate::events::vision::CleanupRequested;
use crate::functions::Deps;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use stepwell::{Context, Error, Function, State};

/// The function's id.
pub const ID: &str = "cleanup-vision-temp";

/// How long a file stays after it was said not to be needed.
pub const SAFETY_WINDOW: Duration = Duration::from_secs(5 * 60);

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `completed`.
    pub status: String,
    /// The file, as it was asked for.
    pub path: String,
}

/// Why a file is not deleted.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    #[error("{path:?} is not in the folder for temporary files; only what is in there is deleted")]
    Outside { path: String },
    #[error("{path:?} is not a file; only files are deleted")]
    NotAFile { path: String },
    #[error("cannot {doing} {path:?}")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Cleanup Vision Temp Files")
        .on::<CleanupRequested>()
        .state(deps.clone())
        .handler(clean_up)
}

async fn clean_up(ctx: Context<CleanupRequested>, deps: State<Deps>) -> Result<Output, Error> {
    let path = &ctx.data().path;
    let step = ctx.step();
    step.sleep("wait-for-safety-window", SAFETY_WINDOW).await;
    step.run("prune-file", || async {
        let (folder, path) = (deps.temp_folder.clone(), path.clone());
        let pruned = tokio::task::spawn_blocking(move || prune(&folder, &path)).await?;
        pruned.map_err(|error| match error {
            PruneError::Io { .. } => Error::from(error),
            _ => Error::from(error).non_retriable(),
        })
    })
    .await?;
    Ok(Output {
        status: "completed".to_owned(),
        path: path.clone(),
    })
}

/// Deletes a file that is really in the folder. A crash after it leaves no file, which is as good.
fn prune(folder: &Path, asked: &str) -> Result<(), PruneError> {
    let outside = || PruneError::Outside {
        path: asked.to_owned(),
    };
    let failed = |doing| {
        move |source| PruneError::Io {
            doing,
            path: asked.to_owned(),
            source,
        }
    };
    let root = there(folder.canonicalize()).map_err(failed("look for the folder of"))?;
    // People name the folder as it is configured, programs often as the file system does.
    let by_name = path_within(folder, Path::new(asked));
    let Some(root) = root else {
        return by_name.map_or_else(|| Err(outside()), |_| Ok(()));
    };
    let within = by_name.or_else(|| path_within(&root, Path::new(asked)));
    let within = within.ok_or_else(outside)?;
    let file = root.join(within);
    // Where the way leads says the file system: a link on it may lead out.
    let parent = file.parent().unwrap_or(&root);
    let Some(parent) = there(parent.canonicalize()).map_err(failed("look for"))? else {
        return Ok(());
    };
    if !parent.starts_with(&root) {
        return Err(outside());
    }
    let Some(found) = there(file.symlink_metadata()).map_err(failed("look at"))? else {
        return Ok(());
    };
    if found.is_symlink() {
        return Err(outside());
    }
    if !found.is_file() {
        return Err(PruneError::NotAFile {
            path: asked.to_owned(),
        });
    }
    there(std::fs::remove_file(&file)).map_err(failed("delete"))?;
    Ok(())
}

/// What a path names below the folder, by its letters alone; none when it is the folder or leaves it.
fn path_within(folder: &Path, asked: &Path) -> Option<PathBuf> {
    let below = match asked.is_absolute() {
        true => asked.strip_prefix(folder).ok()?,
        false => asked,
    };
    let mut within = PathBuf::new();
    for part in below.components() {
        match part {
            Component::Normal(name) if !name.as_encoded_bytes().contains(&0) => within.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (within.components().next().is_some()).then_some(within)
}

/// None for what is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        // A part of the way that is a file has nothing below it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
