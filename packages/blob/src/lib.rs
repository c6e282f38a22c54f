//! Blob storage of the studio: named bytes with a content type.
//!
//! A narrow surface over `object_store`: put, get, head, list in pages, delete. Keys are checked
//! once, when a [`Key`] is made, so nothing below can leave the store's root. The backend is a
//! folder; others of `object_store` fit behind the same surface.

mod content_type;
mod key;
mod store;

pub use content_type::{ContentType, InvalidContentType};
pub use key::{InvalidKey, KEY_BYTES_MAX, Key};
pub use store::{Blob, BlobError, BlobStore, LIST_LIMIT_MAX, Meta, Page, Put};
