//! Pages as pictures.

use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::page::Page;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings, render as render_pixmap};
use studio233_ai::document::PageImage;

/// The longer side of a picture. Enough to measure colours and composition, and for a vision
/// model to read headlines.
const SIDE_PIXELS: f32 = 1024.0;

/// Draws a page on white. None when the page has no area.
pub(super) fn render(page: &Page<'_>, number: u32) -> Option<PageImage> {
    let (width, height) = page.render_dimensions();
    let side = width.max(height);
    if !(side.is_finite() && width > 0.0 && height > 0.0) {
        return None;
    }
    let scale = SIDE_PIXELS / side;
    if width * scale < 1.0 || height * scale < 1.0 {
        return None;
    }
    let settings = PixmapSettings {
        x_scale: scale,
        y_scale: scale,
        bg_color: WHITE,
    };
    let pixmap = render_pixmap(
        page,
        &RenderCache::new(),
        &InterpreterSettings::default(),
        &RenderSettings::default(),
        &settings,
    );
    let rgb: Vec<u8> = pixmap
        .data_as_u8_slice()
        .chunks_exact(4)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    Some(PageImage {
        page: number,
        width: u32::from(pixmap.width()),
        height: u32::from(pixmap.height()),
        rgb: rgb.into(),
    })
}
