//! `brand-ingestion`: a brand document becomes knowledge that can be searched, and a profile.
//!
//! | step | does |
//! |---|---|
//! | `budget`, `budget-held` | holds the run while the workspace's or the function's budget is used up |
//! | `index-and-store` | fetches and reads the PDF, stores its pieces as the asset's knowledge; pages that are pictures change nothing yet |
//! | `extract-brand-dna` | reads the brand's profile and summary, writes them to the workspace; what was read in pictures becomes the asset's knowledge. An inspiration writes no profile, and is read only if its pages are pictures |
//! | `trigger-synthesis` | sends `brand.intelligence.sync_requested` |
//! | `mark-failed` | only when one of the others failed for good: the workspace shows it |
//!
//! The workspace's indexing status goes from IDLE to INDEXING, and to IDLE or FAILED when the last of its documents that
//! are at work has ended. Each step may execute again after a crash: what it writes replaces what it wrote before.
//! Nothing executes in a run that was cancelled, or that fails outside of its handler: `mark-brand-ended` ends the reading of
//! its document.

use super::reading;
use crate::events::brand::{Classification, IntelligenceSyncRequested, KnowledgeIngested};
use crate::functions::Deps;
use crate::functions::failure::classify;
use crate::middleware::budget::{self, Payer};
use crate::middleware::{Spent, metered};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::{Concurrency, Context, Error, Function, State, Throttle};
use studio233_ai::{AcceptedReading, Document, PassedOver};
use studio233_db::{AssetId, DbError, Indexed, IndexingRun, UsageKind, WorkspaceId};
use studio233_rag::{DocumentSource, Indexer, shown_url};

/// The function's id.
pub const ID: &str = "brand-ingestion";

/// A workspace's documents are read one after another, this far apart: a brand that is set up with twenty documents
/// at once must not take the providers' quota from everyone else.
pub const THROTTLE_PERIOD: Duration = Duration::from_secs(60);

/// Steps of a workspace's documents, or of its images, that execute at once. When a budget lets all go on that it held,
/// one after another looks at what is left of it: it is overdrawn by what so many spend.
pub const WORKSPACE_CONCURRENCY: u32 = 2;

/// The same of all workspaces together, for a budget of the function.
pub const CONCURRENCY: u32 = 10;

/// What `index-and-store` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Pieces of the document that can be found now; 0 when its pages are pictures.
    pub chunk_count: u64,
}

/// What `extract-brand-dna` records of a document that defines the brand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extracted {
    /// Which way the profile came: `high-fidelity` or `vision`.
    pub path: String,
    /// Who read it.
    pub provider: String,
    /// The parser, if it was asked before and its reading did not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<PassedOver>,
    /// How complete it is, 0 to 1.
    pub score: f64,
    /// The parts of the profile that are not empty.
    pub fields_extracted: Vec<String>,
}

/// What `extract-brand-dna` records of a document that defines nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Why: the document's classification, `INDEX_AS_INSPIRATION`.
    pub skipped: String,
}

/// What `extract-brand-dna` records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum BrandDna {
    Extracted(Extracted),
    Skipped(Skipped),
}

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `completed`.
    pub status: String,
    /// The workspace.
    pub workspace_id: String,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Brand Knowledge Ingestion")
        .on::<KnowledgeIngested>()
        .throttle(Throttle::new(1, THROTTLE_PERIOD).key("event.data.workspaceId"))
        .concurrency(Concurrency::limit(WORKSPACE_CONCURRENCY).key("event.data.workspaceId"))
        .concurrency(CONCURRENCY)
        .state(deps.clone())
        .handler(ingest)
}

async fn ingest(ctx: Context<KnowledgeIngested>, deps: State<Deps>) -> Result<Output, Error> {
    match read_brand(&ctx, &deps).await {
        Ok(output) => Ok(output),
        Err(error) => {
            let marked = ctx.step().run("mark-failed", || mark_failed(&deps, &ctx));
            if let Err(unmarked) = marked.await {
                tracing::error!(
                    workspace_id = ctx.data().workspace_id,
                    error = ?unmarked,
                    "the workspace could not be marked as failed"
                );
            }
            // What failed first is what there is to mend.
            Err(error)
        }
    }
}

