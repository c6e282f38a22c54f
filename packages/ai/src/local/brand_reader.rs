use super::palette::Swatch;
use super::topic::Topic;
use super::{
    PROVIDER, colors, fonts, language, page_layout, palette, rules, sections, summary, usage,
};
use crate::document::{Document, PageImage, Rgb};
use crate::pixels;
use crate::{BrandReader, BrandReading, ReadError};
use async_trait::async_trait;
use std::collections::HashMap;
use std::time::Instant;
use studio233_brand::{
    BrandDna, BrandSummary, CoreIdentity, PaletteColor, Principle, SemanticDna, VisualStyle,
};

/// Reads the profile out of a document's own words, fonts and colours. Of pages that are pictures it measures colours and
/// layout; it recognises neither objects nor text in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalBrandReader;

/// With fewer written colours, the drawn ones are the palette.
const WRITTEN_COLORS_MIN: usize = 2;

/// Drawn colours that cover less of the document are details.
const DRAWN_SHARE_MIN: f32 = 0.01;

const DRAWN_COLORS_MAX: usize = 6;

/// Colours of the pages' pictures that are looked at.
const MEASURED_COLORS_MAX: usize = 12;

const VOICE_CHARS_MAX: usize = 400;

/// How a profile came about, in its summary.
const READ_AND_MEASURED: &str =
    "local provider: read from the document and measured, without a model";
const MEASURED: &str =
    "local provider: measured from pictures of the pages; it cannot read the words in them";

#[async_trait]
impl BrandReader for LocalBrandReader {
    fn provider(&self) -> &str {
        PROVIDER
    }

    async fn read(&self, document: &Document) -> Result<BrandReading, ReadError> {
        let started = Instant::now();
        if !document.has_text() && document.images.is_empty() {
            return Err(ReadError::Unreadable {
                provider: PROVIDER.to_owned(),
                what: "text or page images",
                usage: Vec::new(),
            });
        }
        let pixels = pixels::count_pages(&document.images);
        let document = document.clone();
        let read = pixels::off_thread(pixels, move || Ok(read_through(&document, started)));
        read.await.map_err(|error| ReadError::Provider {
            provider: PROVIDER.to_owned(),
            transient: true,
            source: Box::new(error),
            usage: Vec::new(),
        })
    }
}

/// What there is in it. A long document keeps a thread busy for a while.
fn read_through(document: &Document, started: Instant) -> BrandReading {
    let sections = sections::sections(document);
    let mut rules = rules::rules(&sections);
    let measured = measured(document);
    let palette = palette_of(document, &measured);
    let essence = rules.remove(&Topic::Essence).unwrap_or_default();
    let voice = rules.remove(&Topic::Voice).unwrap_or_default();
    let mood = palette::mood(&measured);
    let dna = BrandDna {
        core_identity: CoreIdentity {
            colors: palette.iter().map(|color| color.hex.clone()).collect(),
            fonts: fonts::fonts(document),
            logos: rules.remove(&Topic::Logo).unwrap_or_default(),
            slogans: rules::slogans(&sections),
        },
        visual_style: VisualStyle {
            layout_principles: match document.has_text() {
                true => rules.remove(&Topic::Layout).unwrap_or_default(),
                false => page_layout::measured(&document.images, &measured),
            },
            imagery_style: rules.remove(&Topic::Imagery).unwrap_or_default(),
            photography_guidelines: rules.remove(&Topic::Photography).unwrap_or_default(),
            vibe: vibe(&essence, mood.as_deref()),
        },
        semantic_dna: SemanticDna {
            tone_of_voice: joined(&voice, VOICE_CHARS_MAX),
            copywriting_guidelines: rules.remove(&Topic::Writing).unwrap_or_default(),
        },
    };
    let summary = summary_of(document, &dna, &essence, &voice, palette, mood.as_deref());
    BrandReading {
        dna,
        summary,
        provider: PROVIDER.to_owned(),
        usage: vec![usage("document reader", started)],
    }
}

/// The main colours of the pages' pictures.
fn measured(document: &Document) -> Vec<Swatch> {
    let pictures = document.images.iter().filter_map(PageImage::picture);
    palette::measure(pictures, MEASURED_COLORS_MAX)
}

