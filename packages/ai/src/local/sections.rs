//! Headings and what stands under them.

use super::topic::{self, Topic};
use crate::document::{Block, Document};
use std::collections::HashMap;

/// A heading with the blocks below it, down to the next heading.
#[derive(Debug)]
pub(super) struct Section<'d> {
    /// What it is about: the heading's, else those of the heading above it, else the page's.
    pub(super) topics: Vec<Topic>,
    pub(super) blocks: Vec<&'d Block>,
}

const HEADING_WORDS_MAX: usize = 10;

/// Text below this part of the body size is a caption.
const CAPTION_BELOW: f32 = 0.75;

/// The sections of a document in reading order.
pub(super) fn sections(document: &Document) -> Vec<Section<'_>> {
    let body = Body::of(document);
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (page, blocks) in document.content() {
        // Headings above, from the largest: (size, topics).
        let mut above: Vec<(f32, Vec<Topic>)> = Vec::new();
        let mut page_topics: Vec<Topic> = Vec::new();
        let mut first_on_page = true;
        for block in blocks {
            let text = block.text.as_str();
            let small_print = block.size < 0.8 * body.size && block.top > 0.92 * page.height;
            if small_print {
                continue;
            }
            if body.is_heading(block) {
                while above
                    .last()
                    .is_some_and(|(size, _)| *size <= block.size * 1.02)
                {
                    above.pop();
                }
                let own = topic::of_heading(text);
                if page_topics.is_empty() {
                    page_topics.clone_from(&own);
                }
                let inherited = above
                    .iter()
                    .rev()
                    .map(|(_, topics)| topics)
                    .find(|topics| !topics.is_empty());
                let topics = match (own.is_empty(), inherited) {
                    (false, _) => own,
                    (true, Some(inherited)) => inherited.clone(),
                    (true, None) => page_topics.clone(),
                };
                above.push((block.size, topics.clone()));
                sections.push(Section {
                    topics,
                    blocks: Vec::new(),
                });
            } else if block.size < CAPTION_BELOW * body.size {
                // Captions, specimens and labels explain pictures; they are no rules.
            } else if first_on_page && page.number == 1 || sections.is_empty() {
                sections.push(Section {
                    topics: Vec::new(),
                    blocks: vec![block],
                });
            } else if let Some(section) = sections.last_mut() {
                // A page that starts without a heading goes on with the section before.
                section.blocks.push(block);
            }
            first_on_page = false;
        }
    }
    sections
}

/// What most letters of a document look like.
struct Body {
    size: f32,
    family: String,
}

impl Body {
    fn of(document: &Document) -> Self {
        let mut letters: HashMap<(i32, &str), usize> = HashMap::new();
        for block in document.pages.iter().flat_map(|page| &page.blocks) {
            // Half points, so that rounding does not split a size.
            let key = (
                (block.size * 2.0).round() as i32,
                block.font.family.as_str(),
            );
            *letters.entry(key).or_default() += block.text.len();
        }
        let most = letters
            .into_iter()
            .max_by_key(|(key, count)| (*count, *key));
        let (size, family) = most.map_or((20, ""), |(key, _)| key);
        Self {
            size: size as f32 / 2.0,
            family: family.to_owned(),
        }
    }

    fn is_heading(&self, block: &Block) -> bool {
        let text = block.text.trim();
        let words = text.split_whitespace().count();
        if words == 0 || words > HEADING_WORDS_MAX || !text.chars().any(char::is_alphabetic) {
            return false;
        }
        let ends_like_text = text.ends_with(['.', ',', ';', '”', '"', '!', '’']);
        let listed = text.starts_with(['•', '–', '—', '“', '"', '#']);
        if ends_like_text || listed {
            return false;
        }
        let different = block.font.bold || block.font.family != self.family;
        block.size >= 1.15 * self.size || block.size >= 0.98 * self.size && different
    }
}
