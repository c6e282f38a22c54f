//! The colours a document writes down, with the names and roles it gives them.

use crate::document::{Block, Document, Rgb};

/// A colour of the brand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedColor {
    pub(super) color: Rgb,
    pub(super) name: Option<String>,
    /// `primary`, `secondary`, `accent`, …
    pub(super) role: Option<&'static str>,
}

const ROLES: &[&str] = &[
    "primary",
    "secondary",
    "tertiary",
    "accent",
    "neutral",
    "background",
    "highlight",
    "supporting",
];

/// Colours kept.
const COLORS_MAX: usize = 24;

/// Closer than this, two notations mean one colour (CMYK is converted without a profile).
const SAME_COLOR: f32 = 12.0;

const NAME_WORDS_MAX: usize = 4;

/// All colours written in the document, the primary first, then in reading order.
pub(super) fn written(document: &Document) -> Vec<NamedColor> {
    let mut found: Vec<NamedColor> = Vec::new();
    for page in &document.pages {
        let mut open: Option<Swatch> = None;
        for (at, block) in page.blocks.iter().enumerate() {
            let notations = notations(&block.text);
            for notation in &notations {
                let continues = open
                    .as_ref()
                    .is_some_and(|swatch| swatch.takes(notation, block, at));
                if !continues {
                    close(&mut found, open.take());
                    open = Some(Swatch::new(notation, &page.blocks, at));
                }
                if let Some(swatch) = &mut open {
                    swatch.add(notation, block, at);
                }
            }
        }
        close(&mut found, open);
    }
    name_the_primary(&mut found, document);
    found.sort_by_key(|color| color.role != Some("primary"));
    found.truncate(COLORS_MAX);
    found
}

fn close(found: &mut Vec<NamedColor>, swatch: Option<Swatch>) {
    let Some(swatch) = swatch else { return };
    let color = swatch.best();
    match found
        .iter_mut()
        .find(|known| known.color.distance(color) < SAME_COLOR)
    {
        Some(known) => {
            known.name = known.name.take().or(swatch.name);
            known.role = known.role.or(swatch.role);
        }
        None => found.push(NamedColor {
            color,
            name: swatch.name,
            role: swatch.role,
        }),
    }
}

/// "Ember is our primary colour" somewhere in the text.
fn name_the_primary(found: &mut [NamedColor], document: &Document) {
    if found.iter().any(|color| color.role == Some("primary")) {
        return;
    }
    for block in document.pages.iter().flat_map(|page| &page.blocks) {
        for sentence in super::language::sentences(&block.text) {
            let lower = sentence.to_lowercase();
            if !lower.contains("primary colo") {
                continue;
            }
            let named = found.iter_mut().find(|color| {
                color
                    .name
                    .as_ref()
                    .is_some_and(|name| lower.contains(&name.to_lowercase()))
            });
            if let Some(color) = named {
                color.role = Some("primary");
                return;
            }
        }
    }
}

/// The notations of one colour: each kind at most once.
struct Swatch {
    values: [Option<Rgb>; 3],
    name: Option<String>,
    role: Option<&'static str>,
    /// Index and left edge of the last block.
    at: usize,
    left: f32,
}

impl Swatch {
    fn new(notation: &Notation, blocks: &[Block], at: usize) -> Self {
        let block = &blocks[at];
        let (mut name, mut role) = (plain_name(&notation.before), role_in(&notation.before));
        // Labels above, in the same column, nearest first, as far as the colour before.
        for label in blocks[..at].iter().rev().take(4) {
            let aligned = (label.left - block.left).abs() < 2.0 * block.size.max(label.size);
            let near = block.top - label.top < 10.0 * block.size.max(12.0);
            if !notations(&label.text).is_empty() {
                break;
            }
            if !aligned || !near || label.text.split_whitespace().count() > NAME_WORDS_MAX + 2 {
                continue;
            }
            role = role.or_else(|| role_in(&label.text));
            name = name.or_else(|| plain_name(&label.text));
        }
        Self {
            values: [None; 3],
            name,
            role,
            at,
            left: block.left,
        }
    }

    fn takes(&self, notation: &Notation, block: &Block, at: usize) -> bool {
        let same_place =
            at == self.at || at == self.at + 1 && (block.left - self.left).abs() < 2.0 * block.size;
        same_place
            && self.values[notation.kind as usize].is_none()
            && plain_name(&notation.before).is_none()
    }

