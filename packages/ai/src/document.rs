//! A document as providers see it.
//!
//! Lengths are points (1/72 inch), measured from the page's top left corner.

mod markdown;

pub(crate) use markdown::from_markdown;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use studio233_media::Image;

/// A document that was opened and laid out.
#[derive(Debug, Clone, Default)]
pub struct Document {
    pub filename: String,
    /// The file itself.
    pub file: Bytes,
    /// What the file calls itself, if it does.
    pub title: Option<String>,
    pub pages: Vec<Page>,
    /// The first pages as pictures; may be fewer than the pages, or none.
    pub images: Vec<PageImage>,
}

/// A text at the edge of this many pages is a running title.
const RUNNING_ON_PAGES: usize = 3;

/// The part of a page's height, above and below, where running titles and page numbers stand.
const EDGE: f32 = 0.12;

/// A page is a picture if pictures take this part of it.
const PICTURE_SHARE: f32 = 0.5;

/// Letters and digits that a page has on average, if a document of pictures has text: more than what a scanner or an
/// archive stamps on pages, less than a paragraph.
const STAMP_LETTERS: usize = 50;

impl Document {
    /// Whether it has text to read, running titles and page numbers aside. Pages that were scanned have none: they are pictures, with
    /// a stamp on them at the most.
    pub fn has_text(&self) -> bool {
        let letters: usize = self
            .content()
            .flat_map(|(_, blocks)| blocks)
            .map(|block| block.text.chars().filter(|c| c.is_alphanumeric()).count())
            .sum();
        let pictures = self.pages.iter().filter(|page| page.is_picture()).count();
        letters > 0
            && (2 * pictures < self.pages.len() || letters >= STAMP_LETTERS * self.pages.len())
    }

    /// The pages with what belongs to them: without running titles and page numbers.
    pub fn content(&self) -> impl Iterator<Item = (&Page, Vec<&Block>)> {
        let running = self.running_titles();
        self.pages.iter().map(move |page| {
            let own = |block: &&Block| {
                let text = block.text.trim();
                let folio = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
                !(page.is_at_edge(block) && (folio || running.contains(text)))
            };
            (page, page.blocks.iter().filter(own).collect())
        })
    }

    fn running_titles(&self) -> HashSet<&str> {
        let mut pages: HashMap<&str, usize> = HashMap::new();
        for page in &self.pages {
            let at_edge = page.blocks.iter().filter(|block| page.is_at_edge(block));
            let texts: HashSet<&str> = at_edge.map(|block| block.text.trim()).collect();
            for text in texts {
                *pages.entry(text).or_default() += 1;
            }
        }
        pages.retain(|_, count| *count >= RUNNING_ON_PAGES);
        pages.into_keys().collect()
    }
}

/// A page's text in the order it was drawn, and the colours it was drawn with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Page {
    /// From 1.
    pub number: u32,
    pub width: f32,
    pub height: f32,
    pub blocks: Vec<Block>,
    /// Filled areas by colour, the largest first.
    pub fills: Vec<Fill>,
    /// Area that pictures take, in square points; those that overlap count each time.
    pub pictures: f32,
}

impl Page {
    /// The page's text, a blank line between blocks.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .blocks
            .iter()
            .map(|block| block.text.as_str())
            .collect();
        texts.join("\n\n")
    }

    fn is_picture(&self) -> bool {
        self.pictures > PICTURE_SHARE * self.width * self.height
    }

    fn is_at_edge(&self, block: &Block) -> bool {
        block.top < EDGE * self.height || block.top > (1.0 - EDGE) * self.height
    }
}

/// A paragraph, heading, list item or label: lines that belong together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// One line of text, however many lines the page needed.
    pub text: String,
    /// The font of most of its letters.
    pub font: FontFace,
    pub size: f32,
    pub color: Rgb,
    pub left: f32,
    pub top: f32,
    /// Letters by font, for blocks that mix them.
    pub letters: Vec<(FontFace, u32)>,
}

/// A font as the file names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FontFace {
    /// `EB Garamond`; empty when the file does not say.
    pub family: String,
    pub bold: bool,
    pub italic: bool,
}

/// How much of a page is filled with one colour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    pub color: Rgb,
    /// Square points; overlapping areas count each time.
    pub area: f32,
}

