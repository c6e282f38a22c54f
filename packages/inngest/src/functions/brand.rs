//! Reading and summing up brands.

pub mod ingestion;
