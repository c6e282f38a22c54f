//! What the plugins have in common that take pictures.

use std::sync::Arc;

use studio233_media::Info;

use super::{IMAGES, VERSION};
use crate::each::{Job, Made, Opened};
use crate::{About, Executor, FileError, MediaFile, Object, Output, PluginError};

/// A plugin of the studio's own that takes pictures.
pub(super) fn about(id: &'static str) -> About {
    About {
        id,
        version: VERSION,
        executor: Executor::Native,
        accepts: IMAGES,
    }
}

/// Makes one picture of each. `makes` says how many pixels come to those that are decoded: what cannot be made is refused when its
/// turn comes, before it takes memory, and counts as none.
pub(super) async fn transform<C: Send + Sync + 'static>(
    job: Job<'_>,
    config: C,
    files: &[MediaFile],
    makes: fn(&C, &Info) -> u64,
    make: fn(&C, &Opened) -> Result<Made, FileError>,
) -> Result<Output, PluginError> {
    let config = Arc::new(config);
    let configured = Arc::clone(&config);
    let makes = move |info: &Info| makes(&configured, info);
    let work = move |opened: Opened| make(&config, &opened);
    let files = job.transform(files, makes, work).await?;
    Ok(Output {
        files,
        metadata: Object::new(),
    })
}
