use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The profile of a brand, as it is stored on the workspace and shown to people.
///
/// On the wire: `{coreIdentity, visualStyle, semanticDNA}`. Absent parts read as empty, so a
/// partial answer of a model is still a profile; [`BrandDna::quality_score`] says how partial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BrandDna {
    pub core_identity: CoreIdentity,
    pub visual_style: VisualStyle,
    #[serde(rename = "semanticDNA")]
    pub semantic_dna: SemanticDna,
}

/// What identifies the brand at first sight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CoreIdentity {
    /// `#RRGGBB`, the primary colour first.
    pub colors: Vec<String>,
    pub fonts: Vec<BrandFont>,
    /// Descriptions of the marks and the rules for them, one sentence each.
    pub logos: Vec<String>,
    pub slogans: Vec<String>,
}

/// A typeface and what the brand sets in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BrandFont {
    pub family: String,
    pub usage: String,
}

/// How the brand looks beyond its marks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VisualStyle {
    pub layout_principles: Vec<String>,
    pub imagery_style: Vec<String>,
    pub photography_guidelines: Vec<String>,
    pub vibe: String,
}

/// How the brand speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SemanticDna {
    pub tone_of_voice: String,
    pub copywriting_guidelines: Vec<String>,
}
