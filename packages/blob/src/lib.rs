//! Blob storage of the studio
