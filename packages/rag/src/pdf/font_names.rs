//! How fonts are called.

use hayro::hayro_syntax::content::ops::TypedInstruction;
use hayro::hayro_syntax::object::dict::keys::BASE_FONT;
use hayro::hayro_syntax::object::{Name, Object};
use hayro::hayro_syntax::page::Page;
use std::collections::HashMap;
use studio233_ai::document::FontFace;

/// Names of fonts that the interpreter shows glyphs of without saying which font it is (Type 1
/// and Type 3): found again by what the page's content shows in them.
pub(super) struct FontNames {
    by_codes: HashMap<Vec<u8>, FontFace>,
    /// The page's only font, for text inside of forms.
    only: Option<FontFace>,
}

/// Strings remembered per page. More text than this in nameless fonts stays nameless.
const STRINGS_MAX: usize = 50_000;

impl FontNames {
    pub(super) fn of(page: &Page<'_>) -> Self {
        let mut by_codes = HashMap::new();
        let mut faces: HashMap<Vec<u8>, Option<FontFace>> = HashMap::new();
        let mut current: Option<FontFace> = None;
        let mut saved: Vec<Option<FontFace>> = Vec::new();
        let mut content = page.typed_operations();
        while let Some(instruction) = content.next() {
            let codes = match instruction {
                TypedInstruction::SaveState(_) => {
                    saved.push(current.clone());
                    continue;
                }
                TypedInstruction::RestoreState(_) => {
                    current = saved.pop().unwrap_or(current);
                    continue;
                }
                TypedInstruction::TextFont(font) => {
                    let key = font.0.as_str().as_bytes().to_vec();
                    let face = faces.entry(key).or_insert_with(|| face_of(page, font.0));
                    current = face.clone();
                    continue;
                }
                TypedInstruction::ShowText(shown) => shown.0.as_bytes().to_vec(),
                TypedInstruction::NextLineAndShowText(shown) => shown.0.as_bytes().to_vec(),
                TypedInstruction::ShowTextWithParameters(shown) => shown.2.as_bytes().to_vec(),
                TypedInstruction::ShowTexts(shown) => {
                    let mut codes = Vec::new();
                    for object in shown.0.iter::<Object<'_>>() {
                        if let Object::String(string) = object {
                            codes.extend_from_slice(string.as_bytes());
                        }
                    }
                    codes
                }
                _ => continue,
            };
            if let Some(face) = &current
                && by_codes.len() < STRINGS_MAX
            {
                by_codes.insert(codes, face.clone());
            }
        }
        let mut named = faces.into_values().flatten();
        let only = named.next().filter(|_| named.next().is_none());
        Self { by_codes, only }
    }

    /// The font that these one-byte codes were shown in.
    pub(super) fn face_of(&self, codes: &[u32]) -> FontFace {
        let bytes: Option<Vec<u8>> = codes.iter().map(|code| u8::try_from(*code).ok()).collect();
        let by_codes = bytes.and_then(|bytes| self.by_codes.get(&bytes));
        by_codes.or(self.only.as_ref()).cloned().unwrap_or_default()
    }
}

fn face_of(page: &Page<'_>, resource: &Name<'_>) -> Option<FontFace> {
    let font = page.resources().get_font(resource)?;
    let name = font.get::<Name<'_>>(BASE_FONT)?;
    Some(face(name.as_str(), false, false))
}

/// Endings of PostScript names that tell style, not family. Longer before shorter.
const STYLES: &[&str] = &[
    "extrabold",
    "ultrabold",
    "semibold",
    "demibold",
    "extralight",
    "ultralight",
    "regular",
    "italic",
    "oblique",
    "medium",
    "black",
    "heavy",
    "light",
    "roman",
    "normal",
    "book",
    "bold",
    "thin",
    "hairline",
    "variable",
    "condensed",
    "cond",
    "psmt",
    "mt",
    "ps",
    "vf",
    "regu",
    "medi",
    "ital",
];

