//! `brand-intelligence-synthesize`: what a workspace knows of its brand is summed up anew.
//!
//! | step | does |
//! |---|---|
//! | `budget`, `budget-held` | holds the run while the workspace's or the function's budget is used up |
//! | `fetch-knowledge` | reads the newest fragments of knowledge, at most [`FRAGMENTS_MAX`] |
//! | `clear-brand-summary` | only when there are none: nothing is known, so nothing is said |
//! | `synthesize-dna` | has a language model sum them up |
//! | `update-workspace-summary` | writes the summary to the workspace; the palette that a document named stays |
//!
//! Requests of a workspace are gathered: one run for all of them, once none has come for [`DEBOUNCE_PERIOD`]. A run that begins
//! while another of the same workspace is at work, is held or waits to be tried again, cancels it: whatever the other was
//! to sum up, this one does. A step that is under way then still goes on to its end, so what is written keeps the order of
//! what was read: once another run has begun to read, this one writes nothing. Of all workspaces, one step executes at a
//! time.

use crate::events::brand::IntelligenceSyncRequested;
use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::middleware::{budget, metered};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use stepwell::{Context, Debounce, Error, Function, Singleton, State};
use studio233_ai::{FRAGMENTS_MAX, synthesize};
use studio233_brand::BrandSummary;
use studio233_db::{UsageKind, WorkspaceId};

/// The function's id.
pub const ID: &str = "brand-intelligence-synthesize";

/// A workspace is quiet for so long before it is summed up.
pub const DEBOUNCE_PERIOD: Duration = Duration::from_secs(10);

/// A workspace that is never quiet is summed up so long after the first request all the same.
pub const DEBOUNCE_MAX: Duration = Duration::from_secs(300);

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Output {
    /// There is a summary.
    Synthesized {
        /// The workspace.
        workspace_id: String,
    },
    /// Nothing is known, and there is none.
    Cleared,
    /// Another run has begun to read since: what that one writes counts.
    Superseded {
        /// The workspace.
        workspace_id: String,
    },
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    let debounce = Debounce::new(DEBOUNCE_PERIOD).timeout(DEBOUNCE_MAX);
    Function::new(ID)
        .name("Brand Intelligence Synthesis")
        .on::<IntelligenceSyncRequested>()
        .concurrency(1)
        .debounce(debounce.key("event.data.workspaceId"))
        .singleton(Singleton::cancel().key("event.data.workspaceId"))
        .state(deps.clone())
        .handler(sum_up)
}

async fn sum_up(
    ctx: Context<IntelligenceSyncRequested>,
    deps: State<Deps>,
) -> Result<Output, Error> {
    let step = ctx.step();
    let workspace = WorkspaceId::new(&ctx.data().workspace_id);
    // Before reading: a run that was held reads what is known when it goes on.
    budget::admit(
        &ctx,
        &deps,
        &workspace,
        &[UsageKind::Tokens, UsageKind::Seconds],
    )
    .await?;
    let run_id = ctx.run_id().to_string();
    let fragments: Vec<String> = step
        .run("fetch-knowledge", || fetch(&deps, &workspace, &run_id))
        .await?;
    let superseded = || Output::Superseded {
        workspace_id: workspace.to_string(),
    };
    if fragments.is_empty() {
        let clear = || async {
            let cleared =
                deps.database
                    .write_brand_summary(&workspace, &run_id, |_| None, deps.now_ms());
            cleared.await.map_err(classify)
        };
        return Ok(match step.run("clear-brand-summary", clear).await? {
            true => Output::Cleared,
            false => superseded(),
        });
    }
    let summary: BrandSummary = metered(&ctx, &deps, "synthesize-dna", &workspace, |spent| {
        let (deps, workspace) = (&deps, &workspace);
        async move {
            let model = &*deps.language_model;
            match synthesize(model, &fragments).await {
                Ok(answer) => {
                    spent.add(&answer.usage);
                    Ok(BrandSummary {
                        manifesto: answer.value.manifesto,
                        voice: answer.value.voice,
                        visual_dna: answer.value.visual_dna,
                        principles: answer.value.principles,
                        palette: Vec::new(),
                        generated_by: model.provider().to_owned(),
                    })
                }
                Err(error) => {
                    if let Some(usage) = error.usage() {
                        spent.add(usage);
                    }
                    let error = classify(error);
                    tracing::warn!(
                        step = "synthesize-dna",
                        workspace_id = workspace.as_str(),
                        error = ?error,
                        "a brand could not be summed up"
                    );
                    Err(error)
                }
            }
        }
    })
    .await?;
    let update = || async {
        let summary = serde_json::to_value(&summary)?;
        let updated = deps.database.write_brand_summary(
            &workspace,
            &run_id,
            |earlier| Some(with_palette(summary, earlier)),
            deps.now_ms(),
        );
        updated.await.map_err(classify)
    };
    Ok(match step.run("update-workspace-summary", update).await? {
        true => Output::Synthesized {
            workspace_id: workspace.to_string(),
        },
        false => superseded(),
    })
}

async fn fetch(deps: &Deps, workspace: &WorkspaceId, run_id: &str) -> Result<Vec<String>, Error> {
    let begun = deps.database.begin_brand_summary(workspace, run_id).await;
    begun.map_err(classify)?;
    let limit = u32::try_from(FRAGMENTS_MAX).unwrap_or(u32::MAX);
    let known = deps.database.newest_knowledge(workspace, limit).await;
    let known = known.map_err(classify)?.into_iter();
    Ok(known.map(|fragment| fragment.text).collect())
}

/// Names and roles of colours stand in documents only: fragments are too short to tell them from mentions.
fn with_palette(mut summary: Value, earlier: Option<Value>) -> Value {
    if let Some(palette) =
        earlier.and_then(|mut earlier| earlier.as_object_mut()?.remove("palette"))
    {
        summary["palette"] = palette;
    }
    summary
}

#[cfg(test)]
mod tests;
