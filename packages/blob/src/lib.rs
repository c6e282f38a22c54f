//! Blob storage of the studio: named bytes with a content type.
//!
//! A narrow surface over `object_store`: put, get, head, list in pages, delete. Keys are checked
//! once, when a [`Key`] is made, so nothing below can leave the store's root. Blobs are kept in a
//! folder, or in a [`Bucket`] of S3 or a store that speaks its protocol; both behave the same.

mod content_type;
mod key;
mod s3;
mod store;

pub use content_type::{ContentType, InvalidContentType};
pub use key::{InvalidKey, KEY_BYTES_MAX, Key};
pub use s3::{Bucket, InvalidBucketUrl, parse_bucket_url};
pub use store::{Blob, BlobError, BlobStore, LIST_LIMIT_MAX, Listed, Meta, Page, Put};
