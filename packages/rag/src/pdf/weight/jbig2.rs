//! The sizes that JBIG2 data tell, without decoding any: of the page, and of the regions that are drawn on it (ISO 14492).
//!
//! Segments are found as the interpreter finds them, or it could be told what is not seen here.

use super::Side;

/// Types of segments (7.3).
const PAGE_INFORMATION: u8 = 48;
const END_OF_STRIPE: u8 = 50;
const END_OF_FILE: u8 = 51;

/// A height or a length that is not known yet.
const UNKNOWN: u32 = u32::MAX;

/// Every width and height that is told.
pub(super) fn sizes(data: &[u8]) -> Vec<(Side, Side)> {
    let mut sizes = Vec::new();
    let (mut endless, mut rows) = (0, 0);
    let mut rest = Bytes(data);
    while let Some((kind, data)) = rest.segment() {
        let mut data = Bytes(data);
        match kind {
            PAGE_INFORMATION => {
                if let (Some(width), Some(height)) = (data.u32(), data.u32()) {
                    match height {
                        UNKNOWN => endless = width.max(endless),
                        _ => sizes.push((width, height)),
                    }
                }
            }
            // The page ends where its last stripe does (7.4.8.2).
            END_OF_STRIPE => rows = rows.max(data.u32().unwrap_or_default().saturating_add(1)),
            END_OF_FILE => break,
            // Regions of text, halftone, and the generic ones begin with their size (7.4.1).
            4..=7 | 20..=23 | 36..=43 => {
                if let (Some(width), Some(height)) = (data.u32(), data.u32()) {
                    sizes.push((width, height));
                }
            }
            _ => {}
        }
    }
    sizes.push((endless, rows));
    sizes
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_be_bytes(*bytes.first_chunk()?))
    }

    /// The type of the next segment, and its data (7.2).
    fn segment(&mut self) -> Option<(u8, &'a [u8])> {
        let number = self.u32()?;
        let flags = self.u8()?;
        let start = self.0;
        // Segments that it refers to, and which of them are kept.
        let referred = match self.u8()? >> 5 {
            count @ 0..=4 => usize::from(count),
            7 => {
                self.0 = start;
                let count = (self.u32()? & 0x1FFF_FFFF) as usize;
                self.take((count + 1).div_ceil(8))?;
                count
            }
            _ => return None,
        };
        let number_bytes = match number {
            0..=256 => 1,
            257..=65_536 => 2,
            _ => 4,
        };
        self.take(referred.checked_mul(number_bytes)?)?;
        let page_bytes = if flags & 0x40 == 0 { 1 } else { 4 };
        self.take(page_bytes)?;
        let length = match self.u32()? {
            UNKNOWN => self.length_of_generic_region()?,
            known => known as usize,
        };
        Some((flags & 0x3F, self.take(length)?))
    }

    /// Of a region whose length is not told: up to a mark and a number of rows (7.2.7).
    fn length_of_generic_region(&self) -> Option<usize> {
        const HEAD: usize = 18;
        let flags = *self.0.get(HEAD - 1)?;
        let (is_fax, template, is_extended) = (flags & 1 != 0, flags >> 1 & 3, flags & 0x10 != 0);
        let (pixels, mark) = match (is_fax, template, is_extended) {
            (true, ..) => (0, [0, 0]),
            (false, 0, false) => (8, [0xFF, 0xAC]),
            (false, 0, true) => (24, [0xFF, 0xAC]),
            (false, ..) => (2, [0xFF, 0xAC]),
        };
        let start = HEAD + pixels;
        let mut ends = self.0.get(start..)?.windows(6);
        ends.position(|end| end.starts_with(&mark))
            .map(|at| start + at + 6)
    }
}
