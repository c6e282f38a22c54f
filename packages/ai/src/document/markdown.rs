use super::{Block, Document, FontFace, Page};

const PAGE_TOP: f32 = 200.0;
const PAGE_WIDTH: f32 = 600.0;
const LINE_HEIGHT: f32 = 14.0;
const BODY_SIZE: f32 = 10.0;

/// The document as somebody else read it into markdown, a text a page: headings are as large as their level, and
/// everything else is body text.
pub(crate) fn from_markdown(document: &Document, pages: &[String]) -> Document {
    let pages = pages.iter().zip(1..).map(|(text, number)| {
        let mut blocks: Vec<Block> = text.split("\n\n").flat_map(blocks).collect();
        // Lines stand one below the other and away from the edges, where running titles are.
        for (block, line) in blocks.iter_mut().zip(0_u16..) {
            block.top = PAGE_TOP + f32::from(line) * LINE_HEIGHT;
        }
        let room = PAGE_TOP + blocks.len() as f32 * LINE_HEIGHT;
        Page {
            number,
            width: PAGE_WIDTH,
            height: room * 1.25,
            blocks,
            fills: Vec::new(),
            pictures: 0.0,
        }
    });
    Document {
        filename: document.filename.clone(),
        file: document.file.clone(),
        title: document.title.clone(),
        pages: pages.collect(),
        images: document.images.clone(),
    }
}

/// The blocks of one paragraph: a heading, a list item or a table row is one each, other lines are joined.
fn blocks(paragraph: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in paragraph.lines().map(str::trim) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let is_heading = (1..=6).contains(&level) && line[level..].starts_with(' ');
        let starts_anew = is_heading || line.starts_with(['-', '*', '+', '|']);
        let text = if is_heading { &line[level..] } else { line };
        let text = plain(text);
        if !text.chars().any(char::is_alphanumeric) {
            is_open = false;
            continue;
        }
        match blocks.last_mut() {
            Some(last) if is_open && !starts_anew => {
                last.text.push(' ');
                last.text.push_str(&text);
            }
            _ => blocks.push(block(text, is_heading.then_some(level))),
        }
        is_open = !is_heading;
    }
    blocks
}

fn block(text: String, level: Option<usize>) -> Block {
    let size = level.map_or(BODY_SIZE, |level| 30.0 - 3.0 * level as f32);
    Block {
        text,
        font: FontFace {
            bold: level.is_some(),
            ..FontFace::default()
        },
        size,
        ..Block::default()
    }
}

/// The words without emphasis, code marks, list marks and cell borders.
fn plain(text: &str) -> String {
    let text = text.trim_start_matches(['-', '+', ' ']);
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '*' | '`' | '|'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_headings_items_and_paragraphs() {
        let markdown = "# Acme\n\n## Our voice\nWe are plain\nand kind.\n- Say it once.\n* Say it well.\n\n\
            |---|---|\n| Ember | #E4572E |\n\n#hashtag";
        let document = from_markdown(&Document::default(), &[markdown.to_owned()]);
        let blocks = document.pages[0].blocks.iter();
        let shown: Vec<(f32, &str)> = blocks.map(|b| (b.size, b.text.as_str())).collect();
        let expected = [
            (27.0, "Acme"),
            (24.0, "Our voice"),
            (10.0, "We are plain and kind."),
            (10.0, "Say it once."),
            (10.0, "Say it well."),
            (10.0, "Ember #E4572E"),
            (10.0, "#hashtag"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(document.content().next().unwrap().1.len(), expected.len());
    }
}
