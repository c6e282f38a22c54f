use super::palette::{self, Swatch};
use super::{PROVIDER, usage};
use crate::pixels;
use crate::vision::{
    ColorPalette, Composition, GlobalContext, ImageMeta, ImageQuality, Lighting, Vision,
    VisionAnalysis, VisionError, VisionRequest,
};
use crate::{Answer, EncodedImage};
use async_trait::async_trait;
use image::{GrayImage, RgbaImage, imageops};
use std::time::Instant;

/// Measures what can be measured: size, colours, light, and where there is most to see. It names no objects and reads no
/// text, and its description of the scene says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalVision;

/// Sides of the copy that is measured; more pixels do not change what is measured.
const MEASURED_SIDE: u32 = 320;

const COLORS_MAX: usize = 24;
const DOMINANT_MAX: usize = 6;
const ACCENTS_MAX: usize = 4;

/// A colour below this share of the image is an accent, if it is vivid.
const ACCENT_SHARE: f32 = 0.08;

#[async_trait]
impl Vision for LocalVision {
    fn provider(&self) -> &str {
        PROVIDER
    }

    /// Both modes measure the same: there is nothing to save.
    async fn analyse(
        &self,
        request: &VisionRequest,
    ) -> Result<Answer<VisionAnalysis>, VisionError> {
        let started = Instant::now();
        let image: EncodedImage = request.image.clone();
        let measured = pixels::off_thread(pixels::count([&request.image]), move || {
            Ok(measure(&pixels::decode(&image)?))
        })
        .await;
        let analysis = measured.map_err(|error| VisionError::Unreadable {
            source: Box::new(error),
        })?;
        Ok(Answer::new(analysis, usage("pixels", started)))
    }
}

fn measure(pixels: &RgbaImage) -> VisionAnalysis {
    let (width, height) = pixels.dimensions();
    let scale = (MEASURED_SIDE as f32 / width.max(height) as f32).min(1.0);
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = imageops::thumbnail(pixels, side(width), side(height));
    let grey = imageops::grayscale(&small);
    let swatches = palette::measure(pixels::picture(small), COLORS_MAX);
    let light = Light::of(&grey);
    let detail = Detail::of(&grey);
    let mood = palette::mood(&swatches);
    let palette = color_palette(&swatches, light.contrast_level());
    let transparent = pixels.pixels().any(|pixel| pixel.0[3] < 255);
    let framing = framing(width, height);
    let scene_description = scene(
        width,
        height,
        &framing,
        mood.as_deref(),
        &palette,
        transparent,
    );
    VisionAnalysis {
        meta: ImageMeta {
            image_quality: Some(quality(width, height, &detail)),
            image_type: Some(image_type(&swatches, transparent).to_owned()),
            resolution_estimation: Some(format!("{width}x{height}")),
        },
        global_context: GlobalContext {
            scene_description,
            lighting: Lighting {
                quality: Some(light.quality().to_owned()),
                color_temp: Some(color_temp(&swatches).to_owned()),
                ..Lighting::default()
            },
            ..GlobalContext::default()
        },
        color_palette: palette,
        composition: Composition {
            framing: Some(framing),
            focal_point: detail.focal_point().map(str::to_owned),
            ..Composition::default()
        },
        ..VisionAnalysis::default()
    }
}

fn color_palette(swatches: &[Swatch], contrast: &str) -> ColorPalette {
    let dominant: Vec<String> = swatches
        .iter()
        .filter(|swatch| swatch.share >= 0.02)
        .take(DOMINANT_MAX)
        .map(|swatch| swatch.color.hex())
        .collect();
    let accents = swatches.iter().filter(|swatch| {
        let [r, g, b] = [swatch.color.r, swatch.color.g, swatch.color.b];
        swatch.share < ACCENT_SHARE && r.max(g).max(b) - r.min(g).min(b) > 90
    });
    let accents = accents.map(|swatch| swatch.color.hex());
    ColorPalette {
        accent_colors: accents
            .filter(|hex| !dominant.contains(hex))
            .take(ACCENTS_MAX)
            .collect(),
        dominant_hex_estimates: dominant,
        contrast_level: Some(contrast.to_owned()),
    }
}

