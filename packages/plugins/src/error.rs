use std::error::Error;
use std::time::Duration;

use studio233_blob::{BlobError, InvalidKey};
use studio233_media::{AnimationError, DecodeError, EncodeError, SizeError};

use crate::{ConfigError, ServiceError};

/// Why a node's plugin failed. It names the plugin and, where it was one, the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{plugin} takes {accepted}; {file} is of type {found}")]
    Unaccepted {
        plugin: &'static str,
        file: String,
        found: &'static str,
        accepted: String,
    },
    #[error("{plugin} cannot process {file}")]
    File {
        plugin: &'static str,
        file: String,
        source: FileError,
    },
    #[error("{plugin} cannot run: {missing}")]
    NotConfigured {
        plugin: &'static str,
        missing: &'static str,
    },
    #[error("{plugin} failed")]
    Service {
        plugin: &'static str,
        source: ServiceError,
    },
}

/// Why one file was not processed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("its bytes cannot be had")]
    Source(#[source] ServiceError),
    #[error("it has {bytes} bytes; at most {limit} are processed")]
    TooLarge { bytes: u64, limit: u64 },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the background cannot be removed")]
    Removal(#[source] ServiceError),
    #[error("the image operation panicked")]
    Panicked,
    #[error("its output has no valid name in the blob store")]
    Key(#[from] InvalidKey),
    #[error("its output cannot be stored")]
    Store(#[from] BlobError),
}

impl PluginError {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Config(_) | Self::Unaccepted { .. } | Self::NotConfigured { .. } => false,
            Self::File { source, .. } => source.is_retriable(),
            Self::Service { source, .. } => source.retriable,
        }
    }

    /// When a service asked to be called again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Service { source, .. }
            | Self::File {
                source: FileError::Source(source) | FileError::Removal(source),
                ..
            } => source.retry_after,
            _ => None,
        }
    }

    /// The whole chain in one line, for a run's record.
    pub fn message(&self) -> String {
        chain(self)
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message.push_str(": ");
        message.push_str(&error.to_string());
        source = error.source();
    }
    message
}

impl FileError {
    /// Whether the same file may be processed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Source(error) | Self::Removal(error) => error.retriable,
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<AnimationError> for FileError {
    fn from(error: AnimationError) -> Self {
        match error {
            AnimationError::Decode(error) => Self::Decode(error),
            AnimationError::Size(error) => Self::Size(error),
            AnimationError::Encode(error) => Self::Encode(error),
        }
    }
}