/// An sRGB colour.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Rgb {
    pub r: u8,
    pub g: u8,
    pub b: u8,
}

impl Rgb {
    pub const fn new(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b }
    }

    /// `#RRGGBB`
    pub fn hex(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.r, self.g, self.b)
    }

    /// Near white, black or a grey between: seldom what a brand calls its colour.
    pub fn is_neutral(self) -> bool {
        let max = self.r.max(self.g).max(self.b);
        let min = self.r.min(self.g).min(self.b);
        max - min < 24
    }

    /// Straight distance in the RGB cube, 0 to 441. Enough to tell "the same colour printed
    /// or rounded differently" (below about 20) from another one.
    pub fn distance(self, other: Self) -> f32 {
        let square = |a: u8, b: u8| (f32::from(a) - f32::from(b)).powi(2);
        (square(self.r, other.r) + square(self.g, other.g) + square(self.b, other.b)).sqrt()
    }
}

/// A page as a picture.
#[derive(Debug, Clone)]
pub struct PageImage {
    /// From 1.
    pub page: u32,
    pub width: u32,
    pub height: u32,
    /// `width * height * 3` bytes, row by row from the top.
    pub rgb: Bytes,
}

impl PageImage {
    /// A copy to measure or encode. None when the bytes are not as many as its sides say.
    pub(crate) fn picture(&self) -> Option<Image> {
        Image::from_rgb(self.width, self.height, self.rgb.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_titles_and_page_numbers_are_no_content() {
        let page = |number: u32| {
            let block = |text: &str, top: f32| Block {
                text: text.to_owned(),
                top,
                ..Block::default()
            };
            let blocks = vec![
                block("Guidelines", 10.0),
                block("Guidelines", 500.0),
                block("1990", 400.0),
                block(&number.to_string(), 990.0),
            ];
            Page {
                number,
                height: 1000.0,
                blocks,
                ..Page::default()
            }
        };
        let document = Document {
            pages: (1..=3).map(page).collect(),
            ..Document::default()
        };
        for (_, blocks) in document.content() {
            let texts: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
            assert_eq!(texts, ["Guidelines", "1990"]);
        }
    }

    /// Pages of 100 by 100, of which pictures take this part, with this text in the middle.
    fn pages(texts: &[&str], pictures: f32) -> Document {
        let page = |(number, text): (u32, &&str)| Page {
            number,
            width: 100.0,
            height: 100.0,
            blocks: vec![Block {
                text: (*text).to_owned(),
                top: 50.0,
                ..Block::default()
            }],
            pictures: pictures * 10_000.0,
            ..Page::default()
        };
        Document {
            pages: (1..).zip(texts).map(page).collect(),
            ..Document::default()
        }
    }

    #[test]
    fn stamps_on_pictures_are_no_text() {
        let stamp = "Scanned with Marram Scan, 2031-03-12 14:05";
        let sentence = "Every board stands on a grid of six columns, and the horizon runs through all six of them.";
        for (texts, pictures, has_text) in [
            (&[stamp, stamp][..], 1.0, false),
            (&[stamp, stamp], 0.6, false),
            // Words beside small pictures, or without any, are what there is to read.
            (&[stamp, stamp], 0.4, true),
            (&["Hello brand"], 0.0, true),
            // On a background.
            (&[sentence, sentence], 1.0, true),
            (&[sentence, ""], 1.0, false),
            (&["…", ""], 0.0, false),
            (&[], 0.0, false),
        ] {
            let document = pages(texts, pictures);
            assert_eq!(document.has_text(), has_text, "{texts:?} {pictures}");
        }
        let mut mixed = pages(&[stamp, stamp, stamp], 1.0);
        mixed.pages[0].pictures = 0.0;
        assert!(!mixed.has_text());
        mixed.pages[1].pictures = 0.0;
        assert!(mixed.has_text());
    }

    #[test]
    fn page_numbers_and_running_titles_alone_are_no_text() {
        let mut document = pages(&["Guidelines", "Guidelines", "Guidelines"], 0.0);
        assert!(document.has_text());
        for page in &mut document.pages {
            page.blocks[0].top = 2.0;
            let folio = Block {
                text: page.number.to_string(),
                top: 95.0,
                ..Block::default()
            };
            page.blocks.push(folio);
        }
        assert!(!document.has_text());
    }
}
