//! What pictures of pages show of their layout, without reading them.

use super::palette::Swatch;
use super::vision;
use crate::document::PageImage;
use std::collections::BTreeMap;

/// A colour that covers this much of the pages is the ground that the rest stands on.
const GROUND_SHARE_MIN: f32 = 0.4;

/// The shape of most pages, and the colour that most of them is left in, the first of those that were measured.
pub(super) fn measured(images: &[PageImage], colors: &[Swatch]) -> Vec<String> {
    let mut layout = Vec::new();
    let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
    for image in images {
        *shapes
            .entry(vision::framing(image.width, image.height))
            .or_default() += 1;
    }
    if let Some((shape, _)) = shapes.iter().max_by_key(|(_, pages)| **pages) {
        layout.push(format!("The pages are {shape} (measured)."));
    }
    let ground = colors.first();
    if let Some(ground) = ground.filter(|ground| ground.share >= GROUND_SHARE_MIN) {
        layout.push(format!(
            "{:.0} % of the pages is {} (measured).",
            ground.share * 100.0,
            ground.color.hex()
        ));
    }
    layout
}
