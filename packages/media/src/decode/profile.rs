//! Colours as an embedded profile means them. Without this a photo in Display P3 or Adobe RGB turns dull.

use image::{DynamicImage, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// Converts samples to sRGB. A profile that is not for RGB (CMYK is RGB by now), or that cannot be read, changes nothing:
/// the picture as it is beats none.
pub(super) fn to_srgb(image: DynamicImage, profile: &[u8]) -> DynamicImage {
    let Ok(profile) = ColorProfile::new_from_slice(profile) else {
        return image;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return image;
    }
    let grey = matches!(
        image,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
    );
    if grey {
        return image;
    }
    let alpha = image.color().has_alpha();
    let layout = if alpha { Layout::Rgba } else { Layout::Rgb };
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) =
        profile.create_transform_8bit(layout, &srgb, layout, TransformOptions::default())
    else {
        return image;
    };
    let (width, height) = (image.width(), image.height());
    let before = if alpha {
        image.into_rgba8().into_raw()
    } else {
        image.into_rgb8().into_raw()
    };
    let mut after = vec![0; before.len()];
    let samples = match transform.transform(&before, &mut after) {
        Ok(()) => after,
        Err(_) => before,
    };
    let converted = if alpha {
        RgbaImage::from_raw(width, height, samples).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::from)
    };
    converted.expect("as many samples as there were")
}
