//! Why a PDF could not be read.

use serde::{Deserialize, Serialize};

/// Why a PDF could not be read. None of these goes away by trying again, except [`PdfError::Busy`] and
/// [`PdfError::ReaderLost`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum PdfError {
    #[error("{filename} is empty; upload the file again")]
    Empty { filename: String },
    #[error(
        "{filename} has {size_bytes} bytes; at most {limit_bytes} are read: export it with smaller images"
    )]
    TooLarge {
        filename: String,
        size_bytes: u64,
        limit_bytes: u64,
    },
    #[error("{filename} is not a PDF: it does not start with %PDF-; export the document as PDF")]
    NotPdf { filename: String },
    #[error("{filename} is encrypted; save it without a password")]
    Encrypted { filename: String },
    #[error("{filename} is damaged: its pages cannot be found; export it again")]
    Damaged { filename: String },
    #[error("{filename} has {pages} pages; at most {limit} are read: split it")]
    TooManyPages {
        filename: String,
        pages: usize,
        limit: u32,
    },
    #[error("{filename} draws more than {limit} letters and shapes; simplify it")]
    TooComplex { filename: String, limit: usize },
    #[error(
        "{filename} unpacks to more than {} MB in one place; export it again with another program",
        limit_bytes / (1024 * 1024)
    )]
    TooHeavy { filename: String, limit_bytes: u64 },
    #[error(
        "{filename} is packed in a way that cannot be checked; export it again with another program"
    )]
    Opaque { filename: String },
    #[error(
        "{filename} has a picture of {width} × {height} pixels; at most {limit} pixels are read: export it with smaller images"
    )]
    LargeImage {
        filename: String,
        width: u32,
        height: u32,
        limit: u64,
    },
    #[error("{filename} could not be read in {seconds} s; simplify it or split it")]
    TooSlow { filename: String, seconds: u64 },
    #[error("{filename} broke the PDF reader on {place}; export it again with another program")]
    ReaderFailed { filename: String, place: String },
    #[error(
        "{filename} needs more than {} MB of memory to be read; export it with smaller images or split it",
        limit_bytes / (1024 * 1024)
    )]
    TooMuchMemory { filename: String, limit_bytes: u64 },
    #[error("the process that read {filename} ended ({how}); try again")]
    ReaderLost { filename: String, how: String },
    #[error("too many documents are being read; try {filename} again in a minute")]
    Busy { filename: String },
}

impl PdfError {
    /// The same of a file of that name: whoever read it did not know.
    pub(super) fn naming(mut self, filename: String) -> Self {
        let (Self::Empty { filename: name, .. }
        | Self::TooLarge { filename: name, .. }
        | Self::NotPdf { filename: name, .. }
        | Self::Encrypted { filename: name, .. }
        | Self::Damaged { filename: name, .. }
        | Self::TooManyPages { filename: name, .. }
        | Self::TooComplex { filename: name, .. }
        | Self::TooHeavy { filename: name, .. }
        | Self::Opaque { filename: name, .. }
        | Self::LargeImage { filename: name, .. }
        | Self::TooSlow { filename: name, .. }
        | Self::ReaderFailed { filename: name, .. }
        | Self::TooMuchMemory { filename: name, .. }
        | Self::ReaderLost { filename: name, .. }
        | Self::Busy { filename: name, .. }) = &mut self;
        *name = filename;
        self
    }

    /// Whether reading the same file later may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::ReaderLost { .. })
    }
}
