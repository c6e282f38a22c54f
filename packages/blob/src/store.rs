use crate::{ContentType, Key};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Most entries one [`BlobStore::list`] call returns.
pub const LIST_LIMIT_MAX: usize = 1000;

/// Content types that a blob's name does not tell live beside it, under this folder. No [`Key`]
/// starts with a dot, so the two never meet.
const TYPES_FOLDER: &str = ".types";

/// A longer note of a content type was not written by us.
const TYPE_NOTE_BYTES_MAX: u64 = 256;

/// What to do when the key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Replace what is there, atomically.
    Overwrite,
    /// Fail with [`BlobError::AlreadyExists`] and leave what is there.
    CreateOnly,
}

/// What is known of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub key: Key,
    pub size_bytes: u64,
    pub content_type: ContentType,
    pub modified_at: Timestamp,
}

/// A blob with its bytes.
#[derive(Debug, Clone)]
pub struct Blob {
    pub meta: Meta,
    pub bytes: Bytes,
}

/// Part of a listing, in key order.
#[derive(Debug, Clone)]
pub struct Page {
    pub items: Vec<Meta>,
    /// Pass it as `after` to get the next page; none when this was the last.
    pub next: Option<Key>,
}

/// Why a blob operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    #[error("there is no blob {key}")]
    NotFound { key: Key },
    #[error("the blob {key} exists already; overwrite it or choose another key")]
    AlreadyExists { key: Key },
    #[error("the blob {key} has {size_bytes} bytes; at most {limit_bytes} are read here")]
    TooLarge {
        key: Key,
        size_bytes: u64,
        limit_bytes: u64,
    },
    #[error("cannot use {} as the blob folder", folder.display())]
    Folder {
        folder: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot {operation} {what} in the blob store")]
    Store {
        operation: &'static str,
        what: String,
        source: object_store::Error,
    },
}

/// The studio's blob store. Cloning is cheap and shares the backend.
#[derive(Debug, Clone)]
pub struct BlobStore {
    backend: Arc<dyn ObjectStore>,
}

impl BlobStore {
    /// Keeps blobs as files in a folder, which is created when missing.
    pub async fn in_folder(folder: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let folder = folder.into();
        if let Err(error) = tokio::fs::create_dir_all(&folder).await {
            return Err(BlobError::Folder {
                folder,
                source: error.into(),
            });
        }
        match LocalFileSystem::new_with_prefix(&folder) {
            // An upload that is acknowledged must outlast a power cut, as the database's row for it does.
            Ok(backend) => Ok(Self {
                backend: Arc::new(backend.with_fsync(true)),
            }),
            Err(error) => Err(BlobError::Folder {
                folder,
                source: error.into(),
            }),
        }
    }