/// Brightness, 0 to 1: its mean and how far pixels are from it.
struct Light {
    mean: f32,
    deviation: f32,
}

impl Light {
    fn of(grey: &GrayImage) -> Self {
        let count = grey.pixels().len().max(1) as f32;
        let lights = || grey.pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0);
        let mean = lights().sum::<f32>() / count;
        let variance = lights().map(|light| (light - mean).powi(2)).sum::<f32>() / count;
        Self {
            mean,
            deviation: variance.sqrt(),
        }
    }

    fn contrast_level(&self) -> &'static str {
        match self.deviation {
            low if low < 0.12 => "low",
            medium if medium < 0.25 => "medium",
            _ => "high",
        }
    }

    fn quality(&self) -> &'static str {
        match (self.mean, self.deviation) {
            (mean, _) if mean < 0.3 => "dark",
            (mean, deviation) if mean > 0.7 && deviation < 0.2 => "bright and even",
            (mean, _) if mean > 0.7 => "bright",
            (_, deviation) if deviation < 0.2 => "even",
            _ => "contrasting",
        }
    }
}

/// Where brightness changes, by ninths of the image.
struct Detail {
    cells: [f32; 9],
    /// Mean change between neighbours, 0 to 255.
    mean: f32,
}

const CELLS: [&str; 9] = [
    "upper left",
    "top centre",
    "upper right",
    "centre left",
    "centre",
    "centre right",
    "lower left",
    "bottom centre",
    "lower right",
];

impl Detail {
    fn of(grey: &GrayImage) -> Self {
        let (width, height) = grey.dimensions();
        let mut cells = [0.0; 9];
        let mut sum = 0.0;
        for y in 0..height.saturating_sub(1) {
            for x in 0..width.saturating_sub(1) {
                let here = f32::from(grey.get_pixel(x, y).0[0]);
                let right = f32::from(grey.get_pixel(x + 1, y).0[0]);
                let below = f32::from(grey.get_pixel(x, y + 1).0[0]);
                let change = (here - right).abs() + (here - below).abs();
                sum += change;
                cells[(y * 3 / height * 3 + x * 3 / width) as usize] += change;
            }
        }
        let count = (width * height).max(1) as f32;
        Self {
            cells,
            mean: sum / count,
        }
    }

    /// The ninth with clearly more to see than an even share. None when there is none.
    fn focal_point(&self) -> Option<&'static str> {
        let all: f32 = self.cells.iter().sum();
        let (at, most) = self
            .cells
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))?;
        (all > 0.0 && most / all > 0.18).then(|| CELLS[at])
    }
}

fn quality(width: u32, height: u32, detail: &Detail) -> ImageQuality {
    let megapixels = f64::from(width) * f64::from(height) / 1e6;
    match megapixels {
        few if few < 0.25 => ImageQuality::Low,
        // Large and without any detail: blurred, or scaled up.
        many if many >= 2.0 && detail.mean >= 1.0 => ImageQuality::High,
        _ => ImageQuality::Medium,
    }
}

/// Drawings are made of few colours that cover nearly all; photographs are not.
fn image_type(swatches: &[Swatch], transparent: bool) -> &'static str {
    let few: f32 = swatches.iter().take(4).map(|swatch| swatch.share).sum();
    match (few > 0.92, transparent) {
        (true, true) => "graphic with transparency",
        (true, false) => "graphic",
        (false, true) => "cutout with transparency",
        (false, false) => "photograph",
    }
}

fn color_temp(swatches: &[Swatch]) -> &'static str {
    let warmth: f32 = swatches
        .iter()
        .map(|swatch| swatch.share * (f32::from(swatch.color.r) - f32::from(swatch.color.b)))
        .sum();
    match warmth {
        warm if warm > 12.0 => "warm",
        cool if cool < -12.0 => "cool",
        _ => "neutral",
    }
}

