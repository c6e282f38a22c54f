//! What a capability's error means for retries.

use stepwell::{BoxError, Error};
use studio233_ai::ExtractionError;
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

passing!(FetchError, PdfError, IndexError, ExtractionError, DbError);

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
