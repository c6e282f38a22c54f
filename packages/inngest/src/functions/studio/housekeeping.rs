//! `studio-housekeeping`: what nobody is left to end is ended, and what nobody asks for any more is forgotten.
//!
//! Runs each hour.
//!
//! | step | does |
//! |---|---|
//! | `end-stale-indexing` | documents that have been read for [`INDEXING_MAX`] are not: a cancelled step was still at work, a run is gone with its server |
//! | `prune-usage` | forgets what was used more than [`USAGE_KEPT`] ago, but for what a budget without a period still counts |
//!
//! Each takes a portion at a time, and comes again while there is more; what is beyond [`PORTIONS_MAX`] waits for the next
//! hour.

use crate::functions::Deps;
use crate::functions::failure::classify;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::{Context, CronTick, Error, Function, State};
use studio233_db::STALE_INDEXING_MAX;

/// The function's id.
pub const ID: &str = "studio-housekeeping";

/// When it runs, in UTC.
pub const SCHEDULE: &str = "23 * * * *";

/// No document is read for so long: every attempt of every step, with the waits in between, fits in. A run that was held
/// up for longer, by a server that was stopped, goes on all the same; only its workspace is not INDEXING meanwhile.
pub const INDEXING_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Budgets look back for a month at most; a year and its month are for whoever asks what something has cost.
pub const USAGE_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Steps of a kind in one run.
pub const PORTIONS_MAX: usize = 100;

/// Rows that are forgotten at once: a short transaction.
const USAGE_PORTION: u32 = 1_000;

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Documents that counted as being read.
    pub indexing_ended: u64,
    /// Uses that were forgotten.
    pub usage_pruned: u64,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Studio Housekeeping")
        .cron(SCHEDULE)
        .state(deps.clone())
        .handler(keep_house)
}

async fn keep_house(ctx: Context<CronTick>, deps: State<Deps>) -> Result<Output, Error> {
    let step = ctx.step();
    let mut output = Output {
        indexing_ended: 0,
        usage_pruned: 0,
    };
    for _ in 0..PORTIONS_MAX {
        let end = || async {
            let now_ms = deps.now_ms();
            let before_ms = now_ms - in_ms(INDEXING_MAX);
            let ended = deps.database.end_stale_indexing(before_ms, now_ms).await;
            ended.map_err(classify)
        };
        let ended: u64 = step.run("end-stale-indexing", end).await?;
        output.indexing_ended += ended;
        if ended < u64::from(STALE_INDEXING_MAX) {
            break;
        }
    }
    for _ in 0..PORTIONS_MAX {
        let prune = || async {
            let before_ms = ctx.now().unix_ms() - in_ms(USAGE_KEPT);
            let pruned = deps.database.prune_usage(before_ms, USAGE_PORTION).await;
            pruned.map_err(classify)
        };
        let pruned: u64 = step.run("prune-usage", prune).await?;
        output.usage_pruned += pruned;
        if pruned < u64::from(USAGE_PORTION) {
            break;
        }
    }
    Ok(output)
}

fn in_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