async fn read_brand(ctx: &Context<KnowledgeIngested>, deps: &Deps) -> Result<Output, Error> {
    let event = ctx.data();
    let workspace = WorkspaceId::new(&event.workspace_id);
    let kinds = [UsageKind::Tokens, UsageKind::Seconds];
    let payer = Payer::new(workspace, &kinds);
    budget::admit(ctx, deps, &payer).await?;
    let stored: Stored = metered(ctx, deps, "index-and-store", &payer, |spent| async move {
        let stored = index_and_store(deps, ctx, &spent).await;
        stored.inspect_err(|error| log(event, "index-and-store", error))
    })
    .await?;
    let stored = &stored;
    let _: BrandDna = metered(ctx, deps, "extract-brand-dna", &payer, |spent| async move {
        let dna = match event.classification {
            Classification::CoreBrandMark => extract_brand_dna(deps, ctx, &spent)
                .await
                .map(BrandDna::Extracted),
            Classification::IndexAsInspiration => skip_brand_dna(deps, ctx, stored, &spent)
                .await
                .map(BrandDna::Skipped),
        };
        dna.inspect_err(|error| log(event, "extract-brand-dna", error))
    })
    .await?;
    let synthesis = IntelligenceSyncRequested {
        workspace_id: event.workspace_id.clone(),
    };
    ctx.step()
        .send_event("trigger-synthesis", synthesis)
        .await?;
    Ok(Output {
        status: "completed".to_owned(),
        workspace_id: event.workspace_id.clone(),
    })
}

async fn index_and_store(
    deps: &Deps,
    ctx: &Context<KnowledgeIngested>,
    spent: &Spent,
) -> Result<Stored, Error> {
    let event = ctx.data();
    let run = IndexingRun {
        workspace_id: &WorkspaceId::new(&event.workspace_id),
        asset_id: &AssetId::new(&event.asset_id),
        run_id: &ctx.run_id().to_string(),
    };
    deps.database
        .begin_indexing(run, deps.now_ms())
        .await
        .map_err(classify)?;
    // Text and its places are all that is indexed; pictures would be made for nothing.
    let document = open(deps, event, 0).await?;
    // Nobody has looked at its pictures yet: what is known of it stays until that is done.
    if !document.has_text() {
        return Ok(Stored { chunk_count: 0 });
    }
    index(deps, event, &document, spent).await
}

/// Stores the pieces of a document as what its asset says, in place of what it said before.
async fn index(
    deps: &Deps,
    event: &KnowledgeIngested,
    document: &Document,
    spent: &Spent,
) -> Result<Stored, Error> {
    let source = DocumentSource {
        workspace_id: WorkspaceId::new(&event.workspace_id),
        asset_id: AssetId::new(&event.asset_id),
        url: event.url.clone(),
        filename: event.filename.clone(),
    };
    let indexer = Indexer::new(deps.embedder.clone(), deps.database.clone(), deps.chunker);
    let indexed = indexer
        .index(document, &source, deps.now_ms())
        .await
        .inspect_err(|error| error.usage().iter().for_each(|usage| spent.add(usage)))
        .map_err(classify)?;
    indexed.usage.iter().for_each(|usage| spent.add(usage));
    Ok(Stored {
        chunk_count: indexed.chunk_count,
    })
}

