//! The typefaces a document is set in, and what it says they are for.

use super::language;
use crate::document::Document;
use std::collections::HashMap;
use studio233_brand::BrandFont;

/// Typefaces kept.
const FONTS_MAX: usize = 8;

/// Below this share of the letters, and unmentioned, a face is an accident.
const SHARE_MIN: f32 = 0.005;

/// Words that tell what a typeface is for.
const USES: &[&str] = &[
    "headline",
    "heading",
    "title",
    "subtitle",
    "display",
    "body",
    "text",
    "paragraph",
    "caption",
    "label",
    "number",
    "figure",
    "quote",
    "slogan",
    "interface",
    "table",
    "web",
    "print",
    "letter",
    "button",
    "code",
];

#[derive(Default)]
struct Face {
    letters: u32,
    /// The largest size it is used in.
    size_max: f32,
    /// Letters by size in half points.
    sizes: HashMap<i32, u32>,
}

/// The families of a document, the headlines' first, then by how much is set in them.
pub(super) fn fonts(document: &Document) -> Vec<BrandFont> {
    let mut faces: HashMap<&str, Face> = HashMap::new();
    for block in document.pages.iter().flat_map(|page| &page.blocks) {
        for (font, letters) in &block.letters {
            let face = faces.entry(font.family.as_str()).or_default();
            face.letters += letters;
            face.size_max = face.size_max.max(block.size);
            *face
                .sizes
                .entry((block.size * 2.0).round() as i32)
                .or_default() += letters;
        }
    }
    let total: u32 = faces.values().map(|face| face.letters).sum();
    let body = faces
        .iter()
        .max_by_key(|(family, face)| (face.letters, **family))
        .map(|(family, _)| *family);
    let largest = faces
        .iter()
        .max_by(|a, b| {
            a.1.size_max
                .total_cmp(&b.1.size_max)
                .then_with(|| a.0.cmp(b.0))
        })
        .map(|(family, _)| *family);
    let mut fonts: Vec<(u32, BrandFont)> = Vec::new();
    for (family, face) in &faces {
        let symbols = ["symbol", "dingbat", "emoji", "icon", "awesome"];
        if family.is_empty()
            || symbols
                .iter()
                .any(|word| family.to_lowercase().contains(word))
        {
            continue;
        }
        let said = said_use(document, family);
        if said.is_none() && (face.letters as f32) < SHARE_MIN * total as f32 {
            continue;
        }
        let is_largest = largest == Some(*family);
        let usage = said.unwrap_or_else(|| measured_use(face, is_largest, body == Some(*family)));
        let rank = if is_largest { u32::MAX } else { face.letters };
        fonts.push((
            rank,
            BrandFont {
                family: (*family).to_owned(),
                usage,
            },
        ));
    }
    fonts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.family.cmp(&b.1.family)));
    fonts.truncate(FONTS_MAX);
    fonts.into_iter().map(|(_, font)| font).collect()
}

/// What a sentence with the family's name says it is for.
fn said_use(document: &Document, family: &str) -> Option<String> {
    for block in document.pages.iter().flat_map(|page| &page.blocks) {
        for sentence in language::sentences(&block.text) {
            let Some(at) = find_name(sentence, family) else {
                continue;
            };
            if !language::words(sentence).any(|word| USES.contains(&word.as_str())) {
                continue;
            }
            let after =
                sentence[at + family.len()..].trim_start_matches([' ', ':', '–', '—', ',', '-']);
            let verbs = [
                "is used for ",
                "is set for ",
                "is for ",
                "is our ",
                "is the ",
                "sets ",
                "for ",
            ];
            let after = verbs
                .iter()
                .find_map(|verb| after.strip_prefix(verb))
                .unwrap_or(after);
            let after = after.trim_end_matches('.').trim();
            let usage = if after.split_whitespace().count() >= 1 {
                after
            } else {
                sentence
            };
            return Some(usage.to_owned());
        }
    }
    None
}

/// Where the name stands as words of their own.
fn find_name(sentence: &str, family: &str) -> Option<usize> {
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    sentence.match_indices(family).map(|(at, _)| at).find(|at| {
        is_edge(sentence[..*at].chars().next_back())
            && is_edge(sentence[at + family.len()..].chars().next())
    })
}

fn measured_use(face: &Face, is_largest: bool, is_body: bool) -> String {
    let most = face
        .sizes
        .iter()
        .max_by_key(|(size, letters)| (**letters, **size));
    let size = most.map_or(0.0, |(size, _)| *size as f32 / 2.0);
    match (is_largest, is_body) {
        (true, true) => format!(
            "headlines and body text (mostly {size} pt, up to {:.0} pt)",
            face.size_max
        ),
        (true, false) => format!("headlines (up to {:.0} pt)", face.size_max),
        (false, true) => format!("body text (mostly {size} pt)"),
        (false, false) => format!("other text (mostly {size} pt)"),
    }
}
