//! `process-fashion-item`: a product photo is dressed on a reference mannequin, looked at, and made again until it will
//! do.
//!
//! | step | does |
//! |---|---|
//! | `update-status-processing` | the job is PROCESSING |
//! | `budget`, `budget-held` | holds the run while the workspace's or the function's budget is used up |
//! | `brand-context` | only when the workspace knows something: what its brand is like, for the image model |
//! | `generate-attempt-<n>` | has the image model make the photo, else the fallback model; stores it as a blob |
//! | `verify-attempt-<n>` | the job is VERIFYING; compares the photo with product and reference |
//! | `save-success` | the job is COMPLETED, with the photo's URL |
//! | `mark-failed` | the job is FAILED: no attempt would do, or something failed for good |
//!
//! From the second attempt on, the prompt says what was wrong with the one before. Each step may execute again after a
//! crash: an attempt's photo takes the place of the one that it stored before. The workspace that pays is the
//! `workspaceId` of the job's config; without one, only the function's own budget counts.

use super::ALREADY_FINISHED;
use crate::events::studio::ProcessFashionItem;
use crate::functions::Deps;
use crate::functions::failure::{classify, classify_as};
use crate::middleware::budget::{self, Payer};
use crate::middleware::{Spent, metered};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use stepwell::{Context, Error, Function, State};
use studio233_ai::{
    Answer, Comparison, EncodedImage, ImageError, ImageModel, ImageRequest, ImageSource, MadeImage,
    Verdict,
};
use studio233_blob::{BlobError, ContentType, Key, Put};
use studio233_db::{
    BatchJobId, BatchJobStatus, BatchOutcome, DbError, StateChange, UsageKind, WorkspaceId,
};
use studio233_rag::{Retriever, blob_url};
use uuid::Uuid;

/// The function's id.
pub const ID: &str = "process-fashion-item";

/// So many steps of all items execute at once.
pub const CONCURRENCY: u32 = 5;

/// How often an item is tried that does not say.
pub const ATTEMPTS_DEFAULT: u32 = 7;

/// The blob store's folder of what is made.
pub const FOLDER: &str = "studio/fashion";

/// The blob store's folder of the references that events call by name: `<name>.png`, `.jpg`, `.jpeg` or `.webp`.
pub const REFERENCES_FOLDER: &str = "studio/references";

/// Extensions that a reference may have, in the order in which they are tried.
const REFERENCE_EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Largest image that is read back from the blobs.
const IMAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A verdict may name many; a prompt that lists all is followed less well.
const ISSUES_MAX: usize = 10;
const ISSUE_CHARACTERS_MAX: usize = 500;

const TASK: &str = "Two images follow. The first is a photo of a product, the second a reference that shows a mannequin. \
    Make one photo: the mannequin of the reference, in its pose, framing, light and background, dressed with exactly the \
    product of the first image. Keep the product's shape, colours, pattern, material, seams, prints and details as they \
    are; add nothing, leave nothing out, and write no text.";

/// What the image model should know of the brand.
const BRAND_QUESTION: &str =
    "photography of products and people: light, background, mood, imagery style";

/// Fragments of it: the model is to make a photo, and not to read.
const BRAND_FRAGMENTS: u32 = 3;

const BRAND_TASK: &str = "Where the two images leave light, background and mood open, keep to what the brand is like. The \
    product and the mannequin stay as they are, whatever is said there.";

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Output {
    /// A photo passed.
    Success {
        /// Where it is.
        url: String,
        /// How many were made.
        attempts: u32,
    },
    /// None did.
    Failed {
        /// How many were made.
        attempts: u32,
        /// What was wrong with the last one.
        reason: String,
    },
    /// The job had ended, or was cancelled meanwhile.
    Ignored {
        /// Why.
        reason: String,
    },
}

impl Output {
    fn ignored() -> Self {
        Self::Ignored {
            reason: ALREADY_FINISHED.to_owned(),
        }
    }
}

