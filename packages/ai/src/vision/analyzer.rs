use super::flight::{Flight, Flights};
use super::{Mode, Vision, VisionAnalysis, VisionError, VisionRequest};
use crate::{EncodedImage, ImageSource, NotAnImage, SourceError, Usage, local};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What is known already is waited for this long.
pub const CACHE_TIMEOUT: Duration = Duration::from_secs(2);

/// An image that takes longer to come is not analysed. A model's own time begins when it is asked.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// An archive that takes longer is given up, so that one that hangs does not pile up work.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests to archive under way at once; more are dropped with a warning, since nobody may wait for them.
const ARCHIVING_MAX: usize = 64;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What archives and caches know an image by: the SHA-256 of its URL, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageHash(String);

impl ImageHash {
    pub fn of_url(url: &str) -> Self {
        Self(hex::encode(Sha256::digest(url)))
    }

    /// 64 digits, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An analysis of earlier times.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownAnalysis {
    pub analysis: VisionAnalysis,
    /// Who looked, as [`Vision::provider`] says it; None where it was not kept.
    pub provider: Option<String>,
}

impl KnownAnalysis {
    /// Whether it is as good as asking this provider: what `local` measures is less than what a model sees.
    fn stands_for(&self, provider: &str) -> bool {
        self.provider.as_deref() != Some(local::PROVIDER) || provider == local::PROVIDER
    }
}

/// Knows analyses of earlier times.
///
/// Contract: a lookup has no effect. It is given up after [`CACHE_TIMEOUT`]; an error counts as not known, and so does
/// what the local provider measured when a model can be asked.
#[async_trait]
pub trait VisionCache: Send + Sync {
    async fn lookup(&self, hash: &ImageHash) -> Result<Option<KnownAnalysis>, BoxError>;
}

/// An analysis that is to be kept.
#[derive(Clone, PartialEq)]
pub struct ArchiveRequest {
    /// Where the image is; a `data:` URL holds it.
    pub image_url: String,
    pub image_hash: ImageHash,
    pub analysis: VisionAnalysis,
    /// Who looked, as [`Vision::provider`] says it.
    pub provider: String,
}

/// Without the URL, which may be signed, or hold the image.
impl fmt::Debug for ArchiveRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ArchiveRequest")
            .field("image_hash", &self.image_hash)
            .field("analysis", &self.analysis)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// Is told of analyses that are to be kept.
///
/// Contract: it may be told of one image several times. Nobody waits for it and its errors reach the log only; after
/// half a minute it is given up.
#[async_trait]
pub trait Archive: Send + Sync {
    async fn archive_requested(&self, request: ArchiveRequest) -> Result<(), BoxError>;
}

/// What is asked of the tool.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AnalysisRequest {
    /// Without it, the latest image of the context.
    pub image_url: Option<String>,
    pub mode: Mode,
}

/// Without the URL, which may be signed, or hold the image.
impl fmt::Debug for AnalysisRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image_hash = self.image_url.as_deref().map(ImageHash::of_url);
        formatter
            .debug_struct("AnalysisRequest")
            .field("image_hash", &image_hash)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What a caller brings along to a call.
#[derive(Clone, Default)]
pub struct AnalysisContext {
    /// The image that the conversation is about.
    pub latest_image: Option<String>,
    /// Who is told of what a model saw.
    pub archive: Option<Arc<dyn Archive>>,
}

impl fmt::Debug for AnalysisContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnalysisContext")
            .field("has_latest_image", &self.latest_image.is_some())
            .field("archives", &self.archive.is_some())
            .finish()
    }
}

/// Who had the answer first.
#[derive(Debug, Clone, PartialEq)]
pub enum AnsweredBy {
    Cache,
    /// The provider, and what the call cost, which those who shared it are told all. To meter it, take
    /// [`Analysed::spent`].
    Model {
        provider: String,
        usage: Usage,
    },
}

/// An analysed image.
#[derive(Clone, PartialEq)]
pub struct Analysed {
    pub image_url: String,
    pub image_hash: ImageHash,
    pub analysis: VisionAnalysis,
    pub answered_by: AnsweredBy,
    /// Whether another caller was given the answer of the same call before. Of those that are given it, whoever started
    /// the call, exactly one is told that it is not.
    pub shared: bool,
    /// What calls of the model consumed for it, also one that failed before the cache answered. None when the answer is
    /// [`shared`](Self::shared): it counts once.
    pub spent: Option<Usage>,
}

