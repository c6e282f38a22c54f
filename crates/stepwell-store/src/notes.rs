//! What is noted of runs: how much of it is kept.

use serde_json::{Map, Value};
use stepwell_engine::Timestamp;
use stepwell_protocol::limits;
use stepwell_protocol::metadata::Target;

/// Something that is noted of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRecord {
    /// What of it.
    pub target: Target,
    /// What it is about.
    pub kind: String,
    /// What is noted.
    pub values: Map<String, Value>,
    /// When it was noted last.
    pub updated_at: Timestamp,
}

/// Whether a run that has so many other notes of so many bytes may have one of this size.
pub(crate) fn fits(others: usize, others_bytes: usize, bytes: usize) -> bool {
    others < limits::METADATA_PER_RUN_MAX
        && bytes <= limits::METADATA_BYTES_MAX
        && others_bytes + bytes <= limits::METADATA_PER_RUN_BYTES_MAX
}

/// Whether a run that has so many spans of its app's own of so many bytes may have one more of this size.
pub(crate) fn span_fits(others: usize, others_bytes: usize, bytes: usize) -> bool {
    others < limits::USER_SPANS_PER_RUN_MAX
        && bytes <= limits::USER_SPAN_BYTES_MAX
        && others_bytes + bytes <= limits::USER_SPANS_PER_RUN_BYTES_MAX
}