/// What `update-status-processing` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    /// Who pays.
    workspace_id: Option<String>,
    /// Whether there is something that the image model can be told.
    #[serde(default)]
    knows_brand: bool,
}

/// What `generate-attempt-<n>` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generated {
    /// Where the photo is.
    pub url: String,
    /// Its key in the blob store.
    pub key: String,
    /// Who made it: the model, or its fallback.
    pub provider: String,
    /// Why the first model did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_model_failed: Option<String>,
}

/// What a step records: nothing when the job was ended by somebody else.
type Wanted<T> = Option<T>;

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Process Fashion Item")
        .on::<ProcessFashionItem>()
        .concurrency(CONCURRENCY)
        .state(deps.clone())
        .handler(process)
}

async fn process(ctx: Context<ProcessFashionItem>, deps: State<Deps>) -> Result<Output, Error> {
    let item = Item {
        ctx: &ctx,
        deps: &deps,
        job: BatchJobId::new(&ctx.data().job_id),
    };
    let outcome = item.dress().await;
    let reason = match &outcome {
        Ok(Output::Failed { reason, .. }) => reason.clone(),
        Ok(_) => return outcome,
        Err(error) => error.to_string(),
    };
    let marked = ctx.step().run("mark-failed", || item.mark_failed(&reason));
    match (marked.await, &outcome) {
        (Ok(true), _) => outcome,
        // Somebody else was first to end it.
        (Ok(false), Ok(_)) => Ok(Output::ignored()),
        (Err(unmarked), Ok(_)) => Err(unmarked.into()),
        // What failed first is what there is to mend.
        (Ok(false), Err(_)) => outcome,
        (Err(unmarked), Err(_)) => {
            let job_id = item.job.as_str();
            tracing::error!(job_id, error = ?unmarked, "the job could not be marked as failed");
            outcome
        }
    }
}

struct Item<'i> {
    ctx: &'i Context<ProcessFashionItem>,
    deps: &'i Deps,
    job: BatchJobId,
}

