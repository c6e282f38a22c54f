use fast_image_resize::images::{Image as Canvas, ImageRef};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Image, attention};

/// Longest side that is made. WebP ends at 16,383; more is no picture for a page.
pub const SIDE_MAX: u32 = 16_383;

/// Most pixels that are made, so that an extreme ratio cannot ask for gigabytes.
const PIXELS_MAX: u64 = 100_000_000;

/// How an image meets the size that is asked for. With one side given, the other follows from the ratio, and all but
/// [`Fit::ScaleDown`] are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Whole and undistorted, as large as the box allows; at most as large as the box.
    Contain,
    /// Exactly the box, undistorted, cut evenly where it stands out.
    Cover,
    /// Exactly the box, distorted where the ratios differ.
    Stretch,
    /// As [`Fit::Contain`], but never larger than it was.
    ScaleDown,
}

/// How an image fills a frame of a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Cut evenly where it stands out.
    Cover,
    /// Whole, with transparent bars.
    Contain,
    /// Cut so that the most striking part stays; see [`attention`].
    Attention,
}

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Why a size is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    #[error("a side of 0 pixels was asked for")]
    Zero,
    #[error("{width} × {height} pixels were asked for; a side has at most {SIDE_MAX}")]
    SideTooLong { width: u32, height: u32 },
    #[error("{width} × {height} pixels were asked for; an image has at most {PIXELS_MAX}")]
    TooManyPixels { width: u32, height: u32 },
}

/// Resizes with Lanczos3. Without width and height the image stays as it is.
pub fn resize(
    image: &Image,
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
) -> Result<Image, SizeError> {
    let (to_width, to_height) = resized_size(image.width(), image.height(), width, height, fit)?;
    let region = match fit {
        Fit::Cover => centred(image, to_width, to_height),
        _ => whole(image),
    };
    Ok(scaled(image, region, to_width, to_height))
}

/// Fills a frame of exactly `width × height`.
pub fn reframe(image: &Image, width: u32, height: u32, frame: Frame) -> Result<Image, SizeError> {
    check(width, height)?;
    match frame {
        Frame::Cover => Ok(scaled(image, centred(image, width, height), width, height)),
        Frame::Attention => Ok(scaled(
            image,
            attention(image, width, height),
            width,
            height,
        )),
        Frame::Contain => {
            let inner = resize(image, Some(width), Some(height), Fit::Contain)?;
            Ok(padded(&inner, width, height))
        }
    }
}

/// Enlarges with Lanczos3, `scale` times but to a longest side of at most `side_max`. Never makes an image smaller: one that
/// is as large already stays as it is.
pub fn upscale(image: &Image, scale: f64, side_max: u32) -> Result<Image, SizeError> {
    let longest = f64::from(image.width().max(image.height()));
    let scale = scale.min(f64::from(side_max) / longest).max(1.0);
    // Sides fit `u32` many times over; what does not saturates, and is refused.
    let larger = |side: u32| (f64::from(side) * scale).round() as u32;
    let (width, height) = (larger(image.width()), larger(image.height()));
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    check(width, height)?;
    Ok(scaled(image, whole(image), width, height))
}

/// The size that [`resize`] makes of an image, before it does.
pub fn resized_size(
    from_width: u32,
    from_height: u32,
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
) -> Result<(u32, u32), SizeError> {
    let (mut to_width, mut to_height) = match (width, height) {
        (None, None) => return Ok((from_width, from_height)),
        (Some(width), None) => (width, by_ratio(width, from_width, from_height)),
        (None, Some(height)) => (by_ratio(height, from_height, from_width), height),
        (Some(width), Some(height)) => (width, height),
    };
    if to_width == 0 || to_height == 0 {
        return Err(SizeError::Zero);
    }
    if matches!(fit, Fit::Contain | Fit::ScaleDown) {
        (to_width, to_height) = inside(from_width, from_height, to_width, to_height);
        if fit == Fit::ScaleDown && (to_width > from_width || to_height > from_height) {
            return Ok((from_width, from_height));
        }
    }
    check(to_width, to_height)?;
    Ok((to_width, to_height))
}

