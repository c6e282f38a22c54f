//! `brand-vision-sync`: an image of a brand is looked at, and becomes knowledge that can be searched.
//!
//! | step | does |
//! |---|---|
//! | `budget`, `budget-held` | holds the run while the workspace's or the function's budget is used up |
//! | `extract-visual-dna` | has the image analysed in full; what a model saw is sent to be archived |
//! | `index-visual-knowledge` | stores the "visual DNA" as a part of the asset's knowledge |
//! | `sync-core-palette` | gives the profile its primary and accent colours if it has none; skipped for an inspiration |
//! | `trigger-synthesis` | sends `brand.intelligence.sync_requested` |
//!
//! Each step may execute again after a crash: what it writes replaces what it wrote before, and the archive is asked under the
//! run's id.

use super::ingestion::{CONCURRENCY, THROTTLE_PERIOD, WORKSPACE_CONCURRENCY};
use super::visual_dna;
use crate::EventArchive;
use crate::events::brand::{AssetVisionSync, Classification, IntelligenceSyncRequested};
use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::middleware::{Spent, budget, metered};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::slice;
use std::sync::Arc;
use stepwell::{BoxError, Concurrency, Context, Error, Function, State, Throttle};
use studio233_ai::vision::{
    AnalysisContext, AnalysisRequest, AnsweredBy, Archive, ArchiveRequest, Mode, VisionAnalysis,
};
use studio233_ai::{EmbedError, Purpose};
use studio233_db::{AssetId, Embedding, KnowledgeSource, NewChunk, UsageKind, WorkspaceId};
use studio233_rag::shown_url;
use tokio::sync::mpsc;

/// The function's id.
pub const ID: &str = "brand-vision-sync";

/// The part of an asset's knowledge that is what was seen, and the `type` in its metadata.
pub const PART: &str = "visual_dna";

/// The `source` in its metadata.
pub const SOURCE: &str = "Vision_Analysis";

/// Who answered when nobody had to look.
const ARCHIVE: &str = "archive";

/// What `extract-visual-dna` records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// SHA-256 of the URL, in hex.
    pub image_hash: String,
    /// Who looked; `archive` when it was known already.
    pub provider: String,
    /// What is in the image.
    pub analysis: VisionAnalysis,
}

/// What `index-visual-knowledge` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Pieces that can be found now.
    pub chunk_count: u64,
}

/// What `sync-core-palette` records: the profile's colours then, whoever gave it them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Palette {
    /// `#RRGGBB`
    pub primary: Option<String>,
    /// `#RRGGBB`
    pub accent: Option<String>,
}

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `synchronized`.
    pub status: String,
    /// The asset.
    pub asset_id: String,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Brand Visual DNA Extraction")
        .on::<AssetVisionSync>()
        .throttle(Throttle::new(1, THROTTLE_PERIOD).key("event.data.workspaceId"))
        .concurrency(Concurrency::limit(WORKSPACE_CONCURRENCY).key("event.data.workspaceId"))
        .concurrency(CONCURRENCY)
        .state(deps.clone())
        .handler(synchronize)
}

async fn synchronize(ctx: Context<AssetVisionSync>, deps: State<Deps>) -> Result<Output, Error> {
    let event = ctx.data();
    let step = ctx.step();
    let workspace = WorkspaceId::new(&event.workspace_id);
    budget::admit(
        &ctx,
        &deps,
        &workspace,
        &[UsageKind::Tokens, UsageKind::Seconds],
    )
    .await?;

    let seen: Seen = metered(&ctx, &deps, "extract-visual-dna", &workspace, |spent| {
        let (ctx, deps) = (&ctx, &deps);
        async move {
            let seen = look(ctx, deps, &spent).await;
            seen.inspect_err(|error| log(event, "extract-visual-dna", error))
        }
    })
    .await?;
    let text = visual_dna::text(
        &event.filename,
        event.classification.as_str(),
        &seen.analysis,
    );
    let _: Stored = metered(&ctx, &deps, "index-visual-knowledge", &workspace, |spent| {
        let deps = &deps;
        async move {
            let stored = index(deps, event, text, &spent).await;
            stored.inspect_err(|error| log(event, "index-visual-knowledge", error))
        }
    })
    .await?;
    if event.classification == Classification::CoreBrandMark {
        let colors = visual_dna::suggested(&seen.analysis);
        let _: Palette = step
            .run("sync-core-palette", || async {
                let synced = sync_palette(&deps, &workspace, &colors).await;
                synced.inspect_err(|error| log(event, "sync-core-palette", error))
            })
            .await?;
    }
    let synthesis = IntelligenceSyncRequested {
        workspace_id: event.workspace_id.clone(),
    };
    step.send_event("trigger-synthesis", synthesis).await?;
    Ok(Output {
        status: "synchronized".to_owned(),
        asset_id: event.asset_id.clone(),
    })
}

