//! What the vision model's answers need afterwards.

use super::Object;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stepwell::Event;

/// `vision.archive.requested`: an image was analysed; the image and what was seen are to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "vision.archive.requested")]
pub struct ArchiveRequested {
    /// Where the image is; `data:` URLs hold it.
    #[garde(url)]
    pub image_url: String,
    /// SHA-256 of the URL, in hex: what the archive knows the image by.
    pub image_hash: String,
    /// What was seen.
    pub metadata: Object,
}

/// `vision.cleanup.requested`: a temporary file is not needed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Event)]
#[serde(rename_all = "camelCase")]
#[event(name = "vision.cleanup.requested")]
pub struct CleanupRequested {
    /// The file, in the folder for temporary files.
    pub path: String,
}
