use super::{BackgroundRemover, Cutout};
use crate::local::LocalBackgroundRemover;
use crate::{Answer, EncodedImage, ImageError, ImageModel, ImageRequest};
use async_trait::async_trait;
use std::sync::Arc;

const PROMPT: &str = "Keep the main subject of this image exactly as it is: its shape, colours, texture, size and \
    position. Replace everything else, shadows and reflections included, by one flat, uniform #00FF00 green that \
    reaches all four edges. Change nothing else.";

/// Removes backgrounds by means of an image model.
///
/// Image models make no transparency, so the model paints the background in one colour, and that colour is
/// cut away from the edges inwards, which leaves the same colour within the subject alone.
#[derive(Clone)]
pub struct ByImageModel {
    model: Arc<dyn ImageModel>,
}

impl std::fmt::Debug for ByImageModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ByImageModel({})", self.model.provider())
    }
}

impl ByImageModel {
    pub fn new(model: Arc<dyn ImageModel>) -> Self {
        Self { model }
    }
}

#[async_trait]
impl BackgroundRemover for ByImageModel {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    async fn remove_background(&self, image: &EncodedImage) -> Result<Answer<Cutout>, ImageError> {
        let request = ImageRequest::new(PROMPT, [image.clone()]);
        let painted = self.model.make(&request).await?;
        match LocalBackgroundRemover
            .remove_background(&painted.value.image)
            .await
        {
            Ok(cut) => {
                let note = "the background was painted over by a model and cut away by its colour";
                let cutout = Cutout {
                    note: Some(note.to_owned()),
                    ..cut.value
                };
                Ok(Answer::new(cutout, painted.usage))
            }
            // The model was asked for one colour and painted several: another try may do.
            Err(error) => Err(ImageError::NoImage {
                provider: self.model.provider().to_owned(),
                said: Some(format!("no background that can be cut away ({error})")),
                usage: Box::new(painted.usage),
            }),
        }
    }
}
