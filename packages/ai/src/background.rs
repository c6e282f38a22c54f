use crate::pixels::{self, PixelError};
use crate::{Answer, EncodedImage, ImageError, Usage};
use async_trait::async_trait;

mod by_image_model;

pub use by_image_model::ByImageModel;

/// A subject without what was around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutout {
    /// PNG or WebP with transparency, as large as the original.
    pub image: EncodedImage,
    /// How much of it is fully transparent, 0 to 1, measured. Near 0 nothing was removed, near 1 nothing is left.
    pub transparent_share: f32,
    /// What the provider says about it, if it does.
    pub note: Option<String>,
}

/// With less of the image transparent nothing was removed, with more nothing is left.
const BELIEVABLE: std::ops::RangeInclusive<f32> = 0.005..=0.995;

impl Cutout {
    /// Whether something was removed and something is left.
    pub fn is_believable(&self) -> bool {
        BELIEVABLE.contains(&self.transparent_share)
    }

    /// A service's result, measured. One without transparency is no cutout.
    pub(crate) async fn measured(
        provider: &str,
        image: EncodedImage,
        note: Option<String>,
        usage: &Usage,
    ) -> Result<Self, ImageError> {
        let encoded = image.clone();
        let share = pixels::off_thread(pixels::count([&image]), move || {
            let pixels = pixels::decode(&encoded)?;
            let transparent = pixels.pixels().filter(|pixel| pixel.0[3] == 0).count();
            Ok::<f32, PixelError>(transparent as f32 / pixels.pixels().len().max(1) as f32)
        });
        let no_image = |said: String| ImageError::NoImage {
            provider: provider.to_owned(),
            said: Some(said),
            usage: Box::new(usage.clone()),
        };
        let transparent_share = share
            .await
            .map_err(|error| no_image(format!("what it answered cannot be read: {error}")))?;
        if transparent_share == 0.0 {
            let said = "the result has no transparent pixel".to_owned();
            return Err(no_image(said));
        }
        Ok(Self {
            image,
            transparent_share,
            note,
        })
    }
}

/// Removes what is around the subject of an image.
///
/// Contract: an image with transparency or an error; a result without any is an error, since some services answer
/// the original when they find no subject. Calling again is harmless.
#[async_trait]
pub trait BackgroundRemover: Send + Sync {
    /// Who removes, for people and metadata: `fal (fal-ai/imageutils/rembg)`, `local`, …
    fn provider(&self) -> &str;

    async fn remove_background(&self, image: &EncodedImage) -> Result<Answer<Cutout>, ImageError>;
}
