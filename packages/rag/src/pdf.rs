//! Opening PDF files.
//!
//! One interpreter (`hayro`) reads the text, the colours and the pictures, so that they agree. What it unpacks is weighed
//! before, since it unpacks a stream whole. Nothing in a file is ever run: it knows neither scripts nor actions, and opens no
//! other file or address.
//!
//! A [`PdfReader`] reads on a thread of this process, or, where `main` allows it, in a process for each file: what a hostile
//! file does there, to memory or by never ending, ends with that process.

mod child;
mod drawing;
mod error;
mod font_names;
mod layout;
mod raster;
mod reading;
mod weight;

pub use child::ReaderProgram;
pub use error::PdfError;

use bytes::Bytes;
use reading::{Reading, Undrawn};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use studio233_ai::document::Document;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// What a PDF may cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PdfLimits {
    /// Larger files are refused before anything is parsed.
    pub bytes_max: u64,
    pub pages_max: u32,
    /// Letters and drawn shapes of the whole document.
    pub items_max: usize,
    /// What one stream of the file may unpack to, and what the contents of all pages may together.
    pub unpacked_bytes_max: u64,
    /// Of one picture in the file.
    pub pixels_max: u64,
    /// What a process that reads may take beyond its program, where processes can be held to it: on Linux. It is the last
    /// resort for what the other limits do not foresee. What its allocator reserves, some 100 MB, is not counted.
    pub memory_bytes_max: u64,
    /// Reading everything, pictures included.
    pub time_max: Duration,
    /// How many pages, from the first, become pictures. 0 makes none.
    pub images_max: u32,
}

impl Default for PdfLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 * 1024 * 1024,
            pages_max: 500,
            items_max: 5_000_000,
            unpacked_bytes_max: 256 * 1024 * 1024,
            // A page of A3 size that was scanned at 600 dpi has 70 million.
            pixels_max: 100_000_000,
            memory_bytes_max: 2 * 1024 * 1024 * 1024,
            time_max: Duration::from_secs(60),
            images_max: 5,
        }
    }
}

/// Reads PDFs within limits.
#[derive(Debug, Clone, Default)]
pub struct PdfReader {
    limits: PdfLimits,
    program: Option<ReaderProgram>,
}

impl PdfReader {
    /// Reads on threads of this process.
    #[must_use]
    pub fn new(limits: PdfLimits) -> Self {
        Self {
            limits,
            program: None,
        }
    }

    /// Reads each file in a process of that program.
    #[must_use]
    pub fn in_processes_of(mut self, program: ReaderProgram) -> Self {
        self.program = Some(program);
        self
    }

    /// Makes pictures of as many pages, from the first.
    #[must_use]
    pub fn with_images(mut self, images_max: u32) -> Self {
        self.limits.images_max = images_max;
        self
    }

    /// What a PDF may cost.
    #[must_use]
    pub fn limits(&self) -> &PdfLimits {
        &self.limits
    }

    /// Reads a whole PDF. Pages keep their numbers even when some, or all, have no text: pages that were scanned are
    /// pictures, which is no error.
    ///
    /// Few are read at once, in this process; others wait. A reading whose caller gives up is ended, or, on a thread, ends by
    /// its deadline.
    ///
    /// # Errors
    /// A [`PdfError`], which names the file.
    pub async fn read(&self, filename: &str, file: Bytes) -> Result<Document, PdfError> {
        check_outside(filename, &file, &self.limits)?;
        let Reading { document, undrawn } = match &self.program {
            Some(program) => {
                let _place = place(filename).await?;
                program.read(filename, file, &self.limits).await?
            }
            None => read_on_thread(filename, file, &self.limits).await?,
        };
        for Undrawn { page, error } in undrawn {
            tracing::warn!(filename, page, error, "page not drawn");
        }
        Ok(document)
    }
}

/// Readers at work at once. On a thread, one that hangs keeps its place, so that hanging files cannot pile up.
static READERS: Semaphore = Semaphore::const_new(4);

/// How long a document waits for a reader.
const READER_WAIT_MAX: Duration = Duration::from_secs(120);

/// The header may follow some junk (ISO 32000-1, annex H.3, implementation note 13).
const HEADER_WITHIN_BYTES: usize = 1024;

async fn place(filename: &str) -> Result<SemaphorePermit<'static>, PdfError> {
    match tokio::time::timeout(READER_WAIT_MAX, READERS.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(busy(filename)),
    }
}

async fn read_on_thread(
    filename: &str,
    file: Bytes,
    limits: &PdfLimits,
) -> Result<Reading, PdfError> {
    let place = place(filename).await?;
    let (answer, answered) = oneshot::channel();
    let spawned = reading::spawn(filename, file, limits, move |outcome| {
        drop(place);
        // Whoever asked may have given up; then nobody needs the answer.
        let _ = answer.send(outcome);
    });
    if spawned.is_err() {
        return Err(busy(filename));
    }
    match tokio::time::timeout(patience(limits), answered).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(PdfError::ReaderFailed {
            filename: filename.to_owned(),
            place: "an unknown page".to_owned(),
        }),
        Err(_) => Err(too_slow(filename, limits)),
    }
}

/// A reader watches its deadline where it can; this is for where it cannot.
fn patience(limits: &PdfLimits) -> Duration {
    limits.time_max + limits.time_max.min(Duration::from_secs(5))
}

fn busy(filename: &str) -> PdfError {
    PdfError::Busy {
        filename: filename.to_owned(),
    }
}

fn too_slow(filename: &str, limits: &PdfLimits) -> PdfError {
    PdfError::TooSlow {
        filename: filename.to_owned(),
        seconds: limits.time_max.as_secs(),
    }
}

/// Whether the first bytes of a file are those of a PDF.
pub fn looks_like_pdf(start: &[u8]) -> bool {
    let start = &start[..start.len().min(HEADER_WITHIN_BYTES)];
    start.windows(5).any(|window| window == b"%PDF-")
}

fn check_outside(filename: &str, file: &Bytes, limits: &PdfLimits) -> Result<(), PdfError> {
    let filename = || filename.to_owned();
    if file.is_empty() {
        return Err(PdfError::Empty {
            filename: filename(),
        });
    }
    let size_bytes = file.len() as u64;
    if size_bytes > limits.bytes_max {
        let limit_bytes = limits.bytes_max;
        return Err(PdfError::TooLarge {
            filename: filename(),
            size_bytes,
            limit_bytes,
        });
    }
    if !looks_like_pdf(file) {
        return Err(PdfError::NotPdf {
            filename: filename(),
        });
    }
    Ok(())
}
