//! What a capability's error means for retries.

use std::time::Duration;
use stepwell::{BoxError, Error};
use studio233_ai::{ExtractionError, SourceError};
use studio233_blob::BlobError;
use studio233_db::DbError;
use studio233_rag::pdf::PdfError;
use studio233_rag::{FetchError, IndexError};

/// An error that knows whether doing the same again later may succeed.
pub(crate) trait Passing: Into<BoxError> {
    fn is_transient(&self) -> bool;
}

macro_rules! passing {
    ($($error:ty),*) => {$(
        impl Passing for $error {
            fn is_transient(&self) -> bool {
                <$error>::is_transient(self)
            }
        }
    )*};
}

passing!(
    BlobError,
    FetchError,
    PdfError,
    IndexError,
    ExtractionError,
    DbError,
    Late
);

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

/// The error as a step returns it: retried only if that may help.
pub(crate) fn classify(error: impl Passing) -> Error {
    let transient = error.is_transient();
    let error = Error::from(error);
    if transient {
        error
    } else {
        error.non_retriable()
    }
}
