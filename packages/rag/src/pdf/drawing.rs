//! What a page draws: letters with their places, filled colours, and how much room pictures take.

use super::font_names::FontNames;
use super::reading::Stop;
use hayro::hayro_interpret::font::{Glyph, GlyphRun};
use hayro::hayro_interpret::hayro_cmap::BfString;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
    InterpreterCache, InterpreterSettings, Paint, SoftMask, TransformExt, interpret_page,
};
use hayro::hayro_syntax::page::Page;
use hayro::kurbo::{BezPath, Point, Rect, Shape};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::time::Instant;
use studio233_ai::document::{FontFace, Rgb};

/// A page as drawn. Points from the top left corner.
pub(super) struct Drawn {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) letters: Vec<Letter>,
    pub(super) fonts: Vec<FontFace>,
    /// Filled area by colour.
    pub(super) fills: HashMap<Rgb, f32>,
    /// Area of pictures.
    pub(super) pictures: f32,
    pub(super) items: usize,
}

/// One glyph (of one or more characters).
pub(super) struct Letter {
    pub(super) text: String,
    /// Where its baseline starts and where the next letter is due.
    pub(super) x: f32,
    pub(super) end_x: f32,
    pub(super) y: f32,
    pub(super) size: f32,
    /// Index into [`Drawn::fonts`].
    pub(super) font: usize,
    pub(super) color: Rgb,
}

/// In points. No page is so large; what is beyond is not on it, and may not be a number for long.
const LENGTH_MAX: f64 = 1e9;

/// Checking the clock at each item would cost more than the item.
const CLOCK_EVERY_ITEMS: usize = 1024;

/// Interprets a page. Unwinds with [`Stop`] past the limit or the deadline.
pub(super) fn draw(
    page: &Page<'_>,
    settings: &InterpreterSettings,
    items_max: usize,
    deadline: Instant,
) -> Drawn {
    let (width, height) = page.render_dimensions();
    let side = |length: f32| if length.is_finite() { length } else { 0.0 };
    let (width, height) = (side(width), side(height));
    let target = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
    let cache = InterpreterCache::new();
    let transform = page.initial_transform(true).to_kurbo();
    let mut context = Context::new(transform, target, &cache, page.xref(), settings.clone());
    let mut collector = Collector {
        drawn: Drawn {
            width,
            height,
            letters: Vec::new(),
            fonts: Vec::new(),
            fills: HashMap::new(),
            pictures: 0.0,
            items: 0,
        },
        names: FontNames::of(page),
        target,
        items_max,
        deadline,
    };
    interpret_page(page, &mut context, &mut collector);
    collector.drawn
}

struct Collector {
    drawn: Drawn,
    names: FontNames,
    target: Rect,
    items_max: usize,
    deadline: Instant,
}

impl Collector {
    fn count(&mut self) {
        self.drawn.items += 1;
        // `resume_unwind` leaves the interpreter without calling the panic hook: this is no bug.
        if self.drawn.items > self.items_max {
            resume_unwind(Box::new(Stop::TooComplex));
        }
        if self.drawn.items.is_multiple_of(CLOCK_EVERY_ITEMS) && Instant::now() > self.deadline {
            resume_unwind(Box::new(Stop::TooSlow));
        }
    }

    fn font(&mut self, face: FontFace) -> usize {
        let fonts = &mut self.drawn.fonts;
        fonts
            .iter()
            .position(|known| *known == face)
            .unwrap_or_else(|| {
                fonts.push(face);
                fonts.len() - 1
            })
    }

    fn fill(&mut self, area: f64, paint: &Paint<'_>) {
        if let Some((color, alpha)) = solid(paint)
            && area > 0.0
        {
            let area = area.min(LENGTH_MAX * LENGTH_MAX) as f32 * alpha;
            let filled = self.drawn.fills.entry(color).or_default();
            *filled = (*filled + area).min(f32::MAX);
        }
    }
}

impl<'a> Device<'a> for Collector {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        self.count();
        if matches!(mode, DrawMode::Fill(_) | DrawMode::FillAndStroke(..)) {
            let path = props.transform * path;
            let visible = path.bounding_box().intersect(self.target).area();
            // A path that crosses itself can have less than no area; it still fills something.
            self.fill(path.area().abs().min(visible), &props.paint);
        }
    }

    fn draw_rect(&mut self, rect: &Rect, props: DrawProps<'a>, mode: &DrawMode) {
        self.count();
        if matches!(mode, DrawMode::Fill(_) | DrawMode::FillAndStroke(..)) {
            let rect = props.transform.transform_rect_bbox(*rect);
            self.fill(rect.intersect(self.target).area(), &props.paint);
        }
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        let color = solid(&props.paint).map_or(Rgb::new(0, 0, 0), |(color, _)| color);
        let codes: Vec<u32> = run.glyphs().iter().map(|glyph| glyph.char_code()).collect();
        for glyph in run.glyphs() {
            self.count();
            let (advance, face) = match &**glyph {
                Glyph::Outline(outline) => {
                    let face = outline.font_data().map(|font| {
                        let name = font.postscript_name.unwrap_or_default();
                        let weight = font.weight.unwrap_or(400);
                        super::font_names::face(&name, weight >= 600, font.is_italic)
                    });
                    (outline.advance_width(), face)
                }
                Glyph::Type3(glyph) => (glyph.advance_width(), None),
            };
            let face = face.unwrap_or_else(|| self.names.face_of(&codes));
            let place = props.transform * glyph.transform();
            // Glyph space has 1000 units to the em.
            let origin = place * Point::ZERO;
            let end = place * Point::new(f64::from(advance.unwrap_or(500.0)), 0.0);
            let size = (place * Point::new(0.0, 1000.0)).distance(origin);
            let on_paper = [size, origin.x, origin.y, end.x]
                .iter()
                .all(|length| length.abs() < LENGTH_MAX);
            if !on_paper || size < 0.5 {
                continue;
            }
            let text = match glyph.as_unicode() {
                Some(BfString::Char(c)) => c.to_string(),
                Some(BfString::String(text)) => text,
                None => continue,
            };
            let repeated = matches!(mode, DrawMode::Stroke(_))
                && self
                    .drawn
                    .letters
                    .iter()
                    .rev()
                    .take(codes.len())
                    .any(|letter| letter.text == text && (letter.x - origin.x as f32).abs() < 0.01);
            if repeated {
                continue;
            }
            let font = self.font(face);
            self.drawn.letters.push(Letter {
                text,
                x: origin.x as f32,
                end_x: end.x as f32,
                y: origin.y as f32,
                size: size as f32,
                font,
                color,
            });
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        self.count();
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let place = Rect::new(0.0, 0.0, width, height);
        let place = props.transform.transform_rect_bbox(place);
        let area = place.intersect(self.target).area();
        if area > 0.0 {
            let area = area.min(LENGTH_MAX * LENGTH_MAX) as f32;
            self.drawn.pictures = (self.drawn.pictures + area).min(f32::MAX);
        }
    }

    fn push_clip_path(&mut self, _: &ClipPath) {
        self.count();
    }

    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {
        self.count();
    }

    fn pop_clip(&mut self) {}

    fn pop_transparency_group(&mut self) {}
}

fn solid(paint: &Paint<'_>) -> Option<(Rgb, f32)> {
    match paint {
        Paint::Color(color) => {
            let [r, g, b, alpha] = color.to_rgba().to_rgba8();
            Some((Rgb::new(r, g, b), f32::from(alpha) / 255.0))
        }
        Paint::Pattern(_) => None,
    }
}
