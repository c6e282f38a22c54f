//! One reading of one file, with the interpreter.
//!
//! It happens on a thread of its own, with a large stack, a deadline, and its panics caught: a hostile file costs an error.

use super::weight::Scales;
use super::{PdfError, PdfLimits, drawing, layout, raster};
use bytes::Bytes;
use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf, PdfData};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use studio233_ai::document::{Document, Page, PageImage};

/// The interpreter recurses into forms, patterns and objects that are nested by the file.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// What came of a file.
pub(super) struct Reading {
    pub(super) document: Document,
    pub(super) undrawn: Vec<Undrawn>,
}

/// A page that could not be drawn as a picture, and why.
#[derive(Serialize, Deserialize)]
pub(super) struct Undrawn {
    pub(super) page: u32,
    pub(super) error: String,
}

/// Starts a thread that reads, and tells what came of it.
///
/// # Errors
/// When no thread can be had.
pub(super) fn spawn(
    filename: &str,
    file: Bytes,
    limits: &PdfLimits,
    tell: impl FnOnce(Result<Reading, PdfError>) + Send + 'static,
) -> std::io::Result<()> {
    let (filename, limits) = (filename.to_owned(), limits.clone());
    std::thread::Builder::new()
        .name("pdf-reader".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || tell(Reader::new(&filename, &limits).read(file)))
        .map(drop)
}

/// What stops the interpreter from within: thrown through it, caught by the reader.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    TooComplex,
    TooSlow,
    TooHeavy,
    Opaque,
    LargeImage { width: u32, height: u32 },
}

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

    fn read(&self, file: Bytes) -> Result<Reading, PdfError> {
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
        let (images, undrawn) = self.images(&pdf)?;
        let title = pdf.metadata().title.as_deref().map(text_string);
        let title = title.filter(|title| !title.trim().is_empty());
        let document = Document {
            filename: self.filename.to_owned(),
            file,
            title,
            pages,
            images,
        };
        Ok(Reading { document, undrawn })
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
    fn images(&self, pdf: &Pdf) -> Result<(Vec<PageImage>, Vec<Undrawn>), PdfError> {
        let (mut images, mut undrawn) = (Vec::new(), Vec::new());
        let first_pages = pdf.pages().iter().take(self.limits.images_max as usize);
        for (number, page) in (1_u32..).zip(first_pages) {
            if Instant::now() > self.deadline {
                return Err(self.stopped(Stop::TooSlow));
            }
            match self.guarded(&format!("page {number}"), || raster::render(page, number)) {
                Ok(Some(image)) => images.push(image),
                Ok(None) => {}
                Err(error) => undrawn.push(Undrawn {
                    page: number,
                    error: error.to_string(),
                }),
            }
        }
        Ok((images, undrawn))
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
