mod model_reader;
mod synthesis;

pub use model_reader::ModelBrandReader;
pub use synthesis::{BrandSynthesis, FRAGMENTS_MAX, synthesize};

use crate::{Document, LanguageError, PassedOver, ProviderError, Usage};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use studio233_brand::{BrandDna, BrandSummary, QualityScore};

/// A vision model looks at this many pages; more add cost and little knowledge.
pub const VISION_PAGES_MAX: usize = 5;

/// A high-fidelity parser's profile is taken when it scores above this, else vision is tried.
pub const PARSER_ACCEPTED_ABOVE: f64 = 0.5;

/// A vision model's profile is taken when it scores above this.
pub const VISION_ACCEPTED_ABOVE: f64 = 0.2;

/// What to do about a document of pictures that show too little.
fn no_text_hint(has_text: &bool) -> &'static str {
    match has_text {
        true => "",
        false => {
            "; it has no text, only pictures: export it with text, run text recognition first, or use another \
             vision model"
        }
    }
}

/// What became of the parser, if it was asked.
fn asked_first(passed_over: &Option<PassedOver>) -> String {
    let passed_over = passed_over.as_ref();
    passed_over.map_or_else(String::new, |parser| format!("; asked before, {parser}"))
}

/// What one provider read in a document.
#[derive(Debug, Clone, PartialEq)]
pub struct BrandReading {
    pub dna: BrandDna,
    pub summary: BrandSummary,
    /// Who read it, for people: `local`, `gemini (gemini-2.5-pro)`, …
    pub provider: String,
    /// What reading it cost, a call each; of an accepted reading, also what others cost before that did not do.
    pub usage: Vec<Usage>,
}

/// Why a provider could not read a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("{provider} needs {what}, which the document does not have")]
    Unreadable {
        provider: String,
        what: &'static str,
        /// What it cost to see that, a call each.
        usage: Vec<Usage>,
    },
    #[error("{provider} could not read the document")]
    Provider {
        provider: String,
        /// Whether the same call may succeed later.
        transient: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What it cost, a call each.
        usage: Vec<Usage>,
    },
    #[error("{provider} did not read the document")]
    Call {
        provider: String,
        source: ProviderError,
        /// What calls before it cost, a call each.
        usage: Vec<Usage>,
    },
    #[error("no profile could be made of what the document says")]
    Model {
        source: LanguageError,
        /// What was consumed, the model's own included, a call each.
        usage: Vec<Usage>,
    },
}

impl ReadError {
    /// Whether reading the same document later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable { .. } => false,
            Self::Provider { transient, .. } => *transient,
            Self::Call { source, .. } => source.is_transient(),
            Self::Model { source, .. } => source.is_transient(),
        }
    }

    /// When reading it is worth trying again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreadable { .. } | Self::Provider { .. } => None,
            Self::Call { source, .. } => source.retry_after(),
            Self::Model { source, .. } => source.retry_after(),
        }
    }

    /// What was consumed although there is no reading, a call each.
    pub fn usage(&self) -> &[Usage] {
        match self {
            Self::Unreadable { usage, .. }
            | Self::Provider { usage, .. }
            | Self::Call { usage, .. }
            | Self::Model { usage, .. } => usage,
        }
    }

    /// The same error after a call that cost this.
    #[must_use]
    pub(crate) fn after(mut self, earlier: &[Usage]) -> Self {
        match &mut self {
            Self::Unreadable { usage, .. }
            | Self::Provider { usage, .. }
            | Self::Call { usage, .. }
            | Self::Model { usage, .. } => drop(usage.splice(..0, earlier.iter().cloned())),
        }
        self
    }
}

/// Reads a brand's profile out of a document.
///
/// A cloud parser uploads [`Document::file`]; a vision model is shown [`Document::images`] (the
/// first [`VISION_PAGES_MAX`]); the local provider reads [`Document::pages`], and measures the images where there is no
/// text. What was not found
/// stays empty: an implementation never invents. Calling again is harmless.
#[async_trait]
pub trait BrandReader: Send + Sync {
    fn provider(&self) -> &str;

    async fn read(&self, document: &Document) -> Result<BrandReading, ReadError>;
}

/// Which way a profile came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingPath {
    /// The high-fidelity parser of the whole file.
    HighFidelity,
    /// The vision model over page images.
    Vision,
}

