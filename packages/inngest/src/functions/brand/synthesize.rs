//! `brand-intelligence-synthesize`: what a workspace knows of its brand is summed up anew.
//!
//! | step | does |
//! |---|---|
//! | `fetch-knowledge` | reads the newest fragments of knowledge, at most [`FRAGMENTS_MAX`] |
//! | `clear-brand-summary` | only when there are none: nothing is known, so nothing is said |
//! | `budget`, `budget-held` | holds the run while the workspace's or the function's budget is used up |
//! | `synthesize-dna` | has a language model sum them up |
//! | `update-workspace-summary` | writes the summary to the workspace; the palette that a document named stays |
//!
//! Requests of a workspace are gathered: one run for all of them, once none has come for [`DEBOUNCE_PERIOD`]. One run is at work at
//! a time, so that a summary is never older than what it takes the place of.

use crate::events::brand::IntelligenceSyncRequested;
use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::middleware::{budget, metered};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use stepwell::{Context, Debounce, Error, Function, State};
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
        .state(deps.clone())
        .handler(sum_up)
}

async fn sum_up(
    ctx: Context<IntelligenceSyncRequested>,
    deps: State<Deps>,
) -> Result<Output, Error> {
    let step = ctx.step();
    let workspace = WorkspaceId::new(&ctx.data().workspace_id);
    let fragments: Vec<String> = step
        .run("fetch-knowledge", || async {
            let limit = u32::try_from(FRAGMENTS_MAX).unwrap_or(u32::MAX);
            let known = deps.database.newest_knowledge(&workspace, limit).await;
            let known = known.map_err(classify)?.into_iter();
            Ok(known.map(|fragment| fragment.text).collect())
        })
        .await?;
    if fragments.is_empty() {
        let clear = || async {
            let cleared = deps
                .database
                .set_brand_summary(&workspace, None, deps.now_ms());
            cleared.await.map_err(classify)
        };
        step.run("clear-brand-summary", clear).await?;
        return Ok(Output::Cleared);
    }
    budget::admit(
        &ctx,
        &deps,
        &workspace,
        &[UsageKind::Tokens, UsageKind::Seconds],
    )
    .await?;
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
        let updated = deps.database.update_brand_summary(
            &workspace,
            |earlier| Some(with_palette(summary, earlier)),
            deps.now_ms(),
        );
        updated.await.map(drop).map_err(classify)
    };
    step.run("update-workspace-summary", update).await?;
    Ok(Output::Synthesized {
        workspace_id: workspace.to_string(),
    })
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