/// The family and style behind a PostScript name: `ABCDEF+EBGaramond-BoldItalic` is EB Garamond,
/// bold and italic. `bold` and `italic` are what the file says besides.
pub(super) fn face(postscript_name: &str, bold: bool, italic: bool) -> FontFace {
    let name = match postscript_name.split_once('+') {
        Some((tag, name)) if tag.len() == 6 && tag.bytes().all(|b| b.is_ascii_uppercase()) => name,
        _ => postscript_name,
    };
    let lower = name.to_ascii_lowercase();
    let has = |style: &str| lower.contains(style);
    let bold = bold || has("bold") || has("black") || has("heavy");
    let italic = italic || has("italic") || has("oblique");
    let mut parts = name.split([',', '-']);
    let first = parts.next().unwrap_or(name);
    // Most hyphens part family and style; some programs write `EB-Garamond-Semi-Bold`.
    let more_family = parts.take_while(|part| !is_style(part));
    let family = std::iter::once(first)
        .chain(more_family)
        .map(family)
        .collect::<Vec<_>>()
        .join(" ");
    FontFace {
        family,
        bold,
        italic,
    }
}

/// Whether a part of a name is made of style words only.
fn is_style(part: &str) -> bool {
    let mut rest = part.to_ascii_lowercase();
    if rest.is_empty() || rest.contains('=') || rest.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let degrees = ["semi", "demi", "extra", "ultra"];
    while let Some(style) = STYLES
        .iter()
        .chain(&degrees)
        .find(|style| rest.ends_with(**style))
    {
        rest.truncate(rest.len() - style.len());
    }
    rest.is_empty()
}

fn family(base: &str) -> String {
    let mut base = base.trim();
    while let Some(shorter) = without_style(base) {
        base = shorter;
    }
    // Optical sizes: EBGaramond12.
    let stripped = base.trim_end_matches(|c: char| c.is_ascii_digit());
    if stripped.len() >= 3 {
        base = stripped;
    }
    spaced(base.trim_end_matches(['_', ' ']))
}

fn without_style(base: &str) -> Option<&str> {
    // Without a hyphen these are as likely the family's: Times New Roman.
    let styles = STYLES
        .iter()
        .filter(|style| !matches!(**style, "roman" | "book"));
    styles.into_iter().find_map(|style| {
        let at = base.len().checked_sub(style.len()).filter(|at| *at >= 3)?;
        let (family, ending) = (base.get(..at)?, base.get(at..)?);
        let starts_anew = ending.starts_with(|c: char| c.is_ascii_uppercase());
        (starts_anew && ending.eq_ignore_ascii_case(style)).then_some(family.trim_end())
    })
}

/// `PlayfairDisplay` as people write it. A run of capitals is one word: `EBGaramond`.
fn spaced(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut spaced = String::with_capacity(name.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_uppercase() && at >= 2 && after.is_some_and(|c| c.is_lowercase())
            });
        if starts_word {
            spaced.push(' ');
        }
        spaced.push(if *letter == '_' { ' ' } else { *letter });
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_become_names_of_people() {
        let cases = [
            ("ABCDEF+EBGaramond12-BoldItalic", "EB Garamond", true, true),
            ("Sora-SemiBold", "Sora", true, false),
            ("PlayfairDisplay-Regular", "Playfair Display", false, false),
            ("TimesNewRomanPSMT", "Times New Roman", false, false),
            ("Arial,Bold", "Arial", true, false),
            ("Helvetica", "Helvetica", false, false),
            ("Helvetica-Oblique", "Helvetica", false, true),
            ("WorkSansLight", "Work Sans", false, false),
            ("Sora", "Sora", false, false),
            ("XYZABC+Inter", "Inter", false, false),
            ("EB-Garamond", "EB Garamond", false, false),
            ("Inter-Semi-Bold", "Inter", true, false),
            ("Sora-weight=190", "Sora", false, false),
            ("Arial-BoldItalicMT", "Arial", true, true),
            ("Times-Roman", "Times", false, false),
            ("", "", false, false),
        ];
        for (name, family, bold, italic) in cases {
            let expected = FontFace {
                family: family.to_owned(),
                bold,
                italic,
            };
            assert_eq!(face(name, false, false), expected, "{name}");
        }
    }
}