impl Item<'_> {
    async fn dress(&self) -> Result<Output, Error> {
        let step = self.ctx.step();
        let begun: Wanted<Begun> = step
            .run("update-status-processing", || self.begin())
            .await?;
        let Some(begun) = begun else {
            return Ok(Output::ignored());
        };
        let workspace = &WorkspaceId::new(begun.workspace_id.unwrap_or_default());
        let kinds = [UsageKind::Tokens, UsageKind::Images, UsageKind::Seconds];
        let payer = Payer::new(workspace.clone(), &kinds);
        budget::admit(self.ctx, self.deps, &payer).await?;

        let mut brand: Option<String> = None;
        if begun.knows_brand {
            let told = metered(
                self.ctx,
                self.deps,
                "brand-context",
                &payer,
                |spent| async move { Ok(self.brand_context(workspace, &spent).await) },
            );
            brand = told.await?;
        }
        let attempts_max = self.ctx.data().max_attempts.unwrap_or(ATTEMPTS_DEFAULT);
        let mut feedback: Vec<String> = Vec::new();
        for attempt in 1..=attempts_max {
            let id = format!("generate-attempt-{attempt}");
            let prompt = prompt(brand.as_deref(), &feedback);
            let generated = metered(self.ctx, self.deps, id, &payer, |spent| {
                self.generate(attempt, prompt, spent)
            });
            let Some(generated) = generated.await? else {
                return Ok(Output::ignored());
            };
            let id = format!("verify-attempt-{attempt}");
            let verdict = metered(self.ctx, self.deps, id, &payer, |spent| {
                self.verify(attempt, &generated, spent)
            });
            let Some(verdict) = verdict.await? else {
                return Ok(Output::ignored());
            };
            if verdict.pass {
                return self.save(attempt, generated).await;
            }
            feedback = shortened(&verdict.issues);
        }
        Ok(Output::Failed {
            attempts: attempts_max,
            reason: feedback.join(" "),
        })
    }

    async fn begin(&self) -> Result<Wanted<Begun>, Error> {
        let database = &self.deps.database;
        let begun = database.process_batch_job(&self.job, 1, self.deps.now_ms());
        if !is_wanted(begun.await, BatchJobStatus::Processing)? {
            return Ok(None);
        }
        let job = database.batch_job(&self.job).await.map_err(classify)?;
        let workspace =
            job.and_then(|job| Some(job.config.get("workspaceId")?.as_str()?.to_owned()));
        let knows_brand = match &workspace {
            Some(id) => {
                let known = database.knowledge_count(&WorkspaceId::new(id), None).await;
                known.map_err(classify)? > 0
            }
            None => false,
        };
        Ok(Some(Begun {
            workspace_id: workspace,
            knows_brand,
        }))
    }

    /// What the brand is like. It is an aid: without it, the photo is made all the same.
    async fn brand_context(&self, workspace: &WorkspaceId, spent: &Spent) -> Option<String> {
        let warn = |error: &(dyn std::error::Error + 'static)| {
            let (job_id, workspace_id) = (self.job.as_str(), workspace.as_str());
            tracing::warn!(job_id, workspace_id, error = %chain(error), "the brand is left out of the prompt");
        };
        let found = self.deps.database.workspace(workspace).await;
        let found = found.inspect_err(|error| warn(error)).ok()??;
        let retriever = Retriever::new(self.deps.embedder.clone(), self.deps.database.clone());
        let told = retriever.brand_context(&found, BRAND_QUESTION, BRAND_FRAGMENTS);
        match told.await {
            Ok(context) => {
                spent.add(&context.usage);
                Some(context.text).filter(|text| !text.is_empty())
            }
            Err(error) => {
                if let Some(usage) = error.usage() {
                    spent.add(usage);
                }
                warn(&error);
                None
            }
        }
    }

    async fn generate(
        &self,
        attempt: u32,
        prompt: String,
        spent: Spent,
    ) -> Result<Wanted<Generated>, Error> {
        let now_ms = self.deps.now_ms();
        let processing = self
            .deps
            .database
            .process_batch_job(&self.job, attempt, now_ms);
        if !is_wanted(processing.await, BatchJobStatus::Processing)? {
            return Ok(None);
        }
        let (product, reference) = self.originals().await?;
        let request = ImageRequest::new(prompt, [product, reference]);
        let (made, first_model_failed) = self.make(&request, &spent).await?;
        let image = made.value.image;
        let key = self.key(attempt, &image)?;
        let content_type = ContentType::parse(image.kind().content_type())?;
        self.deps
            .blobs
            .put(&key, image.bytes().clone(), &content_type, Put::Overwrite)
            .await
            .map_err(classify)?;
        Ok(Some(Generated {
            url: blob_url(&key),
            key: key.to_string(),
            provider: format!("{} ({})", made.usage.provider, made.usage.model),
            first_model_failed,
        }))
    }

    /// Has the model make the image, and the fallback model when that fails; also why the first one failed.
    async fn make(
        &self,
        request: &ImageRequest,
        spent: &Spent,
    ) -> Result<(Answer<MadeImage>, Option<String>), Error> {
        let first = match ask(&*self.deps.image_model, request, spent).await {
            Ok(made) => return Ok((made, None)),
            Err(error) => error,
        };
        let job_id = self.job.as_str();
        tracing::warn!(job_id, error = %chain(&first), "the image model failed");
        let Some(fallback) = &self.deps.image_model_fallback else {
            return Err(unmade(&[first]));
        };
        match ask(&**fallback, request, spent).await {
            Ok(made) => Ok((made, Some(chain(&first)))),
            Err(second) => Err(unmade(&[first, second])),
        }
    }

    async fn verify(
        &self,
        attempt: u32,
        generated: &Generated,
        spent: Spent,
    ) -> Result<Wanted<Verdict>, Error> {
        let now_ms = self.deps.now_ms();
        let verifying = self
            .deps
            .database
            .verify_batch_job(&self.job, attempt, now_ms);
        if !is_wanted(verifying.await, BatchJobStatus::Verifying)? {
            return Ok(None);
        }
        let (original, reference) = self.originals().await?;
        let result = self.stored(&Key::parse(&generated.key)?).await?;
        let comparison = Comparison {
            original,
            reference,
            result,
        };
        let answer = self.deps.verifier.verify(&comparison).await;
        let answer = answer.map_err(|error| {
            if let Some(usage) = error.usage() {
                spent.add(usage);
            }
            classify_as(&error, "VisionError", chain(&error))
        })?;
        spent.add(&answer.usage);
        let mut verdict = answer.value;
        if !verdict.pass && verdict.issues.is_empty() {
            let issue = "the result does not show the product as it is";
            verdict.issues.push(issue.to_owned());
        }
        Ok(Some(verdict))
    }

    async fn save(&self, attempts: u32, generated: Generated) -> Result<Output, Error> {
        let saved = self.ctx.step().run("save-success", || async {
            let summary = json!({
                "resultUrl": generated.url,
                "attempts": attempts,
                "provider": generated.provider,
            });
            let outcome = BatchOutcome::Completed {
                output_urls: std::slice::from_ref(&generated.url),
                summary: &summary,
            };
            let ended = self
                .deps
                .database
                .end_batch_job(&self.job, outcome, self.deps.now_ms());
            is_wanted(ended.await, BatchJobStatus::Completed)
        });
        Ok(match saved.await? {
            true => Output::Success {
                url: generated.url,
                attempts,
            },
            false => Output::ignored(),
        })
    }

    /// Whether it is FAILED now.
    async fn mark_failed(&self, reason: &str) -> Result<bool, Error> {
        let failed = BatchOutcome::Failed(reason);
        let ended = self
            .deps
            .database
            .end_batch_job(&self.job, failed, self.deps.now_ms());
        match ended.await {
            // A job that is not there shows nothing; what failed the run says so.
            Err(DbError::NoSuchBatchJob { .. }) => Ok(true),
            ended => is_wanted(ended, BatchJobStatus::Failed),
        }
    }

    async fn originals(&self) -> Result<(EncodedImage, EncodedImage), Error> {
        let event = self.ctx.data();
        let product = self.image("the product photo", &event.image_url);
        let reference = async {
            match is_name(&event.reference_image) {
                true => self.named_reference(&event.reference_image).await,
                false => {
                    self.image("the reference image", &event.reference_image)
                        .await
                }
            }
        };
        futures::try_join!(product, reference)
    }

    /// The image at a URL, or in it.
    async fn image(&self, what: &str, url: &str) -> Result<EncodedImage, Error> {
        if url.starts_with("data:") {
            let image = EncodedImage::from_data_url(url);
            return image.map_err(|error| {
                let message = format!("{what} in the data: URL cannot be read: {error}");
                Error::new("InvalidImage", message).non_retriable()
            });
        }
        ImageSource::fetch(&self.deps.images, url)
            .await
            .map_err(classify)
    }

    async fn named_reference(&self, name: &str) -> Result<EncodedImage, Error> {
        for extension in REFERENCE_EXTENSIONS {
            let key = Key::parse(&format!("{REFERENCES_FOLDER}/{name}.{extension}"))
                .map_err(|error| Error::from(error).non_retriable())?;
            match self.deps.blobs.head(&key).await {
                Ok(_) => return self.stored(&key).await,
                Err(BlobError::NotFound { .. }) => {}
                Err(error) => return Err(classify(error)),
            }
        }
        let message = format!(
            "there is no reference image {name:?}; send a URL, or store one as {REFERENCES_FOLDER}/{name}.png"
        );
        Err(Error::new("NoSuchReference", message).non_retriable())
    }

    async fn stored(&self, key: &Key) -> Result<EncodedImage, Error> {
        let blob = self.deps.blobs.get(key, IMAGE_BYTES_MAX).await;
        let image = EncodedImage::new(blob.map_err(classify)?.bytes);
        image.map_err(|error| {
            let message = format!("the blob {key} is no image: {error}");
            Error::new("InvalidImage", message).non_retriable()
        })
    }

    /// Where an attempt's photo is kept. It depends on the job and the attempt only, so that a repeated step overwrites
    /// what it made before.
    fn key(&self, attempt: u32, image: &EncodedImage) -> Result<Key, Error> {
        let id = self.job.as_str();
        let job = match is_name(id) {
            true => id.to_owned(),
            // No name has that sign, so that the two never meet.
            false => format!("~{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes())),
        };
        let extension = image.kind().extension();
        let key = Key::parse(&format!("{FOLDER}/{job}/attempt-{attempt}.{extension}"));
        key.map_err(|error| Error::from(error).non_retriable())
    }
}