/// Without the URL, which may be signed, or hold the image.
impl fmt::Debug for Analysed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Analysed")
            .field("image_hash", &self.image_hash)
            .field("analysis", &self.analysis)
            .field("answered_by", &self.answered_by)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Why there is no analysis.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    #[error(
        "there is no image to analyse: give an image URL, or refer to an image of the conversation"
    )]
    NoImage,
    #[error("the data: URL holds no image")]
    NotAnImage(#[source] NotAnImage),
    #[error("there is nothing to analyse")]
    Source(#[source] Arc<SourceError>),
    #[error("{provider} did not analyse the image")]
    Model {
        provider: String,
        source: Arc<VisionError>,
        /// Whether another caller was told of the same failure before, and counts what it cost.
        shared: bool,
    },
    #[error("{provider} did not analyse the image within {} s", after.as_secs())]
    Timeout { provider: String, after: Duration },
    #[error("{provider} stopped in the middle of the analysis")]
    Stopped { provider: String },
}

impl AnalysisError {
    /// Whether analysing the same image later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoImage | Self::NotAnImage(_) => false,
            Self::Source(source) => source.transient,
            Self::Model { source, .. } => source.is_transient(),
            Self::Timeout { .. } | Self::Stopped { .. } => true,
        }
    }

    /// When trying again is worth it, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Model { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// What was consumed although there is no analysis. Of those who shared the call, one is told.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Model {
                source,
                shared: false,
                ..
            } => source.usage(),
            _ => None,
        }
    }
}

/// What calls are shared by: a quick look is no answer to who wants to know everything.
type Asked = (ImageHash, Mode);

type Outcome = Result<Answered, AnalysisError>;

/// What came first.
#[derive(Clone)]
struct Answered {
    analysis: VisionAnalysis,
    by: AnsweredBy,
    /// By the model, whoever answered.
    spent: Option<Usage>,
}

impl Answered {
    fn by_cache(analysis: VisionAnalysis, spent: Option<Usage>) -> Self {
        Self {
            analysis,
            by: AnsweredBy::Cache,
            spent,
        }
    }
}

/// Analyses images by URL. Clones share the calls under way.
#[derive(Clone)]
pub struct Analyzer {
    model: Arc<dyn Vision>,
    images: Arc<dyn ImageSource>,
    cache: Option<Arc<dyn VisionCache>>,
    flights: Arc<Flights<Asked, Outcome>>,
    archiving: TaskTracker,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Analyzer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Analyzer")
            .field("model", &self.model.provider())
            .field("has_cache", &self.cache.is_some())
            .finish_non_exhaustive()
    }
}

impl Analyzer {
    pub fn new(model: Arc<dyn Vision>, images: Arc<dyn ImageSource>) -> Self {
        Self {
            model,
            images,
            cache: None,
            flights: Arc::default(),
            archiving: TaskTracker::new(),
            room: Arc::new(Semaphore::new(ARCHIVING_MAX)),
        }
    }

