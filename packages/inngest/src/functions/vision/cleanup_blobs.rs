//! `cleanup-old-blobs`: what the archive holds of images is deleted after thirty days.
//!
//! Runs each Sunday at four. The step `purge-old-vision-blobs` goes through the archive a page at a time: it deletes what
//! the one before it found old, and looks at the next page. So a page's finds are counted before any of them goes, and the
//! count is right whatever crashes.

use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::functions::vision::FOLDER;
use serde::{Deserialize, Serialize};
use stepwell::{Context, CronTick, Error, Function, State};
use studio233_blob::{BlobStore, Key, LIST_LIMIT_MAX, Listed, Page};

/// The function's id.
pub const ID: &str = "cleanup-old-blobs";

/// When it runs, in UTC.
pub const SCHEDULE: &str = "0 4 * * 0";

/// Blobs of a page.
pub const PAGE: usize = LIST_LIMIT_MAX;

/// What is older goes.
pub const AGE_MAX_DAYS: i64 = 30;

/// Pages of one run: runs have a limit of steps. What is beyond waits for the next Sunday.
const PAGES_MAX: usize = 900;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What `purge-old-vision-blobs` records: a page that it has looked at, to be purged by the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// Old is what was last written before, in Unix milliseconds.
    pub before_ms: i64,
    /// The page begins after this key.
    pub after: Option<String>,
    /// Its last key; none of an empty page.
    pub last: Option<String>,
    /// Its blobs that are old.
    pub old: usize,
    /// Whether it is the last page.
    pub is_last: bool,
}

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `completed`.
    pub status: String,
    /// Blobs that were deleted.
    pub purged: usize,
    /// `vision_artifacts`.
    pub category: String,
    /// `30d`.
    pub threshold: String,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Scheduled Blob Cleanup")
        .cron(SCHEDULE)
        .state(deps.clone())
        .handler(clean_up)
}

async fn clean_up(ctx: Context<CronTick>, deps: State<Deps>) -> Result<Output, Error> {
    let blobs = &deps.blobs;
    let mut purged = 0;
    let mut page: Option<Looked> = None;
    for _ in 0..PAGES_MAX {
        let looked: Option<Looked> = ctx
            .step()
            .run("purge-old-vision-blobs", || async {
                let Some(page) = &page else {
                    let before_ms = ctx.now().unix_ms() - AGE_MAX_DAYS * DAY_MS;
                    return Ok(Some(look(blobs, before_ms, None).await?));
                };
                purge(blobs, page).await?;
                match page.is_last {
                    true => Ok(None),
                    false => Ok(Some(look(blobs, page.before_ms, page.last.clone()).await?)),
                }
            })
            .await?;
        match &looked {
            Some(looked) => purged += looked.old,
            None => break,
        }
        page = looked;
    }
    Ok(Output {
        status: "completed".to_owned(),
        purged,
        category: "vision_artifacts".to_owned(),
        threshold: format!("{AGE_MAX_DAYS}d"),
    })
}

async fn look(blobs: &BlobStore, before_ms: i64, after: Option<String>) -> Result<Looked, Error> {
    let page = list(blobs, after.as_deref(), PAGE).await?;
    Ok(Looked {
        before_ms,
        after,
        last: page.items.last().map(|blob| blob.key.to_string()),
        old: page
            .items
            .iter()
            .filter(|blob| is_old(blob, before_ms))
            .count(),
        is_last: page.next.is_none(),
    })
}

/// Deletes what is old of a page. Nothing else is touched: what was written since is young.
async fn purge(blobs: &BlobStore, page: &Looked) -> Result<(), Error> {
    let Some(last) = &page.last else {
        return Ok(());
    };
    if page.old == 0 {
        return Ok(());
    }
    let mut after = page.after.clone();
    loop {
        // What came in between makes the page longer.
        let found = list(blobs, after.as_deref(), PAGE).await?;
        let within = found
            .items
            .iter()
            .take_while(|blob| blob.key.as_str() <= last.as_str());
        for blob in within.filter(|blob| is_old(blob, page.before_ms)) {
            blobs.delete(&blob.key).await.map_err(classify)?;
        }
        match found.next {
            Some(next) if next.as_str() < last.as_str() => after = Some(next.to_string()),
            _ => return Ok(()),
        }
    }
}

async fn list(blobs: &BlobStore, after: Option<&str>, limit: usize) -> Result<Page, Error> {
    let folder = Key::parse(FOLDER)?;
    let after = after.map(Key::parse).transpose()?;
    let page = blobs.list(Some(&folder), after.as_ref(), limit).await;
    page.map_err(classify)
}

fn is_old(blob: &Listed, before_ms: i64) -> bool {
    blob.modified_at.as_millisecond() < before_ms
}

#[cfg(test)]
mod tests;