/// `landscape 16:9`, `square`, `portrait`: the shape of a picture.
pub(super) fn framing(width: u32, height: u32) -> String {
    let ratio = f64::from(width) / f64::from(height);
    let long = ratio.max(1.0 / ratio);
    let named = [
        (1.0, "1:1"),
        (1.25, "5:4"),
        (4.0 / 3.0, "4:3"),
        (1.5, "3:2"),
        (16.0 / 9.0, "16:9"),
    ];
    let named = named.iter().find(|(of, _)| (long - of).abs() < 0.03);
    match (named, ratio >= 1.0) {
        (Some((_, "1:1")), _) => "square".to_owned(),
        (Some((_, name)), true) => format!("landscape {name}"),
        (Some((_, name)), false) => {
            let (long, short) = name.split_once(':').unwrap_or((name, "1"));
            format!("portrait {short}:{long}")
        }
        (None, true) => "landscape".to_owned(),
        (None, false) => "portrait".to_owned(),
    }
}

fn scene(
    width: u32,
    height: u32,
    framing: &str,
    mood: Option<&str>,
    palette: &ColorPalette,
    transparent: bool,
) -> String {
    let mood = mood.unwrap_or("empty");
    let colors = match palette.dominant_hex_estimates.as_slice() {
        [] => String::new(),
        colors => format!(", mainly {}", colors[..colors.len().min(3)].join(", ")),
    };
    let on = if transparent {
        " on transparent ground"
    } else {
        ""
    };
    format!(
        "A {framing} image of {width} x {height} pixels{on}: {mood}{colors}. Measured by the local provider, which \
         recognises neither objects nor text."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Mode;
    use image::Rgba;

    async fn seen(pixels: &RgbaImage) -> VisionAnalysis {
        let request = VisionRequest {
            image: pixels::encode_png(pixels.clone()).unwrap(),
            mode: Mode::Full,
        };
        let answer = LocalVision.analyse(&request).await.unwrap();
        assert_eq!(answer.usage.provider, "local");
        answer.value
    }

    #[tokio::test]
    async fn colours_light_and_composition_are_measured() {
        // An orange wall, with a small blue square of stripes in the lower right.
        let picture = RgbaImage::from_fn(300, 200, |x, y| {
            if (230..290).contains(&x) && (150..190).contains(&y) {
                Rgba([20, 60, if x % 4 < 2 { 200 } else { 220 }, 255])
            } else {
                Rgba([240, 150, 60, 255])
            }
        });
        let analysis = seen(&picture).await;
        assert_eq!(analysis.color_palette.dominant_hex_estimates[0], "#F0963C");
        assert_eq!(
            analysis.global_context.lighting.color_temp.as_deref(),
            Some("warm")
        );
        assert_eq!(
            analysis.composition.framing.as_deref(),
            Some("landscape 3:2")
        );
        assert_eq!(
            analysis.composition.focal_point.as_deref(),
            Some("lower right")
        );
        assert_eq!(
            analysis.meta.resolution_estimation.as_deref(),
            Some("300x200")
        );
        assert_eq!(analysis.meta.image_quality, Some(ImageQuality::Low));
        assert!(analysis.is_usable());
        let scene = &analysis.global_context.scene_description;
        assert!(
            scene.contains("local provider") && scene.contains("warm"),
            "{scene}"
        );
        assert!(analysis.objects.is_empty() && !analysis.text_ocr.present);
    }

    #[tokio::test]
    async fn a_small_vivid_colour_is_an_accent() {
        let picture = RgbaImage::from_fn(100, 150, |x, y| {
            if x < 5 && y < 30 {
                Rgba([230, 20, 40, 255])
            } else {
                Rgba([245, 245, 245, 255])
            }
        });
        let analysis = seen(&picture).await;
        assert_eq!(analysis.color_palette.dominant_hex_estimates, ["#F5F5F5"]);
        assert_eq!(analysis.color_palette.accent_colors, ["#E61428"]);
        assert_eq!(
            analysis.composition.framing.as_deref(),
            Some("portrait 2:3")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_decoded_is_an_error_that_stays() {
        let request = VisionRequest {
            image: EncodedImage::new(b"\x89PNG\r\n\x1a\nnothing".to_vec()).unwrap(),
            mode: Mode::Quick,
        };
        let error = LocalVision.analyse(&request).await.unwrap_err();
        assert!(!error.is_transient());
    }
}
