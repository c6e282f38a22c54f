use std::fmt;
use std::str::FromStr;

use fast_image_resize::PixelType;
use image::DynamicImage;

/// Decoded pixels: 8-bit sRGB, rows from the top, with or without (straight) alpha.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    alpha: bool,
    samples: Vec<u8>,
}

impl Image {
    /// Takes `width × height` pixels of three samples. None when their number is another, or zero.
    pub fn from_rgb(width: u32, height: u32, samples: Vec<u8>) -> Option<Self> {
        Self::from_samples(width, height, false, samples)
    }

    /// Takes `width × height` pixels of four samples, alpha last and not multiplied in. None when their number is
    /// another, or zero.
    pub fn from_rgba(width: u32, height: u32, samples: Vec<u8>) -> Option<Self> {
        Self::from_samples(width, height, true, samples)
    }

    pub(crate) fn from_samples(
        width: u32,
        height: u32,
        alpha: bool,
        samples: Vec<u8>,
    ) -> Option<Self> {
        let pixels = (width as usize).checked_mul(height as usize)?;
        let expected = pixels.checked_mul(if alpha { 4 } else { 3 })?;
        (pixels > 0 && samples.len() == expected).then_some(Self {
            width,
            height,
            alpha,
            samples,
        })
    }

    /// Everything the decoders give; a copy is made only where samples change.
    pub(crate) fn from_dynamic(image: DynamicImage) -> Option<Self> {
        let (width, height) = (image.width(), image.height());
        if image.color().has_alpha() {
            Self::from_rgba(width, height, image.into_rgba8().into_raw())
        } else {
            Self::from_rgb(width, height, image.into_rgb8().into_raw())
        }
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Whether pixels have an alpha sample; all of them may still be opaque.
    pub fn has_alpha(&self) -> bool {
        self.alpha
    }

    /// The samples, row by row: four to a pixel with alpha, else three.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The pixel at a place, as red, green, blue, alpha. None outside.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 4]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = y as usize * self.width as usize + x as usize;
        Some(self.nth(at))
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> impl ExactSizeIterator<Item = [u8; 4]> + '_ {
        (0..self.width as usize * self.height as usize).map(|at| self.nth(at))
    }

    /// Its samples, four to each pixel.
    pub fn into_rgba(self) -> Vec<u8> {
        if self.alpha {
            self.samples
        } else {
            self.pixels().flatten().collect()
        }
    }

    /// The same picture without alpha, laid on a colour.
    #[must_use]
    pub fn flattened(&self, background: Color) -> Self {
        if !self.alpha {
            return self.clone();
        }
        let mut samples = Vec::with_capacity(self.samples.len() / 4 * 3);
        for pixel in self.samples.chunks_exact(4) {
            let alpha = u16::from(pixel[3]);
            for (sample, behind) in pixel.iter().zip(background.0) {
                let mixed = u16::from(*sample) * alpha + u16::from(behind) * (255 - alpha);
                // At most 255 × 255 + 127, divided by 255: fits.
                samples.push(((mixed + 127) / 255) as u8);
            }
        }
        Self {
            alpha: false,
            samples,
            ..*self
        }
    }

    /// The same picture with an alpha sample to each pixel.
    pub(crate) fn with_alpha(&self) -> Self {
        if self.alpha {
            return self.clone();
        }
        let samples = self.pixels().flatten().collect();
        Self {
            alpha: true,
            samples,
            ..*self
        }
    }

    pub(crate) fn pixel_type(&self) -> PixelType {
        if self.alpha {
            PixelType::U8x4
        } else {
            PixelType::U8x3
        }
    }

    fn nth(&self, at: usize) -> [u8; 4] {
        if self.alpha {
            let from = at * 4;
            let [r, g, b, a] = [0, 1, 2, 3].map(|sample| self.samples[from + sample]);
            [r, g, b, a]
        } else {
            let from = at * 3;
            let [r, g, b] = [0, 1, 2].map(|sample| self.samples[from + sample]);
            [r, g, b, 255]
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("alpha", &self.alpha)
            .finish_non_exhaustive()
    }
}

/// An opaque colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color(pub [u8; 3]);

impl Color {
    pub const WHITE: Self = Self([255; 3]);
}

/// The text is not a colour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no colour; write it like `#ffffff`")]
pub struct InvalidColor {
    text: String,
}

impl FromStr for Color {
    type Err = InvalidColor;

    /// Reads `#rrggbb`, in either case.
    fn from_str(text: &str) -> Result<Self, InvalidColor> {
        let invalid = || InvalidColor {
            text: text.chars().take(40).collect(),
        };
        let digits = text.strip_prefix('#').ok_or_else(invalid)?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| invalid())?;
        let [_, r, g, b] = value.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}
