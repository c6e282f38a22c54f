//! Keeping what was seen in images, and clearing away what is not needed any more.

pub mod archive;
pub mod cleanup_blobs;
pub mod cleanup_temp;

/// The folder of the blob store that all of it is in.
pub const FOLDER: &str = "vision";
