//! Reading and summing up brands.

pub mod ended;
pub mod ingestion;
pub mod synthesize;
pub mod vision_sync;
mod visual_dna;
