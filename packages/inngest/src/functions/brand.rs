//! Reading and summing up brands.

pub mod ended;
pub mod ingestion;
mod reading;
pub mod synthesize;
pub mod vision_sync;
mod visual_dna;
