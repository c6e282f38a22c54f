//! What a capability's error means for retries.

use std::time::Duration;
use stepwell::{BoxError, Error};
use studio233_ai::vision::{AnalysisError, VisionError};
use studio233_ai::{EmbedError, ExtractionError, LanguageError, SourceError};
use studio233_blob::BlobError;
use studio233_db::{DbError, WrongDimensions};
use studio233_plugins::PluginError;
use studio233_rag::pdf::PdfError;
use studio233_rag::{FetchError, IndexError};

/// An error that knows whether doing the same again later may succeed.
pub(crate) trait Passing: Into<BoxError> {
    fn is_transient(&self) -> bool;

    /// When, if whoever refused says so.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

macro_rules! passing {
    ($($error:ty),* $(,)?) => {$(
        impl Passing for $error {
            fn is_transient(&self) -> bool {
                <$error>::is_transient(self)
            }
        }
    )*};
    (with their time: $($error:ty),* $(,)?) => {$(
        impl Passing for $error {
            fn is_transient(&self) -> bool {
                <$error>::is_transient(self)
            }

            fn retry_after(&self) -> Option<Duration> {
                <$error>::retry_after(self)
            }
        }
    )*};
}

passing!(BlobError, FetchError, PdfError, DbError, Late);
passing!(with their time: AnalysisError, EmbedError, ExtractionError, IndexError, LanguageError, VisionError);

/// The same model gives vectors of the same length again.
impl Passing for WrongDimensions {
    fn is_transient(&self) -> bool {
        false
    }
}

impl Passing for PluginError {
    fn is_transient(&self) -> bool {
        self.is_retriable()
    }

    fn retry_after(&self) -> Option<Duration> {
        Self::retry_after(self)
    }
}

impl Passing for SourceError {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

/// Something took too long.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} within {} s", limit.as_secs())]
pub(crate) struct Late {
    pub(crate) doing: &'static str,
    pub(crate) limit: Duration,
}

impl Late {
    fn is_transient(&self) -> bool {
        true
    }
}

/// The error as a step returns it: retried only if that may help, and not before it may.
pub(crate) fn classify(error: impl Passing) -> Error {
    let (transient, wait) = (error.is_transient(), error.retry_after());
    retried(Error::from(error), transient, wait)
}

/// The same, told under another name and in other words.
pub(crate) fn classify_as(error: &impl Passing, name: &'static str, message: String) -> Error {
    let told = Error::new(name, message);
    retried(told, error.is_transient(), error.retry_after())
}

fn retried(error: Error, transient: bool, wait: Option<Duration>) -> Error {
    match wait {
        _ if !transient => error.non_retriable(),
        Some(wait) => error.retry_after(wait),
        None => error,
    }
}
