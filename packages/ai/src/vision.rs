//! What is in an image: the [`Vision`] capability, and [`Analyzer`], which the studio's tools use.
//!
//! The analyzer races a model against what is known already, lets requests for one image share a call, and asks for
//! what it found to be archived. It knows neither where archives are nor who keeps them: both are traits of this module
//! that the caller implements and passes in.

mod analysis;
mod analyzer;
mod flight;
mod prompt;

pub use analysis::{
    ColorPalette, Composition, GlobalContext, ImageMeta, ImageQuality, Lighting, OcrText,
    SeenObject, TextOcr, VisionAnalysis, VisualAttributes,
};
pub use analyzer::{
    Analysed, AnalysisContext, AnalysisError, AnalysisRequest, Analyzer, AnsweredBy, Archive,
    ArchiveRequest, CACHE_TIMEOUT, FETCH_TIMEOUT, ImageHash, KnownAnalysis, VisionCache,
};
pub(crate) use prompt::analyse_with;

use crate::{Answer, EncodedImage, LanguageError, Usage};
use async_trait::async_trait;
use std::time::Duration;

/// How closely to look.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The scene, its colours and the main objects.
    Quick,
    /// Everything, down to small details.
    #[default]
    Full,
}

impl Mode {
    /// How long a model may take.
    pub fn timeout(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(60),
            Self::Full => Duration::from_secs(120),
        }
    }
}

/// What a vision model is asked.
#[derive(Debug, Clone)]
pub struct VisionRequest {
    pub image: EncodedImage,
    pub mode: Mode,
}

/// Why an image was not analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    #[error("the image cannot be read")]
    Unreadable {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the image could not be analysed")]
    Model {
        #[from]
        source: LanguageError,
    },
}

impl VisionError {
    /// Whether analysing the same image later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable { .. } => false,
            Self::Model { source } => source.is_transient(),
        }
    }

    /// When the same call is worth making again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Model { source } => source.retry_after(),
        }
    }

    /// What was consumed although there is no analysis.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Model { source } => source.usage(),
        }
    }
}

/// Says what is in an image.
///
/// Contract: what an implementation cannot see it leaves empty, and it never invents. Calling again is harmless; a
/// dropped call is given up.
#[async_trait]
pub trait Vision: Send + Sync {
    /// Who looks, for people and metadata: `local`, `gemini (gemini-3.5-flash)`, …
    fn provider(&self) -> &str;

    async fn analyse(&self, request: &VisionRequest)
    -> Result<Answer<VisionAnalysis>, VisionError>;
}