    /// Writes a blob whole: readers see the old bytes or the new ones, never a part. When this returns, the
    /// bytes are on the disk.
    pub async fn put(
        &self,
        key: &Key,
        bytes: Bytes,
        content_type: &ContentType,
        mode: Put,
    ) -> Result<(), BlobError> {
        let options = PutOptions::from(match mode {
            Put::Overwrite => PutMode::Overwrite,
            Put::CreateOnly => PutMode::Create,
        });
        match self
            .backend
            .put_opts(&path(key), PutPayload::from_bytes(bytes), options)
            .await
        {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Err(BlobError::AlreadyExists { key: key.clone() });
            }
            Err(source) => return Err(store_error("write", key, source)),
        }
        self.note_content_type(key, content_type).await
    }

    /// Reads a blob of at most `limit_bytes`.
    pub async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Blob, BlobError> {
        let found = match self.backend.get(&path(key)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(BlobError::NotFound { key: key.clone() });
            }
            Err(source) => return Err(store_error("read", key, source)),
        };
        let size_bytes = found.meta.size;
        if size_bytes > limit_bytes {
            return Err(BlobError::TooLarge {
                key: key.clone(),
                size_bytes,
                limit_bytes,
            });
        }
        let meta = self.meta_of(key.clone(), &found.meta).await?;
        let bytes = found
            .bytes()
            .await
            .map_err(|source| store_error("read", key, source))?;
        Ok(Blob { meta, bytes })
    }

    /// Size, type and time of a blob.
    pub async fn head(&self, key: &Key) -> Result<Meta, BlobError> {
        match self.backend.head(&path(key)).await {
            Ok(found) => self.meta_of(key.clone(), &found).await,
            Err(object_store::Error::NotFound { .. }) => {
                Err(BlobError::NotFound { key: key.clone() })
            }
            Err(source) => Err(store_error("look up", key, source)),
        }
    }

    /// The blobs under a folder (all of them without one), in key order, `limit` at a time
    /// (1 to [`LIST_LIMIT_MAX`]), starting after the key `after`.
    pub async fn list(
        &self,
        folder: Option<&Key>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, BlobError> {
        let limit = limit.clamp(1, LIST_LIMIT_MAX);
        let prefix = folder.map(path);
        let what = || folder.map_or_else(|| "all blobs".to_owned(), Key::to_string);
        let failed = |source| BlobError::Store {
            operation: "list",
            what: what(),
            source,
        };

        // A folder backend lists in no order, so the smallest keys are kept while all pass by:
        // memory is bounded by the page, not by the store.
        let mut smallest: BTreeMap<Key, ObjectMeta> = BTreeMap::new();
        let mut entries = self.backend.list(prefix.as_ref());
        while let Some(entry) = entries.next().await {
            let entry = match entry {
                Ok(entry) => entry,
                // Deleted between being seen and being looked at.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(source) => return Err(failed(source)),
            };
            // Foreign files and our own notes are not blobs.
            let Ok(key) = Key::parse(entry.location.as_ref()) else {
                continue;
            };
            if after.is_some_and(|after| key <= *after) {
                continue;
            }
            smallest.insert(key, entry);
            if smallest.len() > limit + 1 {
                smallest.pop_last();
            }
        }
        let more = smallest.len() > limit;
        if more {
            smallest.pop_last();
        }
        let metas = smallest
            .into_iter()
            .map(|(key, entry)| async move { self.meta_of(key, &entry).await });
        let items: Vec<Meta> = futures::stream::iter(metas)
            .buffered(16)
            .try_collect()
            .await?;
        let next = if more {
            items.last().map(|last| last.key.clone())
        } else {
            None
        };
        Ok(Page { items, next })
    }

    /// Removes a blob. One that is not there is removed already.
    pub async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        for path in [path(key), type_note_path(key)] {
            match self.backend.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(store_error("delete", key, source)),
            }
        }
        Ok(())
    }

    async fn meta_of(&self, key: Key, found: &ObjectMeta) -> Result<Meta, BlobError> {
        let modified_at = Timestamp::from_millisecond(found.last_modified.timestamp_millis())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let content_type = self.content_type_of(&key).await?;
        Ok(Meta {
            key,
            size_bytes: found.size,
            content_type,
            modified_at,
        })
    }

    async fn content_type_of(&self, key: &Key) -> Result<ContentType, BlobError> {
        let note = match self.backend.get(&type_note_path(key)).await {
            Ok(note) if note.meta.size <= TYPE_NOTE_BYTES_MAX => Some(
                note.bytes()
                    .await
                    .map_err(|source| store_error("read", key, source))?,
            ),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => None,
            Err(source) => return Err(store_error("read the type of", key, source)),
        };
        let noted = note
            .as_deref()
            .and_then(|note| std::str::from_utf8(note).ok());
        let noted = noted.and_then(|text| ContentType::parse(text).ok());
        Ok(noted.unwrap_or_else(|| type_by_name(key)))
    }

    async fn note_content_type(
        &self,
        key: &Key,
        content_type: &ContentType,
    ) -> Result<(), BlobError> {
        let path = type_note_path(key);
        let outcome = if *content_type == type_by_name(key) {
            self.backend.delete(&path).await
        } else {
            let note = PutPayload::from(content_type.as_str().to_owned().into_bytes());
            self.backend.put(&path, note).await.map(|_| ())
        };
        match outcome {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(store_error("note the type of", key, source)),
        }
    }
}

fn path(key: &Key) -> Path {
    Path::from(key.as_str())
}

fn type_note_path(key: &Key) -> Path {
    Path::from(format!("{TYPES_FOLDER}/{key}"))
}

fn type_by_name(key: &Key) -> ContentType {
    let by_extension = key.extension().and_then(ContentType::of_extension);
    by_extension.unwrap_or_else(ContentType::octet_stream)
}

fn store_error(operation: &'static str, key: &Key, source: object_store::Error) -> BlobError {
    BlobError::Store {
        operation,
        what: key.to_string(),
        source,
    }
}

#[cfg(test)]
mod tests;