async fn extract_brand_dna(
    deps: &Deps,
    ctx: &Context<KnowledgeIngested>,
    spent: &Spent,
) -> Result<Extracted, Error> {
    let event = ctx.data();
    let accepted = look(deps, event, spent).await?;
    let dna = &accepted.reading.dna;
    let profile = serde_json::to_value(dna)?;
    let summary = serde_json::to_value(&accepted.reading.summary)?;
    let workspace = WorkspaceId::new(&event.workspace_id);
    deps.database
        .replace_brand_profile(
            &workspace,
            |known| reading::keeping_colors((profile, summary), known),
            deps.now_ms(),
        )
        .await
        .map_err(classify)?;
    end_indexing(deps, ctx, Indexed::Done)
        .await
        .map_err(classify)?;
    let fields = dna.fields_extracted().into_iter().map(str::to_owned);
    Ok(Extracted {
        path: accepted.path.as_str().to_owned(),
        score: accepted.score.get(),
        fields_extracted: fields.collect(),
        provider: accepted.reading.provider,
        passed_over: accepted.passed_over,
    })
}

/// Reads the profile of a document. Of one without text, what was read becomes its asset's knowledge.
async fn look(
    deps: &Deps,
    event: &KnowledgeIngested,
    spent: &Spent,
) -> Result<AcceptedReading, Error> {
    let document = open(deps, event, deps.pdfs.limits().images_max).await?;
    let extracted = deps.extraction.extract(&document).await;
    let accepted = extracted
        .inspect_err(|error| error.usage().iter().for_each(|usage| spent.add(usage)))
        .map_err(classify)?;
    let usage = accepted.reading.usage.iter();
    usage.for_each(|usage| spent.add(usage));
    if !document.has_text() {
        let read = reading::document(event, &accepted.reading);
        index(deps, event, &read, spent).await?;
    }
    Ok(accepted)
}

/// An inspiration is found when the brand is asked about; what the brand is, its own documents say. One whose pages are
/// pictures is looked at, or nothing of it could be found.
async fn skip_brand_dna(
    deps: &Deps,
    ctx: &Context<KnowledgeIngested>,
    stored: &Stored,
    spent: &Spent,
) -> Result<Skipped, Error> {
    if stored.chunk_count == 0 {
        look(deps, ctx.data(), spent).await?;
    }
    end_indexing(deps, ctx, Indexed::Done)
        .await
        .map_err(classify)?;
    Ok(Skipped {
        skipped: ctx.data().classification.as_str().to_owned(),
    })
}

async fn mark_failed(deps: &Deps, ctx: &Context<KnowledgeIngested>) -> Result<(), Error> {
    // What it had not even begun counts as from when it was to begin.
    let queued_ms = i64::try_from(ctx.run_id().timestamp_ms()).unwrap_or(i64::MAX);
    let failed = Indexed::Failed { at_ms: queued_ms };
    match end_indexing(deps, ctx, failed).await {
        // A workspace that is gone has no status; what failed the run says so.
        Ok(()) | Err(DbError::NoSuchWorkspace { .. }) => Ok(()),
        Err(error) => Err(classify(error)),
    }
}

async fn end_indexing(
    deps: &Deps,
    ctx: &Context<KnowledgeIngested>,
    how: Indexed,
) -> Result<(), DbError> {
    let event = ctx.data();
    let run = IndexingRun {
        workspace_id: &WorkspaceId::new(&event.workspace_id),
        asset_id: &AssetId::new(&event.asset_id),
        run_id: &ctx.run_id().to_string(),
    };
    let ended = deps.database.end_indexing(run, how, deps.now_ms());
    ended.await.map(drop)
}

async fn open(deps: &Deps, event: &KnowledgeIngested, images_max: u32) -> Result<Document, Error> {
    let fetched = deps.fetcher.fetch(&event.url).await.map_err(classify)?;
    let reader = deps.pdfs.clone().with_images(images_max);
    let read = reader.read(&event.filename, fetched.bytes);
    read.await.map_err(classify)
}

fn log(event: &KnowledgeIngested, step: &str, error: &Error) {
    let url = shown_url(&event.url);
    tracing::warn!(
        step,
        asset_id = event.asset_id,
        workspace_id = event.workspace_id,
        filename = event.filename,
        url,
        error = ?error,
        "brand ingestion failed in a step"
    );
}

#[cfg(test)]
mod tests;