/// The largest size of the same ratio that stays inside a box.
fn inside(from_width: u32, from_height: u32, width: u32, height: u32) -> (u32, u32) {
    let as_wide = u64::from(width) * u64::from(from_height);
    let as_high = u64::from(height) * u64::from(from_width);
    if as_wide <= as_high {
        (width, by_ratio(width, from_width, from_height).min(height))
    } else {
        (by_ratio(height, from_height, from_width).min(width), height)
    }
}

/// What `of` becomes when `from` becomes `to`: rounded, at least one pixel of a side that is there.
fn by_ratio(to: u32, from: u32, of: u32) -> u32 {
    if to == 0 {
        return 0;
    }
    let (to, from, of) = (u64::from(to), u64::from(from), u64::from(of));
    let rounded = (to * of * 2 + from) / (from * 2);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

fn check(width: u32, height: u32) -> Result<(), SizeError> {
    if width == 0 || height == 0 {
        return Err(SizeError::Zero);
    }
    if width.max(height) > SIDE_MAX {
        return Err(SizeError::SideTooLong { width, height });
    }
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(SizeError::TooManyPixels { width, height });
    }
    Ok(())
}

fn whole(image: &Image) -> Region {
    Region {
        left: 0.0,
        top: 0.0,
        width: f64::from(image.width()),
        height: f64::from(image.height()),
    }
}

/// The largest region with the ratio of `width × height`, in the middle.
fn centred(image: &Image, width: u32, height: u32) -> Region {
    let region = largest(image, width, height);
    Region {
        left: (f64::from(image.width()) - region.width) / 2.0,
        top: (f64::from(image.height()) - region.height) / 2.0,
        ..region
    }
}

/// The largest region with the ratio of `width × height`, in the upper left corner.
pub(crate) fn largest(image: &Image, width: u32, height: u32) -> Region {
    let (from_width, from_height) = (f64::from(image.width()), f64::from(image.height()));
    let ratio = f64::from(width) / f64::from(height);
    let wanted_width = from_height * ratio;
    let (width, height) = if wanted_width <= from_width {
        (wanted_width, from_height)
    } else {
        (from_width, from_width / ratio)
    };
    Region {
        left: 0.0,
        top: 0.0,
        width,
        height,
    }
}

/// The region without the hair by which rounding may have put it over the image's edge.
fn inside_of(image: &Image, region: Region) -> Region {
    let fitting = |start: f64, length: f64, side: u32| {
        let side = f64::from(side);
        if start + length <= side {
            return length;
        }
        (side - start) * (1.0 - 1e-12)
    };
    Region {
        width: fitting(region.left, region.width, image.width()),
        height: fitting(region.top, region.height, image.height()),
        ..region
    }
}

/// A region at another size. Where there is alpha, colours weigh by it, so that no dark rim appears.
pub(crate) fn scaled(image: &Image, region: Region, width: u32, height: u32) -> Image {
    if region == whole(image) && (width, height) == (image.width(), image.height()) {
        return image.clone();
    }
    let region = inside_of(image, region);
    let pixel_type = image.pixel_type();
    let from = ImageRef::new(image.width(), image.height(), image.samples(), pixel_type)
        .expect("an image has as many samples as its size says");
    let mut to = Canvas::new(width, height, pixel_type);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(region.left, region.top, region.width, region.height);
    Resizer::new()
        .resize(&from, &mut to, &options)
        .expect("both have the same kind of pixels, and the region lies inside");
    Image::from_samples(width, height, image.has_alpha(), to.into_vec())
        .expect("a canvas has as many samples as its size says")
}

/// In the middle of a transparent frame that is at least as large.
fn padded(image: &Image, width: u32, height: u32) -> Image {
    if (width, height) == (image.width(), image.height()) {
        return image.clone();
    }
    let image = image.with_alpha();
    let left = ((width - image.width()) / 2) as usize * 4;
    let top = ((height - image.height()) / 2) as usize;
    let row = width as usize * 4;
    let mut samples = vec![0; row * height as usize];
    let rows = samples.chunks_exact_mut(row).skip(top);
    let inner_row = image.width() as usize * 4;
    for (to, from) in rows.zip(image.samples().chunks_exact(inner_row)) {
        to[left..left + inner_row].copy_from_slice(from);
    }
    Image::from_rgba(width, height, samples).expect("rows of the frame's width")
}
