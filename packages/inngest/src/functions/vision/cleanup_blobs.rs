//! `cleanup-old-blobs`: what the archive holds of images is deleted after thirty days.
//!
//! Runs each Sunday at four.
//!
//! | step | does |
//! |---|---|
//! | `purge-old-vision-blobs` | deletes what the one before it found old, and looks at the next page |
//! | `carry-on` | only after so many pages: invokes this function for the rest |
//!
//! A page's finds are counted before any of them goes, so that the count is right whatever crashes. A run that has looked at
//! [`PAGES_MAX`] pages leaves the rest to another, waits for it, and counts what that has deleted.

use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::functions::vision::FOLDER;
use serde::{Deserialize, Serialize};
use stepwell::{Context, Error, Function, FunctionRef, State};
use studio233_blob::{BlobStore, Key, LIST_LIMIT_MAX, Listed, Page};

/// The function's id.
pub const ID: &str = "cleanup-old-blobs";

/// When it runs, in UTC.
pub const SCHEDULE: &str = "0 4 * * 0";

/// Blobs of a page.
pub const PAGE: usize = LIST_LIMIT_MAX;

/// What is older goes.
pub const AGE_MAX_DAYS: i64 = 30;

/// Pages of one run: runs have a limit of steps.
pub const PAGES_MAX: usize = 900;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// This function, for what another run of it has left.
const REST: FunctionRef<Rest, Output> = FunctionRef::new(ID);

/// What is left to look at: everything, when a schedule starts the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rest {
    /// It begins after this key.
    pub after: Option<String>,
    /// Old is what was last written before, in Unix milliseconds; thirty days ago when nothing is said. Nothing younger
    /// is deleted, whatever is said.
    pub before_ms: Option<i64>,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
struct Portion {
    /// Blobs of a page.
    page: usize,
    /// Pages of a run.
    pages: usize,
}

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
    let portion = Portion {
        page: PAGE,
        pages: PAGES_MAX,
    };
    function_in(deps, portion)
}

fn function_in(deps: &Deps, portion: Portion) -> Function {
    let deps = deps.clone();
    Function::new(ID)
        .name("Scheduled Blob Cleanup")
        .on_invoke()
        .or_cron(SCHEDULE)
        .state(Cleaning { deps, portion })
        .handler(clean_up)
}

/// What the handler works with.
#[derive(Debug, Clone)]
struct Cleaning {
    deps: Deps,
    portion: Portion,
}

async fn clean_up(ctx: Context, cleaning: State<Cleaning>) -> Result<Output, Error> {
    let (blobs, portion) = (&cleaning.deps.blobs, cleaning.portion);
    let rest = Option::<Rest>::deserialize(ctx.data());
    let rest = rest.map_err(|error| Error::from(error).non_retriable())?;
    let rest = rest.unwrap_or_default();
    let step = ctx.step();
    let mut purged = 0;
    let mut page: Option<Looked> = None;
    // The last of them purges only: there is nothing left to look at, or somebody else looks at it.
    for number in 0..=portion.pages {
        let looks = number < portion.pages;
        let looked: Option<Looked> = step
            .run("purge-old-vision-blobs", || async {
                let Some(page) = &page else {
                    let old_ms = ctx.now().unix_ms() - AGE_MAX_DAYS * DAY_MS;
                    let before_ms = rest.before_ms.map_or(old_ms, |ms| ms.min(old_ms));
                    let first = look(blobs, before_ms, rest.after.clone(), portion.page);
                    return Ok(Some(first.await?));
                };
                purge(blobs, page, portion.page).await?;
                match page.is_last || !looks {
                    true => Ok(None),
                    false => {
                        let next = look(blobs, page.before_ms, page.last.clone(), portion.page);
                        Ok(Some(next.await?))
                    }
                }
            })
            .await?;
        let Some(looked) = looked else {
            break;
        };
        purged += looked.old;
        page = Some(looked);
    }
    if let Some(page) = page.filter(|page| !page.is_last) {
        let rest = Rest {
            after: page.last,
            before_ms: Some(page.before_ms),
        };
        let carried_on = step.invoke("carry-on", REST, rest).await?;
        purged += carried_on.purged;
    }
    Ok(Output {
        status: "completed".to_owned(),
        purged,
        category: "vision_artifacts".to_owned(),
        threshold: format!("{AGE_MAX_DAYS}d"),
    })
}

async fn look(
    blobs: &BlobStore,
    before_ms: i64,
    after: Option<String>,
    limit: usize,
) -> Result<Looked, Error> {
    let page = list(blobs, after.as_deref(), limit).await?;
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
async fn purge(blobs: &BlobStore, page: &Looked, limit: usize) -> Result<(), Error> {
    let Some(last) = &page.last else {
        return Ok(());
    };
    if page.old == 0 {
        return Ok(());
    }
    let mut after = page.after.clone();
    loop {
        // What came in between makes the page longer.
        let found = list(blobs, after.as_deref(), limit).await?;
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
