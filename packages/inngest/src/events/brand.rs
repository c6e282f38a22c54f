//! What happens to a workspace's brand.

use super::Object;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stepwell::Event;

/// What a brand asset is to its workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Classification {
    /// It defines the brand. What older producers mean, who say nothing.
    #[default]
    CoreBrandMark,
    /// It inspires, and defines nothing: it is indexed, so that it is found, and the brand's profile stays as it is.
    IndexAsInspiration,
}

impl Classification {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CoreBrandMark => "CORE_BRAND_MARK",
            Self::IndexAsInspiration => "INDEX_AS_INSPIRATION",
        }
    }
}

/// `brand.knowledge.ingested`: a document was added to a workspace's brand, to be read and indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "brand.knowledge.ingested")]
pub struct KnowledgeIngested {
    /// The workspace.
    #[garde(custom(super::id))]
    pub workspace_id: String,
    /// The asset, which the document's knowledge is kept under.
    #[garde(custom(super::id))]
    pub asset_id: String,
    /// Where the document is: `https:`, or `blob:` for one in the studio's own store.
    #[garde(url)]
    pub url: String,
    /// What people call it.
    pub filename: String,
    /// What it is to the brand.
    #[serde(default)]
    pub classification: Classification,
}

/// `brand.asset.vision_sync`: an image was added to a workspace's brand, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "brand.asset.vision_sync")]
pub struct AssetVisionSync {
    /// The workspace.
    #[garde(custom(super::id))]
    pub workspace_id: String,
    /// The asset.
    #[garde(custom(super::id))]
    pub asset_id: String,
    /// Where the image is.
    #[garde(url)]
    pub url: String,
    /// What people call it.
    pub filename: String,
    /// What it is to the brand.
    #[serde(default)]
    pub classification: Classification,
}

/// `brand.intelligence.sync_requested`: what a workspace knows of its brand has changed, to be summed up anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "brand.intelligence.sync_requested")]
pub struct IntelligenceSyncRequested {
    /// The workspace.
    #[garde(custom(super::id))]
    pub workspace_id: String,
}

/// `brand.knowledge.text_added`: a text was added to a workspace's brand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "brand.knowledge.text_added")]
pub struct KnowledgeTextAdded {
    /// The workspace.
    #[garde(custom(super::id))]
    pub workspace_id: String,
    /// The asset, which the text's knowledge is kept under.
    #[garde(custom(super::id))]
    pub asset_id: String,
    /// The text.
    pub text: String,
    /// What people call it.
    pub filename: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}