/// The written colours; the drawn ones when too few are written.
fn palette_of(document: &Document, measured: &[Swatch]) -> Vec<PaletteColor> {
    let mut palette: Vec<PaletteColor> = colors::written(document)
        .into_iter()
        .map(|color| PaletteColor {
            hex: color.color.hex(),
            name: color.name,
            role: color.role.map(str::to_owned),
        })
        .collect();
    if palette.len() < WRITTEN_COLORS_MIN {
        for color in drawn_colors(document, measured) {
            if !palette.iter().any(|known| known.hex == color.hex()) {
                palette.push(PaletteColor {
                    hex: color.hex(),
                    name: None,
                    role: None,
                });
            }
        }
    }
    palette
}

/// Filled colours by area, and measured ones where pages are pictures; greys are not brand colours.
fn drawn_colors(document: &Document, measured: &[Swatch]) -> Vec<Rgb> {
    let pages_area: f32 = document
        .pages
        .iter()
        .map(|page| page.width * page.height)
        .sum();
    let mut areas: HashMap<Rgb, f32> = HashMap::new();
    for fill in document.pages.iter().flat_map(|page| &page.fills) {
        *areas.entry(fill.color).or_default() += fill.area / pages_area.max(1.0);
    }
    for swatch in measured {
        let filled = areas
            .keys()
            .any(|color| color.distance(swatch.color) < 20.0);
        if !filled {
            areas.insert(swatch.color, swatch.share);
        }
    }
    let mut colors: Vec<(Rgb, f32)> = areas
        .into_iter()
        .filter(|(color, share)| !color.is_neutral() && *share >= DRAWN_SHARE_MIN)
        .collect();
    colors.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    colors
        .into_iter()
        .map(|(color, _)| color)
        .take(DRAWN_COLORS_MAX)
        .collect()
}

/// The sentence that says how the brand feels; else what it says of itself first; else what its
/// colours measure.
fn vibe(essence: &[String], mood: Option<&str>) -> String {
    let feels = |sentence: &&String| {
        language::words(sentence)
            .any(|word| matches!(word.as_str(), "feel" | "mood" | "look" | "vibe" | "spirit"))
    };
    if let Some(sentence) = essence.iter().find(feels).or(essence.first()) {
        return sentence.clone();
    }
    mood.map(|mood| format!("The pages are {mood} (measured)."))
        .unwrap_or_default()
}

pub(super) fn joined(sentences: &[String], chars_max: usize) -> String {
    let mut joined = String::new();
    for sentence in sentences {
        if !joined.is_empty() && joined.chars().count() + sentence.chars().count() >= chars_max {
            break;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(sentence);
    }
    joined
}

fn summary_of(
    document: &Document,
    dna: &BrandDna,
    essence: &[String],
    voice: &[String],
    palette: Vec<PaletteColor>,
    mood: Option<&str>,
) -> BrandSummary {
    let text = || {
        document
            .pages
            .iter()
            .map(crate::document::Page::text)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let manifesto = if essence.is_empty() {
        summary::summarize(&text(), 2)
    } else {
        joined(essence, 320)
    };
    let style = &dna.visual_style;
    let mut visual_dna: Vec<String> = [
        &style.layout_principles,
        &style.imagery_style,
        &style.photography_guidelines,
    ]
    .into_iter()
    .filter_map(|rules| rules.first().cloned())
    .collect();
    visual_dna.extend(mood.map(|mood| format!("Colours measured as {mood}.")));
    let rules = [
        ("Layout", &style.layout_principles),
        ("Imagery", &style.imagery_style),
        ("Photography", &style.photography_guidelines),
        ("Logo", &dna.core_identity.logos),
        ("Writing", &dna.semantic_dna.copywriting_guidelines),
    ];
    let principles = rules
        .into_iter()
        .filter(|(_, rules)| !rules.is_empty())
        .map(|(title, rules)| Principle {
            title: title.to_owned(),
            description: joined(rules, 240),
        })
        .collect();
    BrandSummary {
        manifesto,
        voice: traits(voice),
        visual_dna,
        principles,
        palette,
        generated_by: match document.has_text() {
            true => READ_AND_MEASURED,
            false => MEASURED,
        }
        .to_owned(),
    }
}

/// "Our voice is warm, plain and confident" lists traits; without such a list, the first sentences are them.
pub(super) fn traits(voice: &[String]) -> Vec<String> {
    for sentence in voice {
        let Some((_, list)) = sentence
            .split_once(" is ")
            .or_else(|| sentence.split_once(" are "))
        else {
            continue;
        };
        let list = list.trim_end_matches('.').replace(" and ", ", ");
        let items: Vec<String> = list
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect();
        if items.len() >= 2
            && items
                .iter()
                .all(|item| item.split_whitespace().count() <= 3)
        {
            return items;
        }
    }
    voice.iter().take(3).cloned().collect()
}

#[cfg(test)]
mod tests;
