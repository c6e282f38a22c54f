use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person reads first about a brand. Ingestion writes it from one document; synthesis
/// rewrites it from everything the workspace knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BrandSummary {
    /// One short paragraph: what the brand stands for.
    pub manifesto: String,
    /// Traits of its voice, a few words each.
    pub voice: Vec<String>,
    /// Traits of its look, a few words each.
    pub visual_dna: Vec<String>,
    pub principles: Vec<Principle>,
    /// The colours with their names and roles, the primary first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub palette: Vec<PaletteColor>,
    /// Which provider wrote this summary, in words for people.
    #[serde(rename = "generatedBy")]
    pub generated_by: String,
}

/// A rule of the brand under a short title.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Principle {
    pub title: String,
    pub description: String,
}

/// A colour as the brand names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PaletteColor {
    /// `#RRGGBB`
    pub hex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `primary`, `secondary`, `accent`, `neutral`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}
