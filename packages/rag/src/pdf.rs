//! Opening PDF files.
//!
//! One interpreter (`hayro`) reads the text, the colours and the pictures, so that they agree.
//! It runs on a thread of its own, with a large stack, a deadline, and its panics caught: a hostile file costs
//! an error. What it unpacks is weighed before, since it unpacks a stream whole. Nothing in a file is ever run: it knows
//! neither scripts nor actions, and opens no other file or address.

mod drawing;
mod font_names;
mod layout;
mod raster;
mod weight;

use bytes::Bytes;
use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf, PdfData};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use studio233_ai::document::{Document, Page, PageImage};
use tokio::sync::{Semaphore, oneshot};
use weight::Scales;

/// What a PDF may cost.
#[derive(Debug, Clone)]
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
            time_max: Duration::from_secs(60),
            images_max: 5,
        }
    }
}

/// Why a PDF could not be read. None of these goes away by trying again, except [`PdfError::Busy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("too many documents are being read; try {filename} again in a minute")]
    Busy { filename: String },
}

impl PdfError {
    /// Whether reading the same file later may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// Readers at work at once. One that hangs keeps its place, so that hanging files cannot pile up.
static READERS: Semaphore = Semaphore::const_new(4);

/// How long a document waits for a reader.
const READER_WAIT_MAX: Duration = Duration::from_secs(120);

/// The interpreter recurses into forms, patterns and objects that are nested by the file.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// The header may follow some junk (ISO 32000-1, annex H.3, implementation note 13).
const HEADER_WITHIN_BYTES: usize = 1024;

/// Reads a whole PDF. Pages keep their numbers even when some, or all, have no text: pages that were scanned are
/// pictures, which is no error.
pub async fn read(filename: &str, file: Bytes, limits: &PdfLimits) -> Result<Document, PdfError> {
    check_outside(filename, &file, limits)?;
    let busy = || PdfError::Busy {
        filename: filename.to_owned(),
    };
    let permit = match tokio::time::timeout(READER_WAIT_MAX, READERS.acquire()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => return Err(busy()),
    };
    let (answer, answered) = oneshot::channel();
    let thread = {
        let (filename, limits) = (filename.to_owned(), limits.clone());
        std::thread::Builder::new()
            .name("pdf-reader".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let outcome = Reader::new(&filename, &limits).read(file);
                drop(permit);
                // Whoever asked may have given up; then nobody needs the answer.
                let _ = answer.send(outcome);
            })
    };
    if thread.is_err() {
        return Err(busy());
    }
    // The reader watches its deadline where it can; this is for where it cannot.
    let patience = limits.time_max + Duration::from_secs(5);
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(PdfError::ReaderFailed {
            filename: filename.to_owned(),
            place: "an unknown page".to_owned(),
        }),
        Err(_) => Err(PdfError::TooSlow {
            filename: filename.to_owned(),
            seconds: limits.time_max.as_secs(),
        }),
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

/// What stops the interpreter from within: thrown through it, caught by the reader.
#[derive(Debug, Clone, Copy)]
enum Stop {
    TooComplex,
    TooSlow,
    TooHeavy,
    Opaque,
    LargeImage { width: u32, height: u32 },
}

/// One reading of one file, on the reader's thread.
struct Reader<'r> {
    filename: &'r str,
    limits: &'r PdfLimits,
    deadline: Instant,
}

impl<'r> Reader<'r> {
    fn new(filename: &'r str, limits: &'r PdfLimits) -> Self {
        Self {
            filename,
            limits,
            deadline: Instant::now() + limits.time_max,
        }
    }

    fn read(&self, file: Bytes) -> Result<Document, PdfError> {
        let scales = Scales {
            bytes_max: self.limits.unpacked_bytes_max,
            pixels_max: self.limits.pixels_max,
            deadline: self.deadline,
        };
        let weighed = self.guarded("opening it", || scales.weigh_file(&file))?;
        weighed.map_err(|stop| self.stopped(stop))?;
        let data = PdfData::from(Arc::new(file.clone()));
        let opened = self.guarded("opening it", || {
            let pdf = Pdf::new(data)?;
            // Page objects are resolved lazily; the count forces what a damaged file lacks.
            let pages = pdf.pages().len();
            Ok((pdf, pages))
        })?;
        let (pdf, page_count) = match opened {
            Ok(opened) => opened,
            Err(LoadPdfError::Decryption(
                DecryptionError::MissingIDEntry
                | DecryptionError::PasswordProtected
                | DecryptionError::InvalidEncryption
                | DecryptionError::UnsupportedAlgorithm,
            )) => {
                return Err(PdfError::Encrypted {
                    filename: self.filename.to_owned(),
                });
            }
            Err(LoadPdfError::Invalid) => return Err(self.damaged()),
        };
        if page_count == 0 {
            return Err(self.damaged());
        }
        if page_count > self.limits.pages_max as usize {
            return Err(PdfError::TooManyPages {
                filename: self.filename.to_owned(),
                pages: page_count,
                limit: self.limits.pages_max,
            });
        }
        let weighed = self.guarded("opening it", || {
            scales.weigh_objects(&pdf)?;
            scales.weigh_pages(&pdf)
        })?;
        weighed.map_err(|stop| self.stopped(stop))?;
        let pages = self.pages(&pdf)?;
        let images = self.images(&pdf)?;
        let title = pdf.metadata().title.as_deref().map(text_string);
        let title = title.filter(|title| !title.trim().is_empty());
        Ok(Document {
            filename: self.filename.to_owned(),
            file,
            title,
            pages,
            images,
        })
    }

