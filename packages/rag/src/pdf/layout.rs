//! From letters to lines to blocks.
//!
//! Letters are taken in the order they were drawn: programs draw a frame or column whole before
//! the next, which is the reading order more often than any sorting by place. Columns that were drawn row by row are
//! [put one after the other](columns).

mod columns;

use super::drawing::{Drawn, Letter};
use columns::Piece;
use std::collections::HashMap;
use studio233_ai::document::{Block, Fill, FontFace, Page, Rgb};

/// A gap of this many ems between letters is a space that was not drawn.
const SPACE_EMS: f32 = 0.18;

/// A gap this wide ends a line: it separates columns or cells.
const COLUMN_EMS: f32 = 3.5;

/// Lines of one block are at most this many ems apart.
const LEADING_EMS_MAX: f32 = 1.75;

/// Colours kept per page.
const FILLS_MAX: usize = 64;

pub(super) fn lay_out(number: u32, drawn: Drawn) -> Page {
    let lines = lines(&drawn.letters);
    let blocks = blocks(&lines, &drawn.fonts);
    let mut fills: Vec<Fill> = drawn
        .fills
        .into_iter()
        .map(|(color, area)| Fill { color, area })
        .collect();
    fills.sort_by(|a, b| b.area.total_cmp(&a.area).then(a.color.cmp(&b.color)));
    fills.truncate(FILLS_MAX);
    Page {
        number,
        width: drawn.width,
        height: drawn.height,
        blocks,
        fills,
        pictures: drawn.pictures,
    }
}

struct Line {
    text: String,
    x: f32,
    end_x: f32,
    y: f32,
    size: f32,
    color: Rgb,
    /// Letters by font.
    fonts: HashMap<usize, u32>,
}

impl Line {
    fn starting_with(letter: &Letter) -> Self {
        let mut line = Self {
            text: String::new(),
            x: letter.x,
            end_x: letter.x,
            y: letter.y,
            size: letter.size,
            color: letter.color,
            fonts: HashMap::new(),
        };
        line.push(letter);
        line
    }

    fn push(&mut self, letter: &Letter) {
        let em = self.size.max(letter.size);
        let spaced = self.text.ends_with(' ') || letter.text.starts_with(char::is_whitespace);
        if letter.x - self.end_x > SPACE_EMS * em && !spaced && !self.text.is_empty() {
            self.text.push(' ');
        }
        for c in letter.text.chars() {
            match c {
                c if is_invisible(c) => {}
                c if c.is_whitespace() || c.is_control() => {
                    if !self.text.ends_with(' ') {
                        self.text.push(' ');
                    }
                }
                'ﬁ' => self.text.push_str("fi"),
                'ﬂ' => self.text.push_str("fl"),
                'ﬀ' => self.text.push_str("ff"),
                'ﬃ' => self.text.push_str("ffi"),
                'ﬄ' => self.text.push_str("ffl"),
                c => self.text.push(c),
            }
        }
        self.end_x = self.end_x.max(letter.end_x);
        self.size = em;
        if !letter.text.trim().is_empty() {
            *self.fonts.entry(letter.font).or_default() += 1;
        }
    }

    fn main_font(&self) -> Option<usize> {
        main_font(&self.fonts)
    }
}

fn main_font(fonts: &HashMap<usize, u32>) -> Option<usize> {
    let most = fonts
        .iter()
        .max_by_key(|(font, letters)| (**letters, std::cmp::Reverse(**font)));
    most.map(|(font, _)| *font)
}

fn lines(letters: &[Letter]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut last: Option<Piece> = None;
    for piece in columns::in_reading_order(pieces(letters)) {
        let goes_on = last
            .is_some_and(|last| last.line == piece.line && last.letters.end == piece.letters.start);
        let mut own = letters[piece.letters.clone()].iter();
        if !goes_on && let Some(first) = own.find(|letter| marks(letter).next().is_some()) {
            lines.push(Line::starting_with(first));
        }
        if let Some(line) = lines.last_mut() {
            own.for_each(|letter| line.push(letter));
        }
        last = Some(piece);
    }
    lines
}

/// What of a letter is not blank.
fn marks(letter: &Letter) -> impl Iterator<Item = char> {
    let blank = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    letter.text.chars().filter(move |c| !blank(*c))
}

