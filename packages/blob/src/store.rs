use crate::{Bucket, ContentType, Key};
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Most entries one [`BlobStore::list`] call returns.
pub const LIST_LIMIT_MAX: usize = 1000;

/// A folder's files have no types: those that a blob's name does not tell live beside it, under this folder. No [`Key`]
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

/// What a listing tells of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: Key,
    pub size_bytes: u64,
    pub modified_at: Timestamp,
}

/// Part of a listing, in key order.
#[derive(Debug, Clone)]
pub struct Page {
    pub items: Vec<Listed>,
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
    #[error("cannot use the bucket {bucket}")]
    Bucket {
        bucket: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot {operation} {what} in the blob store")]
    Store {
        operation: &'static str,
        what: String,
        source: object_store::Error,
    },
}

impl BlobError {
    /// Trying again may help: the store or the way to it was busy or away. What it forbids stays forbidden.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Store {
                source: object_store::Error::Generic { .. } | object_store::Error::JoinError { .. },
                ..
            }
        )
    }
}

/// The studio's blob store. Cloning is cheap and shares the backend.
#[derive(Debug, Clone)]
pub struct BlobStore {
    backend: Arc<dyn ObjectStore>,
    kind: Kind,
}

/// What the backend does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Files: no types, no order.
    Folder,
    /// Objects keep their types, and are listed in the order of their keys.
    Bucket,
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
                kind: Kind::Folder,
            }),
            Err(error) => Err(BlobError::Folder {
                folder,
                source: error.into(),
            }),
        }
    }

    /// Keeps blobs as objects in a bucket, which has to exist. One request finds out whether it can be used.
    pub async fn in_bucket(bucket: &Bucket) -> Result<Self, BlobError> {
        let client = bucket.client()?;
        let backend: Arc<dyn ObjectStore> = match &bucket.folder {
            Some(folder) => Arc::new(PrefixStore::new(client, path(folder))),
            None => Arc::new(client),
        };
        if let Some(Err(error)) = backend.list(None).next().await {
            return Err(BlobError::Bucket {
                bucket: bucket.name.clone(),
                source: error.into(),
            });
        }
        Ok(Self {
            backend,
            kind: Kind::Bucket,
        })
    }

    /// Writes a blob whole: readers see the old bytes or the new ones, never a part. When this returns, the
    /// bytes are on the disk, or the bucket has them.
    pub async fn put(
        &self,
        key: &Key,
        bytes: Bytes,
        content_type: &ContentType,
        mode: Put,
    ) -> Result<(), BlobError> {
        let mut options = PutOptions::from(match mode {
            Put::Overwrite => PutMode::Overwrite,
            Put::CreateOnly => PutMode::Create,
        });
        if self.kind == Kind::Bucket {
            let content_type = content_type.as_str().to_owned();
            options.attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        }
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
        match self.kind {
            Kind::Folder => self.note_content_type(key, content_type).await,
            Kind::Bucket => Ok(()),
        }
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
        let told = told_type(&found.attributes);
        let meta = self.meta_of(key.clone(), &found.meta, told).await?;
        let bytes = found
            .bytes()
            .await
            .map_err(|source| store_error("read", key, source))?;
        Ok(Blob { meta, bytes })
    }

    /// Size, type and time of a blob.
    pub async fn head(&self, key: &Key) -> Result<Meta, BlobError> {
        let options = GetOptions::new().with_head(true);
        match self.backend.get_opts(&path(key), options).await {
            Ok(GetResult {
                meta, attributes, ..
            }) => {
                let told = told_type(&attributes);
                self.meta_of(key.clone(), &meta, told).await
            }
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

        let mut entries = match after {
            Some(after) if self.kind == Kind::Bucket => {
                self.backend.list_with_offset(prefix.as_ref(), &path(after))
            }
            _ => self.backend.list(prefix.as_ref()),
        };
        // A folder is listed in no order, so the smallest keys are kept while all pass by: memory is bounded by the
        // page, not by the store.
        let mut smallest: BTreeMap<Key, ObjectMeta> = BTreeMap::new();
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
            if smallest.len() > limit {
                if self.kind == Kind::Bucket {
                    break;
                }
                if smallest.len() > limit + 1 {
                    smallest.pop_last();
                }
            }
        }
        let more = smallest.len() > limit;
        if more {
            smallest.pop_last();
        }
        let items: Vec<Listed> = smallest
            .into_iter()
            .map(|(key, entry)| Listed {
                key,
                size_bytes: entry.size,
                modified_at: modified_at(&entry),
            })
            .collect();
        let next = if more {
            items.last().map(|last| last.key.clone())
        } else {
            None
        };
        Ok(Page { items, next })
    }

    /// Removes a blob. One that is not there is removed already.
    pub async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        let note = (self.kind == Kind::Folder).then(|| type_note_path(key));
        for path in std::iter::once(path(key)).chain(note) {
            match self.backend.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(store_error("delete", key, source)),
            }
        }
        Ok(())
    }

    async fn meta_of(
        &self,
        key: Key,
        found: &ObjectMeta,
        told: Option<ContentType>,
    ) -> Result<Meta, BlobError> {
        let content_type = match self.kind {
            Kind::Folder => self.content_type_of(&key).await?,
            Kind::Bucket => told.unwrap_or_else(|| type_by_name(&key)),
        };
        Ok(Meta {
            key,
            size_bytes: found.size,
            content_type,
            modified_at: modified_at(found),
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

/// What the backend says of itself.
fn told_type(attributes: &Attributes) -> Option<ContentType> {
    let told = attributes.get(&Attribute::ContentType)?;
    ContentType::parse(told).ok()
}

fn modified_at(found: &ObjectMeta) -> Timestamp {
    Timestamp::from_millisecond(found.last_modified.timestamp_millis())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn path(key: &Key) -> Path {
    // Taken as it is: `Path::from` would write `~` in another way, and a listing would show no key.
    Path::parse(key.as_str()).expect("a key has no part that a path may not have")
}

fn type_note_path(key: &Key) -> Path {
    Path::from(TYPES_FOLDER)
        .parts()
        .chain(path(key).parts())
        .collect()
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