    fn pages(&self, pdf: &Pdf) -> Result<Vec<Page>, PdfError> {
        let settings = InterpreterSettings::default();
        let mut items_left = self.limits.items_max;
        let mut pages = Vec::new();
        for (number, page) in (1_u32..).zip(pdf.pages().iter()) {
            let place = format!("page {number}");
            let drawn = self.guarded(&place, || {
                drawing::draw(page, &settings, items_left, self.deadline)
            })?;
            items_left -= drawn.items.min(items_left);
            pages.push(self.guarded(&place, || layout::lay_out(number, drawn))?);
        }
        Ok(pages)
    }

    /// Pictures help; a page that cannot be drawn is left out.
    fn images(&self, pdf: &Pdf) -> Result<Vec<PageImage>, PdfError> {
        let mut images = Vec::new();
        let first_pages = pdf.pages().iter().take(self.limits.images_max as usize);
        for (number, page) in (1_u32..).zip(first_pages) {
            if Instant::now() > self.deadline {
                return Err(self.stopped(Stop::TooSlow));
            }
            match self.guarded(&format!("page {number}"), || raster::render(page, number)) {
                Ok(Some(image)) => images.push(image),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(filename = self.filename, page = number, %error, "page not drawn");
                }
            }
        }
        Ok(images)
    }

    /// Runs a part of the interpreter so that its panics are errors.
    fn guarded<T>(&self, place: &str, part: impl FnOnce() -> T) -> Result<T, PdfError> {
        // Nothing that the part touched is used after it unwound, except the file's bytes and the
        // parsed file, whose caches fill by insertion of whole values.
        catch_unwind(AssertUnwindSafe(part)).map_err(|panic| match panic.downcast_ref::<Stop>() {
            Some(stop) => self.stopped(*stop),
            None => PdfError::ReaderFailed {
                filename: self.filename.to_owned(),
                place: place.to_owned(),
            },
        })
    }

    fn stopped(&self, stop: Stop) -> PdfError {
        let filename = self.filename.to_owned();
        match stop {
            Stop::TooComplex => PdfError::TooComplex {
                filename,
                limit: self.limits.items_max,
            },
            Stop::TooSlow => PdfError::TooSlow {
                filename,
                seconds: self.limits.time_max.as_secs(),
            },
            Stop::TooHeavy => PdfError::TooHeavy {
                filename,
                limit_bytes: self.limits.unpacked_bytes_max,
            },
            Stop::Opaque => PdfError::Opaque { filename },
            Stop::LargeImage { width, height } => PdfError::LargeImage {
                filename,
                width,
                height,
                limit: self.limits.pixels_max,
            },
        }
    }

    fn damaged(&self) -> PdfError {
        PdfError::Damaged {
            filename: self.filename.to_owned(),
        }
    }
}

/// A PDF text string: UTF-16 or UTF-8 with a mark, else (nearly) Latin-1 (ISO 32000-2, 7.9.2.2).
fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xFE, 0xFF, utf16 @ ..] => {
            let units = utf16
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        [0xEF, 0xBB, 0xBF, utf8 @ ..] => String::from_utf8_lossy(utf8).into_owned(),
        latin1 => latin1.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_interpreter_is_an_error_that_names_the_page() {
        let limits = PdfLimits::default();
        let reader = Reader::new("a.pdf", &limits);
        let error = reader
            .guarded("page 3", || panic!("index out of bounds"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.pdf broke the PDF reader on page 3; export it again with another program"
        );
        let error = reader
            .guarded("page 3", || {
                std::panic::resume_unwind(Box::new(Stop::TooSlow))
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.pdf could not be read in 60 s; simplify it or split it"
        );
    }

    #[test]
    fn titles_are_read_in_every_encoding() {
        assert_eq!(text_string(b"\xFE\xFF\x00B\x20\x14"), "B—");
        assert_eq!(text_string("\u{FEFF}Bränd".as_bytes()), "Bränd");
        assert_eq!(text_string(b"Br\xE4nd"), "Bränd");
    }
}