impl ReadingPath {
    /// The name in results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HighFidelity => "high-fidelity",
            Self::Vision => "vision",
        }
    }
}

impl fmt::Display for ReadingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile that was good enough.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedReading {
    pub reading: BrandReading,
    pub path: ReadingPath,
    pub score: QualityScore,
    /// The parser, if its reading did not do.
    pub passed_over: Option<PassedOver>,
}

/// Why no profile was good enough.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractionError {
    #[error(
        "the document says too little about a brand: {provider} scored {score}, which is not above {VISION_ACCEPTED_ABOVE}{}{}",
        no_text_hint(.has_text),
        asked_first(.passed_over)
    )]
    TooLittle {
        provider: String,
        score: QualityScore,
        /// [`Document::has_text`].
        has_text: bool,
        /// What all readings cost, a call each.
        usage: Vec<Usage>,
        /// The parser, if its reading did not do.
        passed_over: Option<PassedOver>,
    },
    #[error("no provider could read the brand{}", asked_first(.passed_over))]
    Read {
        source: ReadError,
        /// The parser, if its reading did not do.
        passed_over: Option<PassedOver>,
    },
}

impl ExtractionError {
    /// Whether extracting from the same document later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TooLittle { .. } => false,
            Self::Read { source, .. } => source.is_transient(),
        }
    }

    /// When extracting is worth trying again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooLittle { .. } => None,
            Self::Read { source, .. } => source.retry_after(),
        }
    }

    /// What was consumed although there is no profile, by all who were tried, a call each.
    pub fn usage(&self) -> &[Usage] {
        match self {
            Self::TooLittle { usage, .. } => usage,
            Self::Read { source, .. } => source.usage(),
        }
    }
}

/// The order in which providers are tried: a high-fidelity parser, when there is one, then vision.
#[derive(Clone)]
pub struct BrandExtraction {
    parser: Option<Arc<dyn BrandReader>>,
    vision: Arc<dyn BrandReader>,
}

impl fmt::Debug for BrandExtraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrandExtraction")
            .field(
                "parser",
                &self.parser.as_ref().map(|parser| parser.provider()),
            )
            .field("vision", &self.vision.provider())
            .finish()
    }
}

impl BrandExtraction {
    pub fn new(vision: Arc<dyn BrandReader>) -> Self {
        Self {
            parser: None,
            vision,
        }
    }

    #[must_use]
    pub fn with_parser(mut self, parser: Arc<dyn BrandReader>) -> Self {
        self.parser = Some(parser);
        self
    }

    /// The first profile that is good enough. A parser that fails or reads too little makes way
    /// for vision; what vision reads must then do.
    pub async fn extract(&self, document: &Document) -> Result<AcceptedReading, ExtractionError> {
        let mut spent = Vec::new();
        let mut passed_over = None;
        if let Some(parser) = &self.parser {
            match parser.read(document).await {
                Ok(reading) => {
                    let score = reading.dna.quality_score();
                    if score.exceeds(PARSER_ACCEPTED_ABOVE) {
                        let path = ReadingPath::HighFidelity;
                        return Ok(AcceptedReading {
                            reading,
                            path,
                            score,
                            passed_over,
                        });
                    }
                    let provider = parser.provider();
                    tracing::info!(provider, %score, "parser read too little, trying vision");
                    let reason = format!(
                        "it read too little: it scored {score}, which is not above {PARSER_ACCEPTED_ABOVE}"
                    );
                    passed_over = Some(PassedOver::because(provider, &reason));
                    spent = reading.usage;
                }
                Err(error) => {
                    spent.extend_from_slice(error.usage());
                    passed_over = Some(PassedOver::failed(parser.provider(), &error));
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "parser failed, trying vision");
                }
            }
        }
        let mut reading = match self.vision.read(document).await {
            Ok(reading) => reading,
            Err(error) => {
                return Err(ExtractionError::Read {
                    source: error.after(&spent),
                    passed_over,
                });
            }
        };
        reading.usage.splice(..0, spent);
        let score = reading.dna.quality_score();
        if score.exceeds(VISION_ACCEPTED_ABOVE) {
            return Ok(AcceptedReading {
                reading,
                path: ReadingPath::Vision,
                score,
                passed_over,
            });
        }
        Err(ExtractionError::TooLittle {
            provider: reading.provider,
            score,
            has_text: document.has_text(),
            usage: reading.usage,
            passed_over,
        })
    }
}

#[cfg(test)]
mod tests;