    fn add(&mut self, notation: &Notation, block: &Block, at: usize) {
        self.values[notation.kind as usize] = Some(notation.color);
        (self.at, self.left) = (at, block.left);
    }

    fn best(&self) -> Rgb {
        self.values
            .iter()
            .flatten()
            .next()
            .copied()
            .unwrap_or_default()
    }
}

fn role_in(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    ROLES
        .iter()
        .find(|role| {
            lower
                .split(|c: char| !c.is_alphabetic())
                .any(|word| word == **role)
        })
        .copied()
}

/// The words of a label that are a name: not roles, not notations, not "colour" itself.
fn plain_name(label: &str) -> Option<String> {
    let noise = |word: &str| {
        let word = word.to_lowercase();
        ROLES.contains(&word.as_str())
            || matches!(
                word.as_str(),
                "hex"
                    | "rgb"
                    | "cmyk"
                    | "rgba"
                    | "pantone"
                    | "pms"
                    | "colour"
                    | "color"
                    | "colours"
                    | "colors"
                    | "palette"
                    | "brand"
                    | "our"
                    | "the"
                    | "code"
                    | "web"
                    | "print"
                    | "and"
                    | "is"
                    | "ral"
            )
            || word.chars().any(|c| c.is_ascii_digit())
    };
    let words: Vec<&str> = label
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '-')))
        .filter(|word| !word.is_empty())
        .collect();
    let named: Vec<&str> = words.iter().copied().filter(|word| !noise(word)).collect();
    let is_name = !named.is_empty()
        && named.len() <= NAME_WORDS_MAX
        && named[0].starts_with(|c: char| c.is_uppercase());
    is_name.then(|| named.join(" "))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hex = 0,
    Rgb = 1,
    Cmyk = 2,
}

#[derive(Debug)]
struct Notation {
    kind: Kind,
    color: Rgb,
    /// The text between the notation before and this one.
    before: String,
}

struct Token<'t> {
    text: &'t str,
    start: usize,
    hash: bool,
}

fn notations(text: &str) -> Vec<Notation> {
    let tokens = tokens(text);
    let mut notations = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while at < tokens.len() {
        let Some((kind, color, length)) = notation(&tokens[at..]) else {
            at += 1;
            continue;
        };
        let before = text[copied..tokens[at].start].to_owned();
        notations.push(Notation {
            kind,
            color,
            before,
        });
        let last = &tokens[at + length - 1];
        copied = last.start + last.text.len();
        at += length;
    }
    notations
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(begin)) => {
                let hash = text[..begin].ends_with('#');
                tokens.push(Token {
                    text: &text[begin..at],
                    start: begin,
                    hash,
                });
                start = None;
            }
            _ => {}
        }
    }
    tokens
}

/// The notation that the tokens start with: kind, colour, how many tokens it has.
fn notation(tokens: &[Token<'_>]) -> Option<(Kind, Rgb, usize)> {
    let first = &tokens[0];
    let lower = first.text.to_ascii_lowercase();
    if first.hash {
        return hex(first.text).map(|color| (Kind::Hex, color, 1));
    }
    match lower.as_str() {
        "hex" => {
            let color = tokens
                .get(1)
                .filter(|token| token.text.len() == 6)
                .and_then(|token| hex(token.text))?;
            return Some((Kind::Hex, color, 2));
        }
        "rgb" | "rgba" => {
            if let Some(values) = numbers::<3>(&tokens[1..], 255) {
                return Some((Kind::Rgb, rgb(values), 4));
            }
        }
        "cmyk" => {
            if let Some(values) = numbers::<4>(&tokens[1..], 100) {
                return Some((Kind::Cmyk, cmyk(values), 5));
            }
        }
        _ => {}
    }
    if let Some((values, length)) = lettered(tokens, ["r", "g", "b"], 255) {
        return Some((Kind::Rgb, rgb(values), length));
    }
    let (values, length) = lettered(tokens, ["c", "m", "y", "k"], 100)?;
    Some((Kind::Cmyk, cmyk(values), length))
}

fn hex(text: &str) -> Option<Rgb> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    let digit = |at: usize| {
        u8::from_str_radix(&text[at..=at], 16)
            .ok()
            .map(|digit| digit * 17)
    };
    match text.len() {
        // With alpha too; the colour is in front.
        6 | 8 => Some(Rgb::new(byte(0)?, byte(2)?, byte(4)?)),
        3 => Some(Rgb::new(digit(0)?, digit(1)?, digit(2)?)),
        _ => None,
    }
}

