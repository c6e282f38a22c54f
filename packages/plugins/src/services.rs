use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use studio233_blob::{BlobStore, Key};
use studio233_media::Limits;

use crate::{Context, MediaFile, Output, Pool, Spending};

/// What the studio's plugins work with; given in by the app. Cloning is cheap.
#[derive(Clone)]
pub struct Services {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) blobs: BlobStore,
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
    pub(crate) removers: Vec<Arc<dyn BackgroundRemover>>,
    pub(crate) python: Option<Arc<dyn PythonExecutor>>,
    pub(crate) scripts: Arc<BTreeSet<String>>,
}

impl Services {
    /// Files come from `source`, outputs go to `blobs`. No background remover, no Python; both can be added.
    pub fn new(source: impl Source, blobs: BlobStore) -> Self {
        Self {
            source: Arc::new(source),
            blobs,
            pool: Pool::default(),
            limits: Limits::default(),
            removers: Vec::new(),
            python: None,
            scripts: Arc::default(),
        }
    }

    /// Computes in this pool, which may be shared.
    #[must_use]
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = pool;
        self
    }

    /// Decodes within these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds one that removes backgrounds. Of two for one provider the later is asked.
    #[must_use]
    pub fn background_remover(mut self, remover: impl BackgroundRemover) -> Self {
        let provider = remover.provider();
        self.removers.retain(|other| other.provider() != provider);
        self.removers.push(Arc::new(remover));
        self
    }

    /// Runs scripts of these names, and no others, with this executor.
    #[must_use]
    pub fn python(
        mut self,
        executor: impl PythonExecutor,
        scripts: impl IntoIterator<Item = String>,
    ) -> Self {
        self.python = Some(Arc::new(executor));
        self.scripts = Arc::new(scripts.into_iter().collect());
        self
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("pool", &self.pool)
            .field("limits", &self.limits)
            .field("removers", &self.removers.len())
            .field("python", &self.python.is_some())
            .field("scripts", &self.scripts)
            .finish_non_exhaustive()
    }
}

/// Why a service did not do its part.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// For people, without secrets and signatures of URLs.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retriable: bool,
    /// When it asked to be called again.
    pub retry_after: Option<Duration>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ServiceError {
    /// Asking again would not help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retriable: false,
            retry_after: None,
            source: None,
        }
    }

    /// It may work later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            retriable: true,
            ..Self::permanent(message)
        }
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Where files' bytes come from. What an implementation does not refuse is fetched: it is the place where URLs into the studio's own
/// network are stopped.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The bytes at a file's URL, at most `bytes_max` of them. More is an error, not a part.
    async fn fetch(&self, url: &str, bytes_max: u64) -> Result<Bytes, ServiceError>;
}

/// Reads `blob:<key>` URLs from the studio's own store, and nothing else.
#[derive(Debug, Clone)]
pub struct BlobSource {
    blobs: BlobStore,
}

impl BlobSource {
    pub fn new(blobs: BlobStore) -> Self {
        Self { blobs }
    }
}

#[async_trait]
impl Source for BlobSource {
    async fn fetch(&self, url: &str, bytes_max: u64) -> Result<Bytes, ServiceError> {
        let Some(key) = url.strip_prefix("blob:") else {
            let message = "only blob: URLs of the studio are read here";
            return Err(ServiceError::permanent(message));
        };
        let key = Key::parse(key)
            .map_err(|error| ServiceError::permanent("its URL is no blob's").because(error))?;
        match self.blobs.get(&key, bytes_max).await {
            Ok(blob) => Ok(blob.bytes),
            Err(error) => {
                let retriable = error.is_transient();
                Err(ServiceError {
                    retriable,
                    ..ServiceError::permanent("its blob cannot be read").because(error)
                })
            }
        }
    }
}

/// Who can remove a background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Fal,
    Gemini,
    /// The studio's own, which needs no key. Asked last, and only when the choice is left to the studio.
    Local,
}

impl Provider {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fal => "fal",
            Self::Gemini => "gemini",
            Self::Local => "local",
        }
    }
}

/// Removes the background of a picture with the help of one provider.
#[async_trait]
pub trait BackgroundRemover: Send + Sync + 'static {
    fn provider(&self) -> Provider;

    /// Whether it has no key of the app's: it is asked only where a node brings its own.
    fn needs_key(&self) -> bool {
        false
    }

    /// The picture with nothing behind its subject. May be called again for the same picture.
    async fn remove(&self, removal: Removal) -> Result<Removed, ServiceError>;
}

/// What a [`BackgroundRemover`] is asked.
#[derive(Debug, Clone)]
pub struct Removal {
    pub image: Bytes,
    /// E.g. `image/png`.
    pub content_type: &'static str,
    /// The node's own key; without one the app's is used.
    pub api_key: Option<Secret>,
    /// Is told what the call cost, also when it fails.
    pub spending: Spending,
}

/// What a [`BackgroundRemover`] answers.
#[derive(Debug, Clone)]
pub struct Removed {
    /// A png, jpeg, webp or gif; it is looked at, whatever it is called.
    pub image: Bytes,
}

/// A text that shows in no log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Runs a Python script of the studio in a sandbox.
#[async_trait]
pub trait PythonExecutor: Send + Sync + 'static {
    /// May be called again with the same job; then it has to come to the same outputs. What it spends is told to the
    /// context's [`Spending`].
    async fn execute(&self, context: &Context, job: PythonJob) -> Result<Output, ServiceError>;
}

/// What a [`PythonExecutor`] is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonJob {
    /// On the app's list.
    pub script: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub files: Vec<MediaFile>,
}
