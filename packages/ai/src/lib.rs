//! AI capabilities of the studio behind narrow traits.
//!
//! - [`Embedder`] turns texts into vectors that can be compared.
//! - [`BrandReader`] reads a brand's profile out of a document; [`BrandExtraction`] tries a
//!   high-fidelity parser first, else a vision model, and accepts by quality.
//! - [`LanguageModel`] answers questions about texts and images with JSON of a given schema; [`synthesize`] has one say
//!   what a brand is.
//! - [`Vision`](vision::Vision) says what is in an image; [`Analyzer`](vision::Analyzer) adds a cache, shared calls and
//!   an archive.
//! - [`ImageModel`] makes images, [`BackgroundRemover`] cuts subjects out of them, [`Verifier`] compares a result with what
//!   it was made of.
//!
//! Providers: [`gemini`] and [`fal`], [`llama_parse`] for documents, and [`local`], which needs no key and no network: it
//! measures and reads instead of guessing. Every answer says what it cost ([`Usage`]), and every error whether trying again
//! helps and when.
//!
//! Documents come in as [`document::Document`]: laid-out text, drawn colours and page images,
//! together with the file itself, so that a provider takes whichever it can use. This crate opens
//! no files, stores nothing, reads no environment and knows nothing of jobs. What it needs of the outside it takes as a
//! trait: [`ImageSource`], [`vision::VisionCache`], [`vision::Archive`].
//!
//! # Asking a language model
//! ```
//! use studio233_ai::local::LocalLanguageModel;
//! use studio233_ai::{LanguageError, LanguageModel, synthesize};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), LanguageError> {
//! let model = LocalLanguageModel; // or a `gemini::Gemini`
//! let fragments = ["Acme makes tools that last. Our voice is plain, warm and exact.".to_owned()];
//! let answer = synthesize(&model, &fragments).await?;
//! assert_eq!(answer.value.voice, ["plain", "warm", "exact"]);
//! assert_eq!(answer.usage.provider, "local");
//! # Ok(()) }
//! ```
//! A question of one's own is a type: its schema goes out, its value comes back.
//! ```
//! use studio233_ai::{Answer, EncodedImage, LanguageError, LanguageModel, LanguageRequest};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Focus {
//!     is_sharp: bool,
//!     what_is_sharp: String,
//! }
//!
//! async fn focus(model: &dyn LanguageModel, image: EncodedImage) -> Result<Answer<Focus>, LanguageError> {
//!     let question = LanguageRequest::new::<Focus>("What is in focus?").images([image]);
//!     model.ask(&question).await
//! }
//! ```
//!
//! # Analysing an image
//! ```
//! use std::sync::Arc;
//! use studio233_ai::local::LocalVision;
//! use studio233_ai::vision::{AnalysisContext, AnalysisError, AnalysisRequest, Analyzer};
//! use studio233_ai::{EncodedImage, ImageSource, SourceError};
//!
//! struct NoNetwork;
//!
//! #[async_trait::async_trait]
//! impl ImageSource for NoNetwork {
//!     async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError> {
//!         Err(SourceError { url: url.to_owned(), transient: false, source: "there is no network".into() })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), AnalysisError> {
//! let analyzer = Analyzer::new(Arc::new(LocalVision), Arc::new(NoNetwork));
//! let context = AnalysisContext {
//!     latest_image: Some("data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==".into()),
//!     archive: None, // or one's own implementation of `vision::Archive`
//! };
//! let seen = analyzer.analyse(&AnalysisRequest::default(), &context).await?;
//! assert_eq!(seen.analysis.color_palette.dominant_hex_estimates, ["#FF0000"]);
//! # Ok(()) }
//! ```
//!
//! # Making images, cutting them out, judging them
//! ```
//! use studio233_ai::{BackgroundRemover, Comparison, EncodedImage, ImageModel, ImageRequest, Verdict, Verifier};
//!
//! async fn dress(
//!     model: &dyn ImageModel,
//!     remover: &dyn BackgroundRemover,
//!     verifier: &dyn Verifier,
//!     product: EncodedImage,
//!     mannequin: EncodedImage,
//! ) -> Result<Verdict, Box<dyn std::error::Error>> {
//!     let cutout = remover.remove_background(&product).await?.value;
//!     let request = ImageRequest::new("Dress the mannequin with the product.", [cutout.image, mannequin.clone()]);
//!     let result = model.make(&request).await?.value.image;
//!     let comparison = Comparison { original: product, reference: mannequin, result };
//!     Ok(verifier.verify(&comparison).await?.value)
//! }
//! ```
//!
//! # A provider with a key
//! ```
//! use std::sync::Arc;
//! use studio233_ai::gemini::{Gemini, GeminiSettings};
//! use studio233_ai::{ApiKey, Embedder, LanguageModel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The program's edge knows where keys come from.
//! let gemini = Arc::new(Gemini::new(ApiKey::new("AIza-example")?, GeminiSettings::default())?);
//! let model: Arc<dyn LanguageModel> = gemini.clone();
//! let embedder: Arc<dyn Embedder> = gemini;
//! assert_eq!(embedder.provider(), "gemini (gemini-embedding-001)");
//! # Ok(()) }
//! ```

mod answer;
mod api_key;
pub mod background;
mod brand;
pub mod document;
mod embed;
mod encoded_image;
pub mod fal;
pub mod gemini;
mod http;
mod image_model;
mod image_source;
mod language_model;
pub mod llama_parse;
pub mod local;
mod passed_over;
mod pixels;
mod polling;
mod provider_error;
mod verify;
pub mod vision;

pub use answer::{Answer, Usage};
pub use api_key::{ApiKey, InvalidApiKey};
pub use background::{BackgroundRemover, Cutout};
pub use brand::{
    AcceptedReading, BrandExtraction, BrandReader, BrandReading, BrandSynthesis, ExtractionError,
    FRAGMENTS_MAX, ModelBrandReader, PARSER_ACCEPTED_ABOVE, ReadError, ReadingPath,
    VISION_ACCEPTED_ABOVE, VISION_PAGES_MAX, synthesize,
};
pub use document::Document;
pub use embed::{EMBEDDING_DIMENSIONS, EmbedError, Embedder, Purpose};
pub use encoded_image::{DATA_URL_BYTES_MAX, EncodedImage, NotAnImage};
pub use image_model::{ImageError, ImageModel, ImageRequest, MadeImage};
pub use image_source::{ImageSource, SourceError};
pub use language_model::{LanguageError, LanguageModel, LanguageRequest, MODEL_TIMEOUT, schema_of};
pub use passed_over::PassedOver;
pub use polling::Polling;
pub use provider_error::{Billed, ProviderError};
/// How an [`EncodedImage`] is encoded.
pub use studio233_media::Format as ImageType;
pub use verify::{Comparison, ModelVerifier, Verdict, Verifier};