fn number(text: &str, max: u16) -> Option<u16> {
    text.parse().ok().filter(|value| *value <= max)
}

/// `228 87 46`
fn numbers<const N: usize>(tokens: &[Token<'_>], max: u16) -> Option<[u16; N]> {
    let mut values = [0; N];
    for (value, at) in values.iter_mut().zip(0..) {
        *value = number(tokens.get(at)?.text, max)?;
    }
    Some(values)
}

/// `R228 G87 B46` or `R 228 G 87 B 46`, and how many tokens that is.
fn lettered<const N: usize>(
    tokens: &[Token<'_>],
    letters: [&str; N],
    max: u16,
) -> Option<([u16; N], usize)> {
    let mut values = [0; N];
    let mut at = 0;
    for (value, letter) in values.iter_mut().zip(letters) {
        let text = tokens.get(at)?.text.to_ascii_lowercase();
        let digits = text.strip_prefix(letter)?;
        *value = if digits.is_empty() {
            at += 1;
            number(tokens.get(at)?.text, max)?
        } else {
            number(digits, max)?
        };
        at += 1;
    }
    Some((values, at))
}

fn rgb(values: [u16; 3]) -> Rgb {
    let [r, g, b] = values.map(|value| value.min(255) as u8);
    Rgb::new(r, g, b)
}

/// Without a colour profile: what screens show for these inks, roughly.
fn cmyk([c, m, y, k]: [u16; 4]) -> Rgb {
    let channel = |ink: u16| {
        let light = (1.0 - f32::from(ink) / 100.0) * (1.0 - f32::from(k) / 100.0);
        (light * 255.0).round() as u8
    };
    Rgb::new(channel(c), channel(m), channel(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Page;

    fn colors(blocks: &[&str]) -> Vec<(String, Option<String>, Option<&'static str>)> {
        let block = |(at, text): (usize, &&str)| Block {
            text: (*text).to_owned(),
            size: 10.0,
            top: at as f32 * 12.0,
            ..Block::default()
        };
        let page = Page {
            blocks: blocks.iter().enumerate().map(block).collect(),
            ..Page::default()
        };
        let document = Document {
            pages: vec![page],
            ..Document::default()
        };
        written(&document)
            .into_iter()
            .map(|c| (c.color.hex(), c.name, c.role))
            .collect()
    }

    fn one(
        hex: &str,
        name: &str,
        role: Option<&'static str>,
    ) -> (String, Option<String>, Option<&'static str>) {
        (
            hex.to_owned(),
            (!name.is_empty()).then(|| name.to_owned()),
            role,
        )
    }

    #[test]
    fn every_usual_notation_is_read() {
        for text in [
            "#E4572E",
            "#e4572e",
            "HEX E4572E",
            "rgb(228, 87, 46)",
            "RGB 228 / 87 / 46",
            "R228 G87 B46",
            "R: 228 G: 87 B: 46",
            "#E4572EFF",
        ] {
            assert_eq!(colors(&[text]), [one("#E4572E", "", None)], "{text}");
        }
        assert_eq!(colors(&["CMYK 0 76 89 4"]), [one("#F53B1B", "", None)]);
        assert_eq!(colors(&["C0 M76 Y89 K4"]), [one("#F53B1B", "", None)]);
        assert_eq!(colors(&["#F80"]), [one("#FF8800", "", None)]);
    }

    #[test]
    fn what_only_looks_like_a_colour_is_not() {
        for text in [
            "#12 of 20",
            "RGB 300 0 0",
            "page 123456",
            "#zzzzzz",
            "C5 meeting",
            "rgb is additive",
        ] {
            assert!(colors(&[text]).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_and_roles_stand_around_the_notation() {
        assert_eq!(
            colors(&[
                "Secondary colour",
                "Night Harbour",
                "HEX #17263C RGB 23 38 60 CMYK 62 37 0 76",
                "Primary color: Ember",
                "#E4572E",
                "RGB 228 87 46"
            ]),
            [
                one("#E4572E", "Ember", Some("primary")),
                one("#17263C", "Night Harbour", Some("secondary"))
            ]
        );
        assert_eq!(
            colors(&["Ember #E4572E, Oat #F6EFE3 and Lichen #7FA08A. Oat is our primary colour."]),
            [
                one("#F6EFE3", "Oat", Some("primary")),
                one("#E4572E", "Ember", None),
                one("#7FA08A", "Lichen", None)
            ]
        );
    }
}