async fn look(ctx: &Context<AssetVisionSync>, deps: &Deps, spent: &Spent) -> Result<Seen, Error> {
    let request = AnalysisRequest {
        image_url: Some(ctx.data().url.clone()),
        mode: Mode::Full,
    };
    let (told, mut all_told) = mpsc::channel(1);
    let context = AnalysisContext {
        latest_image: None,
        archive: Some(Arc::new(Telling {
            archive: EventArchive::new(ctx.client().clone(), ctx.run_id().to_string()),
            _until_dropped: told,
        })),
    };
    let analysed = deps.vision.analyse(&request, &context).await;
    drop(context);
    let analysed = match analysed {
        Ok(analysed) => analysed,
        Err(error) => {
            if let Some(usage) = error.usage() {
                spent.add(usage);
            }
            return Err(classify(error));
        }
    };
    if let Some(usage) = &analysed.spent {
        spent.add(usage);
    }
    // The hook keeps no caller waiting. This one does wait, within the hook's own time: once the step is recorded, nobody
    // would ask for the archive again.
    let _ = all_told.recv().await;
    let provider = match analysed.answered_by {
        AnsweredBy::Cache => ARCHIVE.to_owned(),
        AnsweredBy::Model { provider, .. } => provider,
    };
    Ok(Seen {
        image_hash: analysed.image_hash.to_string(),
        provider,
        analysis: analysed.analysis,
    })
}

/// An archive whose end is seen: the channel closes when nobody has it any more.
struct Telling {
    archive: EventArchive,
    _until_dropped: mpsc::Sender<()>,
}

#[async_trait]
impl Archive for Telling {
    async fn archive_requested(&self, request: ArchiveRequest) -> Result<(), BoxError> {
        self.archive.archive_requested(request).await
    }
}

async fn index(
    deps: &Deps,
    event: &AssetVisionSync,
    text: String,
    spent: &Spent,
) -> Result<Stored, Error> {
    let embedded = deps
        .embedder
        .embed(slice::from_ref(&text), Purpose::Document);
    let mut answer = embedded.await.map_err(classify)?;
    spent.add(&answer.usage);
    let answered = answer.value.len();
    let (Some(vector), 1) = (answer.value.pop(), answered) else {
        return Err(classify(EmbedError::WrongCount {
            provider: deps.embedder.provider().to_owned(),
            asked: 1,
            answered,
        }));
    };
    let chunks = [NewChunk {
        text,
        embedding: Embedding::new(vector).map_err(classify)?,
        metadata: json!({
            "source": SOURCE,
            "type": PART,
            "classification": event.classification,
            "workspaceId": event.workspace_id,
            "assetId": event.asset_id,
            "filename": event.filename,
        }),
    }];
    let source = KnowledgeSource {
        workspace_id: WorkspaceId::new(&event.workspace_id),
        asset_id: AssetId::new(&event.asset_id),
    };
    let stored = deps
        .database
        .replace_knowledge_part(&source, PART, &chunks, deps.now_ms());
    Ok(Stored {
        chunk_count: stored.await.map_err(classify)?,
    })
}

async fn sync_palette(
    deps: &Deps,
    workspace: &WorkspaceId,
    suggested: &[String],
) -> Result<Palette, Error> {
    let mut colors = Vec::new();
    let change = |profile: Option<serde_json::Value>| {
        colors = visual_dna::of_profile(profile.as_ref());
        let changed = visual_dna::with_colors(profile, suggested)?;
        colors = visual_dna::of_profile(Some(&changed));
        Some(changed)
    };
    let changed = deps
        .database
        .update_brand_profile(workspace, change, deps.now_ms());
    changed.await.map_err(classify)?;
    let mut colors = colors.into_iter();
    Ok(Palette {
        primary: colors.next(),
        accent: colors.next(),
    })
}

fn log(event: &AssetVisionSync, step: &str, error: &Error) {
    let url = match event.url.starts_with("data:") {
        true => "data:…".to_owned(),
        false => shown_url(&event.url),
    };
    tracing::warn!(
        step,
        asset_id = event.asset_id,
        workspace_id = event.workspace_id,
        filename = event.filename,
        url,
        error = ?error,
        "looking at a brand's image failed in a step"
    );
}

#[cfg(test)]
mod tests;