/// Letters as they were drawn, one after the other on a line, cut where there is room for a gutter. What is blank is no piece.
fn pieces(letters: &[Letter]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    // Where the line started, and where it ends, as it was drawn.
    let (mut number, mut from) = (0, 0);
    let (mut y, mut end_x, mut size) = (0.0, 0.0, 0.0);
    for (at, letter) in letters.iter().enumerate() {
        let em = f32::max(size, letter.size);
        let gap = letter.x - end_x;
        let goes_on = (letter.y - y).abs() < 0.35 * em && gap > -0.6 * em && gap < COLUMN_EMS * em;
        if goes_on {
            (end_x, size) = (f32::max(end_x, letter.end_x), em);
        } else {
            (y, end_x, size) = (letter.y, f32::max(letter.x, letter.end_x), letter.size);
            (number, from) = (number + 1, at);
        }
        let mut marks = marks(letter);
        let Some(first) = marks.next() else {
            continue;
        };
        let near = letter.x.min(letter.end_x);
        let far = letter.x.max(letter.end_x);
        match pieces.last_mut() {
            Some(piece)
                if piece.line == number
                    && letter.x - piece.end_x
                        < columns::GUTTER_EMS * piece.size.max(letter.size) =>
            {
                piece.letters.end = at + 1;
                (piece.x, piece.end_x) = (piece.x.min(near), piece.end_x.max(far));
                piece.size = piece.size.max(letter.size);
                piece.marks += 1;
                piece.last = marks.last().unwrap_or(first);
            }
            last => {
                // Blanks before it belong to it.
                let same = last.filter(|piece| piece.line == number);
                let start = same.map_or(from, |piece| piece.letters.end);
                pieces.push(Piece {
                    line: number,
                    letters: start..at + 1,
                    x: near,
                    end_x: far,
                    y: letter.y,
                    size: letter.size,
                    marks: 1,
                    first,
                    last: marks.last().unwrap_or(first),
                });
            }
        }
    }
    pieces
}

fn blocks(lines: &[Line], fonts: &[FontFace]) -> Vec<Block> {
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in lines {
        match groups.last_mut() {
            Some(group) if belongs(group, line, fonts) => group.push(line),
            _ => groups.push(vec![line]),
        }
    }
    groups.iter().map(|group| block(group, fonts)).collect()
}

fn belongs(group: &[&Line], line: &Line, fonts: &[FontFace]) -> bool {
    let (first, last) = (group[0], group[group.len() - 1]);
    let em = last.size;
    let similar = (line.size - em).abs() <= 0.12 * em;
    let step = line.y - last.y;
    let below = step > 0.5 * em && step < LEADING_EMS_MAX * em;
    // Paragraphs keep their spacing: a wider step than before starts another one.
    let steady = group.len() < 2 || step < 1.15 * (last.y - group[group.len() - 2].y);
    let aligned = (line.x - first.x).abs() < 2.0 * em
        || (line.x < last.end_x && last.x < line.end_x && !line.text.starts_with(is_bullet));
    let face = |line: &Line| {
        line.main_font()
            .map(|font| (&fonts[font].family, fonts[font].bold))
    };
    let same_face = face(line) == face(last);
    similar
        && below
        && steady
        && aligned
        && same_face
        && !line.text.trim_start().starts_with(is_bullet)
}

/// Where a word may be broken, and the like.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}' | '\u{FEFF}')
}

fn is_bullet(c: char) -> bool {
    matches!(
        c,
        '•' | '◦' | '▪' | '■' | '●' | '–' | '—' | '→' | '✓' | '✗' | '×' | '✕'
    )
}

fn block(lines: &[&Line], fonts: &[FontFace]) -> Block {
    let mut text = String::new();
    let mut letters: HashMap<usize, u32> = HashMap::new();
    for line in lines {
        let line_text = line.text.trim();
        if text.ends_with('-')
            && text.chars().rev().nth(1).is_some_and(char::is_lowercase)
            && line_text.starts_with(char::is_lowercase)
        {
            // A word broken at the end of the line. Compounds lose their hyphen too; both halves
            // stay searchable through their letters.
            text.pop();
        } else if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line_text);
        for (font, count) in &line.fonts {
            *letters.entry(*font).or_default() += count;
        }
    }
    let font = main_font(&letters)
        .map(|font| fonts[font].clone())
        .unwrap_or_default();
    let mut letters: Vec<(FontFace, u32)> = letters
        .into_iter()
        .map(|(font, count)| (fonts[font].clone(), count))
        .collect();
    letters.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let first = lines[0];
    Block {
        text,
        font,
        size: lines.iter().map(|line| line.size).fold(0.0, f32::max),
        color: first.color,
        left: lines.iter().map(|line| line.x).fold(f32::MAX, f32::min),
        top: first.y - first.size * 0.8,
        letters,
    }
}
