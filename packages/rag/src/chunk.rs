use studio233_ai::Document;
use text_splitter::{ChunkConfig, TextSplitter};

/// A piece of a document that fits into one embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// From 0, through the whole document.
    pub ordinal: u32,
    /// From 1.
    pub page: u32,
    pub text: String,
}

/// Cuts documents into overlapping pieces. A piece never crosses a page, so that a finding can
/// be looked up; running titles and page numbers are left out; within a page, cuts fall between paragraphs, else sentences, else words.
#[derive(Debug, Clone, Copy)]
pub struct Chunker {
    chars_max: usize,
    overlap_chars: usize,
}

/// Sizes that cannot be cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "chunks of {chars_max} characters cannot overlap by {overlap_chars}; choose at least 100, and less than half of it to overlap"
)]
pub struct InvalidChunking {
    chars_max: usize,
    overlap_chars: usize,
}

impl Default for Chunker {
    fn default() -> Self {
        Self {
            chars_max: 600,
            overlap_chars: 100,
        }
    }
}

impl Chunker {
    pub fn new(chars_max: usize, overlap_chars: usize) -> Result<Self, InvalidChunking> {
        if chars_max < 100 || overlap_chars >= chars_max / 2 {
            return Err(InvalidChunking {
                chars_max,
                overlap_chars,
            });
        }
        Ok(Self {
            chars_max,
            overlap_chars,
        })
    }

    pub fn chunks(&self, document: &Document) -> Vec<Chunk> {
        let config = ChunkConfig::new(self.chars_max)
            .with_overlap(self.overlap_chars)
            .expect("the constructor keeps the overlap below the size");
        let splitter = TextSplitter::new(config);
        let mut chunks = Vec::new();
        for (page, blocks) in document.content() {
            let texts: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
            let text = texts.join("\n\n");
            for piece in splitter.chunks(&text) {
                let ordinal =
                    u32::try_from(chunks.len()).expect("a document has fewer than 2^32 chunks");
                chunks.push(Chunk {
                    ordinal,
                    page: page.number,
                    text: piece.to_owned(),
                });
            }
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio233_ai::document::{Block, Page};

    fn document(pages: &[&str]) -> Document {
        let page = |(number, text): (u32, &&str)| Page {
            number,
            blocks: vec![Block {
                text: (*text).to_owned(),
                ..Block::default()
            }],
            ..Page::default()
        };
        Document {
            pages: (1..).zip(pages).map(page).collect(),
            ..Document::default()
        }
    }

    #[test]
    fn chunks_know_their_page_and_never_cross_it() {
        let long = "A sentence about the brand. ".repeat(20);
        let chunks = Chunker::new(200, 60)
            .unwrap()
            .chunks(&document(&[&long, "", "Short."]));
        assert!(chunks.len() > 3);
        assert!(chunks.iter().all(|chunk| chunk.text.chars().count() <= 200));
        assert_eq!(
            chunks
                .iter()
                .map(|chunk| chunk.ordinal as usize)
                .collect::<Vec<_>>(),
            (0..chunks.len()).collect::<Vec<_>>()
        );
        let last = chunks.last().unwrap();
        assert_eq!((last.page, last.text.as_str()), (3, "Short."));
        assert!(
            chunks[..chunks.len() - 1]
                .iter()
                .all(|chunk| chunk.page == 1)
        );
    }

    #[test]
    fn neighbours_overlap() {
        let words: Vec<String> = (0..200).map(|n| format!("word{n}.")).collect();
        let chunks = Chunker::new(200, 60)
            .unwrap()
            .chunks(&document(&[&words.join(" ")]));
        for pair in chunks.windows(2) {
            let first_of_next = pair[1].text.split(' ').next().unwrap();
            assert!(pair[0].text.contains(first_of_next), "{pair:?}");
        }
    }

    #[test]
    fn sizes_that_make_no_progress_are_refused() {
        assert!(Chunker::new(50, 0).is_err());
        assert!(Chunker::new(200, 100).is_err());
        assert!(Chunker::new(200, 99).is_ok());
    }
}