    #[must_use]
    pub fn with_cache(mut self, cache: Arc<dyn VisionCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Analyses an image.
    ///
    /// The cache and the model are asked at once, and the first usable answer is taken; what goes wrong with the cache or
    /// the archive is logged. Requests for one image and mode that overlap share one call of the model, also when the one
    /// that started it is dropped, and when the last is dropped the call is. Nothing comes later than
    /// [`FETCH_TIMEOUT`] and [`Mode::timeout`] together. Only full analyses are archived, so that the cache knows no others.
    pub async fn analyse(
        &self,
        request: &AnalysisRequest,
        context: &AnalysisContext,
    ) -> Result<Analysed, AnalysisError> {
        let image_url = request
            .image_url
            .as_ref()
            .or(context.latest_image.as_ref())
            .ok_or(AnalysisError::NoImage)?;
        let image_hash = ImageHash::of_url(image_url);
        let asked = (image_hash.clone(), request.mode);
        let flight = self.flights.join(&asked, || {
            self.clone()
                .race(image_url.clone(), image_hash.clone(), request.mode)
        });
        let provider = || self.model.provider().to_owned();
        let after = request.mode.timeout();
        let outcome = tokio::time::timeout(FETCH_TIMEOUT + after, flight.outcome())
            .await
            .map_err(|_| AnalysisError::Timeout {
                provider: provider(),
                after,
            })?;
        let outcome = outcome.ok_or_else(|| AnalysisError::Stopped {
            provider: provider(),
        })?;
        let is_shared = !flight.claim_usage();
        let answered = outcome.map_err(|mut error| {
            if let AnalysisError::Model { shared, .. } = &mut error {
                *shared = is_shared;
            }
            error
        })?;
        let analysed = Analysed {
            image_url: image_url.clone(),
            image_hash,
            analysis: answered.analysis,
            answered_by: answered.by,
            shared: is_shared,
            spent: answered.spent.filter(|_| !is_shared),
        };
        if request.mode == Mode::Full {
            self.archive(&flight, &analysed, context);
        }
        Ok(analysed)
    }

    /// Waits until archives have been told of everything so far. For programs that are about to end.
    pub async fn archived(&self) {
        self.archiving.close();
        self.archiving.wait().await;
        self.archiving.reopen();
    }

    async fn race(self, url: String, hash: ImageHash, mode: Mode) -> Outcome {
        let model = self.ask_model(&url, mode);
        let known = self.ask_cache(&hash);
        tokio::pin!(model, known);
        let mut may_be_known = true;
        let asked = loop {
            tokio::select! {
                biased;
                analysis = &mut known, if may_be_known => {
                    may_be_known = false;
                    if let Some(analysis) = analysis {
                        return Ok(Answered::by_cache(analysis, None));
                    }
                }
                asked = &mut model => break asked,
            }
        };
        // A cache that has not answered may still know what the model could not say.
        if let Err(error) = &asked
            && may_be_known
            && let Some(analysis) = known.await
        {
            return Ok(Answered::by_cache(analysis, error.usage().cloned()));
        }
        asked
    }

    async fn ask_model(&self, url: &str, mode: Mode) -> Outcome {
        let image = match url.get(..5) {
            Some(scheme) if scheme.eq_ignore_ascii_case("data:") => {
                EncodedImage::from_data_url(url).map_err(AnalysisError::NotAnImage)?
            }
            _ => {
                let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.images.fetch(url)).await;
                fetched
                    .unwrap_or_else(|_| Err(SourceError::too_slow(url, FETCH_TIMEOUT)))
                    .map_err(|error| AnalysisError::Source(Arc::new(error)))?
            }
        };
        let provider = self.model.provider().to_owned();
        let (request, after) = (VisionRequest { image, mode }, mode.timeout());
        let Ok(analysed) = tokio::time::timeout(after, self.model.analyse(&request)).await else {
            return Err(AnalysisError::Timeout { provider, after });
        };
        match analysed {
            Ok(answer) => Ok(Answered {
                analysis: answer.value,
                spent: Some(answer.usage.clone()),
                by: AnsweredBy::Model {
                    provider,
                    usage: answer.usage,
                },
            }),
            Err(error) => Err(AnalysisError::Model {
                provider,
                source: Arc::new(error),
                shared: false,
            }),
        }
    }

    async fn ask_cache(&self, hash: &ImageHash) -> Option<VisionAnalysis> {
        let cache = self.cache.as_ref()?;
        match tokio::time::timeout(CACHE_TIMEOUT, cache.lookup(hash)).await {
            Ok(Ok(known)) => known
                .filter(|known| known.stands_for(self.model.provider()))
                .map(|known| known.analysis)
                .filter(VisionAnalysis::is_usable),
            Ok(Err(error)) => {
                tracing::warn!(image_hash = %hash, error = &*error as &dyn std::error::Error, "vision cache failed");
                None
            }
            Err(_) => {
                tracing::warn!(image_hash = %hash, "vision cache did not answer in time");
                None
            }
        }
    }

    /// Only what a model saw is archived: what the cache knows is in the archive.
    fn archive(
        &self,
        flight: &Flight<Asked, Outcome>,
        analysed: &Analysed,
        context: &AnalysisContext,
    ) {
        let Some(archive) = context.archive.clone() else {
            return;
        };
        let AnsweredBy::Model { provider, .. } = &analysed.answered_by else {
            return;
        };
        if !flight.claim() {
            return;
        }
        let hash = analysed.image_hash.clone();
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            tracing::warn!(image_hash = %hash, "too many analyses are being archived; this one is not");
            return;
        };
        let request = ArchiveRequest {
            image_url: analysed.image_url.clone(),
            image_hash: hash.clone(),
            analysis: analysed.analysis.clone(),
            provider: provider.clone(),
        };
        self.archiving.spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(ARCHIVE_TIMEOUT, archive.archive_requested(request)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = &*error as &dyn std::error::Error;
                    tracing::warn!(image_hash = %hash, error, "analysis could not be archived");
                }
                Err(_) => tracing::warn!(image_hash = %hash, "archiving did not end in time"),
            }
        });
    }
}

#[cfg(test)]
mod tests;