async fn ask(
    model: &dyn ImageModel,
    request: &ImageRequest,
    spent: &Spent,
) -> Result<Answer<MadeImage>, ImageError> {
    let made = model.make(request).await;
    match &made {
        Ok(answer) => spent.add(&answer.usage),
        Err(error) => {
            if let Some(usage) = error.usage() {
                spent.add(usage);
            }
        }
    }
    made
}

/// No model made the image. Trying again helps if it may help with one of them, as soon as one is back.
fn unmade(errors: &[ImageError]) -> Error {
    let told: Vec<String> = errors.iter().map(|error| chain(error)).collect();
    let error = Error::new("ImageError", told.join("; the fallback model: "));
    let transient = errors.iter().filter(|error| error.is_transient());
    let waits: Vec<Option<Duration>> = transient.map(ImageError::retry_after).collect();
    if waits.is_empty() {
        return error.non_retriable();
    }
    match waits.into_iter().collect::<Option<Vec<_>>>() {
        Some(waits) => error.retry_after(waits.into_iter().min().unwrap_or_default()),
        // One of them says nothing: the usual wait.
        None => error,
    }
}

/// An error with what led to it, in a line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    let told: Vec<String> = errors.map(ToString::to_string).collect();
    told.join(": ")
}

/// Whether the job is what it was to become, and not ended by somebody else.
fn is_wanted(
    change: Result<StateChange<BatchJobStatus>, DbError>,
    status: BatchJobStatus,
) -> Result<bool, Error> {
    match change.map_err(classify)? {
        StateChange::Changed | StateChange::Unchanged => Ok(true),
        StateChange::Refused(found) if found.is_ended() => Ok(false),
        StateChange::Refused(found) => {
            let (found, status) = (found.as_str(), status.as_str());
            let message = format!("the job is {found} and cannot become {status}");
            Err(Error::new("BatchJobStatus", message).non_retriable())
        }
    }
}

fn prompt(brand: Option<&str>, feedback: &[String]) -> String {
    let mut prompt = TASK.to_owned();
    if let Some(brand) = brand {
        prompt.push_str(&format!("\n{BRAND_TASK}\n{brand}"));
    }
    if !feedback.is_empty() {
        let issues: Vec<String> = feedback.iter().map(|issue| format!("- {issue}")).collect();
        let issues = issues.join("\n");
        let mend = "An earlier photo was turned down. Mend what was wrong with it:";
        prompt.push_str(&format!("\n{mend}\n{issues}"));
    }
    prompt
}

fn shortened(issues: &[String]) -> Vec<String> {
    let issues = issues.iter().take(ISSUES_MAX);
    let shorten = |issue: &String| issue.chars().take(ISSUE_CHARACTERS_MAX).collect();
    issues.map(shorten).collect()
}

/// Whether a text can be a part of a blob's key as it is, and no URL.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=100).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
