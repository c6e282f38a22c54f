use crate::{Answer, LanguageError, LanguageModel, LanguageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use studio233_brand::Principle;

/// Fragments of knowledge that a synthesis is made of; the newest of a workspace suffice.
pub const FRAGMENTS_MAX: usize = 50;

const TASK: &str = "These are fragments of what is known about one brand, the newest first. Say what the brand is, in \
    its own words where there are some, and only what the fragments bear out. manifesto: one short paragraph. \
    voice: three to five traits of how it speaks; visual_dna: three to five traits of how it looks; a few words each. \
    principles: what it insists on, a short title and a sentence each.";

/// What a workspace's knowledge says about its brand as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BrandSynthesis {
    pub manifesto: String,
    /// Three to five traits.
    #[schemars(length(min = 3, max = 5))]
    pub voice: Vec<String>,
    /// Three to five traits.
    #[schemars(length(min = 3, max = 5))]
    pub visual_dna: Vec<String>,
    pub principles: Vec<Principle>,
}

/// Most traits of a kind. A model that gives more is cut short, not refused.
const TRAITS_MAX: usize = 5;

/// Has a language model say what fragments of knowledge amount to. The first [`FRAGMENTS_MAX`] count.
///
/// Lists are as long as the knowledge bears: a model is asked for three to five traits of voice and look, the local
/// provider invents none to fill up.
pub async fn synthesize(
    model: &dyn LanguageModel,
    fragments: &[String],
) -> Result<Answer<BrandSynthesis>, LanguageError> {
    let fragments = fragments.iter().take(FRAGMENTS_MAX).cloned();
    let request = LanguageRequest::new::<BrandSynthesis>(TASK).material(fragments);
    let mut answer = model.ask::<BrandSynthesis>(&request).await?;
    answer.value.voice.truncate(TRAITS_MAX);
    answer.value.visual_dna.truncate(TRAITS_MAX);
    let said = &answer.value;
    if said.manifesto.trim().is_empty() && said.principles.is_empty() {
        return Err(LanguageError::InvalidJson {
            provider: model.provider().to_owned(),
            at: "manifesto".to_owned(),
            problem: "it says nothing about the brand".to_owned(),
            usage: Box::new(answer.usage),
        });
    }
    Ok(answer)
}
