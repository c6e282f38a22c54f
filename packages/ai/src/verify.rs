use crate::vision::VisionError;
use crate::{Answer, EncodedImage, LanguageModel, LanguageRequest};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A result, and what it was made of.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What is to be recognised in the result.
    pub original: EncodedImage,
    /// What the result is to look like otherwise.
    pub reference: EncodedImage,
    pub result: EncodedImage,
}

/// Whether a result will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub pass: bool,
    /// What is wrong, a sentence each, so that the next attempt can mend it.
    #[serde(default)]
    pub issues: Vec<String>,
}

/// Compares results with what they were made of.
///
/// Contract: a verdict that does not pass names at least one issue. Calling again is harmless; models may judge
/// differently each time.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Who judges, for people and metadata: `local`, `gemini (gemini-3.5-flash)`, …
    fn provider(&self) -> &str;

    async fn verify(&self, comparison: &Comparison) -> Result<Answer<Verdict>, VisionError>;
}

const TASK: &str = "Three images follow. The first is a photo of a product, the second a reference of how it is to be \
    presented, the third a result that should show exactly this product presented in that way. Judge the result as a \
    strict reviewer. The product must be the same in shape, colour, pattern, material and details; it must be worn or placed \
    as the reference shows; there must be no artefacts, no missing or added parts and no text that is not on the product. \
    pass is true only if nothing is wrong. issues says what is wrong, a sentence each that tells how to mend it.";

/// Has a language model that takes images judge.
#[derive(Clone)]
pub struct ModelVerifier {
    model: Arc<dyn LanguageModel>,
}

impl ModelVerifier {
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self { model }
    }
}

impl fmt::Debug for ModelVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ModelVerifier({})", self.model.provider())
    }
}

#[async_trait]
impl Verifier for ModelVerifier {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    async fn verify(&self, comparison: &Comparison) -> Result<Answer<Verdict>, VisionError> {
        let Comparison {
            original,
            reference,
            result,
        } = comparison.clone();
        let request = LanguageRequest::new::<Verdict>(TASK).images([original, reference, result]);
        let mut answer = self.model.ask::<Verdict>(&request).await?;
        let verdict = &mut answer.value;
        if !verdict.pass && verdict.issues.is_empty() {
            let issue = "the result does not show the product as it is";
            verdict.issues.push(issue.to_owned());
        }
        Ok(answer)
    }
}
