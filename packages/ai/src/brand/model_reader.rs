use super::{BrandReader, BrandReading, ReadError, VISION_PAGES_MAX};
use crate::document::PageImage;
use crate::pixels;
use crate::{Answer, Document, EncodedImage, LanguageModel, LanguageRequest};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use studio233_brand::{BrandDna, BrandSummary, PaletteColor, Principle};
use studio233_media::Format;

const TASK: &str = "Read the brand's profile out of its guidelines. Take only what they say or show, in their own \
    words where they have some; leave empty what is not there. Colours as #RRGGBB, the primary first. \
    logos, layoutPrinciples, imageryStyle, photographyGuidelines and copywritingGuidelines: one rule a sentence. \
    fonts: the family as it is called, and what it is used for. \
    manifesto: one short paragraph on what the brand stands for; voice and visual_dna: three to five traits each, a \
    few words; principles: what the guidelines insist on, under short titles.";

/// Text of one document that is shown to a model; guidelines are far shorter.
const TEXT_CHARS_MAX: usize = 400_000;

/// Reads a brand with a language model: out of the pictures of the first pages, or out of text.
#[derive(Clone)]
pub struct ModelBrandReader {
    model: Arc<dyn LanguageModel>,
}

impl ModelBrandReader {
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self { model }
    }

    /// The profile out of a document's text, page by page.
    pub(crate) async fn read_texts(&self, pages: Vec<String>) -> Result<BrandReading, ReadError> {
        let mut left = TEXT_CHARS_MAX;
        let pages = pages.into_iter().map(|page| {
            let kept: String = page.chars().take(left).collect();
            left -= kept.chars().count();
            kept
        });
        let pages = pages.filter(|page| !page.trim().is_empty());
        let request = LanguageRequest::new::<Profile>(TASK).material(pages);
        self.ask(request).await
    }

    async fn ask(&self, request: LanguageRequest) -> Result<BrandReading, ReadError> {
        let asked = self.model.ask::<Profile>(&request).await;
        let Answer { value, usage } = asked.map_err(|source| ReadError::Model {
            usage: source.usage().cloned().into_iter().collect(),
            source,
        })?;
        let provider = self.model.provider().to_owned();
        let summary = BrandSummary {
            manifesto: value.manifesto,
            voice: value.voice,
            visual_dna: value.visual_dna,
            principles: value.principles,
            palette: value.palette,
            generated_by: provider.clone(),
        };
        Ok(BrandReading {
            dna: value.dna,
            summary,
            provider,
            usage: vec![usage],
        })
    }
}

impl fmt::Debug for ModelBrandReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ModelBrandReader({})", self.model.provider())
    }
}

/// What the model is asked for: profile and summary in one look.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Profile {
    dna: BrandDna,
    manifesto: String,
    voice: Vec<String>,
    visual_dna: Vec<String>,
    principles: Vec<Principle>,
    palette: Vec<PaletteColor>,
}

#[async_trait]
impl BrandReader for ModelBrandReader {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    async fn read(&self, document: &Document) -> Result<BrandReading, ReadError> {
        let unreadable = || ReadError::Unreadable {
            provider: self.model.provider().to_owned(),
            what: "page images",
            usage: Vec::new(),
        };
        let pages: Vec<PageImage> = document
            .images
            .iter()
            .take(VISION_PAGES_MAX)
            .cloned()
            .collect();
        if pages.is_empty() {
            return Err(unreadable());
        }
        let encoded = pixels::off_thread(pixels::count_pages(&pages), move || {
            let pictures = pages.iter().filter_map(PageImage::picture);
            let encoded = pictures.map(|picture| pixels::encode(&picture, Format::Jpeg));
            encoded.collect()
        });
        let images: Vec<EncodedImage> = encoded.await.map_err(|_| unreadable())?;
        self.ask(LanguageRequest::new::<Profile>(TASK).images(images))
            .await
    }
}
