//! Columns that a program drew row by row, across the page: they are told from tables, and put one after the other.
//!
//! A *gutter* is a strip that no letter of several rows stands in. It parts columns if what stands on either side of it reads on from
//! row to row; the cells of a table do not. Only rows that were drawn from the top to the bottom are looked at together: columns
//! that were drawn one after the other stay in that order.
//!
//! The left column comes first, also where a script runs from right to left.
//!
//! Work is bounded: rows of many pieces part nothing, few gutters are open at once, and columns within columns end at a depth.

use std::ops::Range;

/// Letters of one line as it was drawn, with no wide gap between them.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Which line that was.
    pub(super) line: usize,
    /// Which letters of the page, blanks among them.
    pub(super) letters: Range<usize>,
    pub(super) x: f32,
    pub(super) end_x: f32,
    pub(super) y: f32,
    pub(super) size: f32,
    /// Letters that are not blank.
    pub(super) marks: u32,
    pub(super) first: char,
    pub(super) last: char,
}

/// A gutter is at least this wide, and so is a gap between pieces.
pub(super) const GUTTER_EMS: f32 = 1.0;

/// Pieces that are less than this apart in height may stand beside each other: columns need not be level.
const LEVEL_EMS: f32 = 0.9;

/// Rows further apart than this have no gutters in common: a footer is no line of a column.
const STEP_EMS_MAX: f32 = 2.5;

/// Rows that have pieces on both sides of a gutter, at least.
const ROWS_MIN: usize = 3;

/// Rows of more pieces than this are no columns.
const PIECES_MAX: usize = 16;

/// Columns within columns.
const DEPTH_MAX: usize = 6;

/// Letters of a line of a column, at least, on average.
const MARKS_MIN: f32 = 10.0;

/// The same of scripts without capitals, whose letters may be words.
const IDEOGRAPHS_MIN: f32 = 6.0;

/// A line is full from this part of the widest one's width on.
const FULL: f32 = 0.7;

/// A step that is wider than most by this factor parts the rows of a table.
const BAND_STEP: f32 = 1.3;

/// Rows of a table have fewer lines than this, on average.
const BAND_LINES: usize = 5;

/// The pieces in the order in which they are read.
pub(super) fn in_reading_order(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut ordered = Vec::with_capacity(pieces.len());
    order(pieces, 0, &mut ordered);
    ordered
}

/// Pieces beside each other.
struct Row {
    pieces: Range<usize>,
    y: f32,
    size: f32,
    /// Where its letters stand, from the left; none if there are too many pieces to tell.
    spans: Vec<(f32, f32)>,
}

/// A strip that is free in some rows.
#[derive(Clone)]
struct Gutter {
    rows: Range<usize>,
    left: f32,
    right: f32,
    /// How many of the rows have pieces on both sides, and the last of them.
    both: usize,
    last_both: usize,
    /// Whether a row stands across it below.
    crossed: bool,
}

impl Gutter {
    fn middle(&self) -> f32 {
        f32::midpoint(self.left, self.right)
    }

    fn is_left(&self, piece: &Piece) -> bool {
        f32::midpoint(piece.x, piece.end_x) < self.middle()
    }
}

/// Puts columns one after the other, and those within them.
fn order(pieces: Vec<Piece>, depth: usize, ordered: &mut Vec<Piece>) {
    if depth == DEPTH_MAX || pieces.len() < 2 * ROWS_MIN {
        ordered.extend(pieces);
        return;
    }
    let rows = rows(&pieces);
    let mut regions = regions(&pieces, &rows);
    regions.sort_by_key(|region| region.rows.start);
    let mut pieces = pieces.into_iter();
    let mut at = 0;
    for region in regions {
        let (from, to) = (region.rows.start, region.rows.end);
        let before = rows[from].pieces.start - at;
        ordered.extend(pieces.by_ref().take(before));
        at = rows[to - 1].pieces.end;
        for band in &region.bands(&rows) {
            let band = &rows[band.clone()];
            let count: usize = band.iter().map(|row| row.pieces.len()).sum();
            let mut columns = vec![Vec::new(); region.gutters.len() + 1];
            for piece in pieces.by_ref().take(count) {
                let column = region
                    .gutters
                    .iter()
                    .filter(|gutter| !gutter.is_left(&piece));
                columns[column.count()].push(piece);
            }
            for column in columns {
                order(column, depth + 1, ordered);
            }
        }
    }
    ordered.extend(pieces);
}

/// Rows of pieces, which come in the order they were drawn.
fn rows(pieces: &[Piece]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let beside = rows.last().is_some_and(|row: &Row| {
            let em = row.size.max(piece.size);
            let step = (piece.y - row.y).abs();
            let room = || {
                let known = &pieces[row.pieces.clone()];
                known.len() <= PIECES_MAX
                    && known
                        .iter()
                        .all(|known| piece.x >= known.end_x || known.x >= piece.end_x)
            };
            step < 0.35 * em || step < LEVEL_EMS * em && room()
        });
        match rows.last_mut().filter(|_| beside) {
            Some(row) => {
                row.pieces.end = number + 1;
                row.size = row.size.min(piece.size);
            }
            None => rows.push(Row {
                pieces: number..number + 1,
                y: piece.y,
                size: piece.size,
                spans: Vec::new(),
            }),
        }
    }
    for row in &mut rows {
        if row.pieces.len() <= PIECES_MAX {
            row.spans = spans(&pieces[row.pieces.clone()]);
        }
    }
    rows
}

fn spans(pieces: &[Piece]) -> Vec<(f32, f32)> {
    let mut each: Vec<(f32, f32)> = pieces.iter().map(|piece| (piece.x, piece.end_x)).collect();
    each.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut spans: Vec<(f32, f32)> = Vec::new();
    for (x, end_x) in each {
        match spans.last_mut() {
            Some(last) if x <= last.1 => last.1 = last.1.max(end_x),
            _ => spans.push((x, end_x)),
        }
    }
    spans
}

/// Rows that have columns.
struct Region {
    rows: Range<usize>,
    gutters: Vec<Gutter>,
}

fn regions(pieces: &[Piece], rows: &[Row]) -> Vec<Region> {
    let mut gutters = gutters(rows);
    gutters.retain(|gutter| parts_columns(pieces, rows, gutter));
    // The longest first; those of the same rows are neighbours.
    gutters.sort_by_key(|gutter| (std::cmp::Reverse(gutter.rows.len()), gutter.rows.start));
    let mut taken = vec![false; rows.len()];
    let mut regions: Vec<Region> = Vec::new();
    for gutter in gutters {
        let last = regions.last_mut();
        if let Some(region) = last.filter(|region| region.rows == gutter.rows) {
            region.gutters.push(gutter);
        } else if taken[gutter.rows.clone()].iter().all(|taken| !taken) {
            taken[gutter.rows.clone()].fill(true);
            regions.push(Region {
                rows: gutter.rows.clone(),
                gutters: vec![gutter],
            });
        }
    }
    for region in &mut regions {
        region.cut_tail(rows);
    }
    regions
}

/// Every strip that is free in several rows, one below the other.
fn gutters(rows: &[Row]) -> Vec<Gutter> {
    let mut closed = Vec::new();
    let mut open: Vec<Gutter> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let far = number > 0 && {
            let above = &rows[number - 1];
            let (step, em) = (row.y - above.y, row.size.max(above.size));
            // What is above the row before is drawn apart from it.
            step > STEP_EMS_MAX * em || step < -LEVEL_EMS * em
        };
        if far || row.spans.is_empty() {
            closed.append(&mut open);
        }
        open.retain_mut(|gutter| {
            let free = free(gutter, &row.spans)
                .filter(|(left, right)| right - left >= GUTTER_EMS * row.size);
            let Some((left, right)) = free else {
                gutter.crossed = true;
                closed.push(gutter.clone());
                return false;
            };
            (gutter.left, gutter.right) = (left, right);
            gutter.rows.end = number + 1;
            let on_left = row.spans.first().is_some_and(|span| span.0 < left);
            let on_right = row.spans.last().is_some_and(|span| span.1 > right);
            if on_left && on_right {
                gutter.both += 1;
                gutter.last_both = number;
            }
            true
        });
        for pair in row.spans.windows(2) {
            let (left, right) = (pair[0].1, pair[1].0);
            let known = open
                .iter()
                .any(|gutter| left < gutter.right && gutter.left < right);
            if right - left >= GUTTER_EMS * row.size && !known && open.len() < PIECES_MAX {
                open.push(Gutter {
                    rows: number..number + 1,
                    left,
                    right,
                    both: 1,
                    last_both: number,
                    crossed: false,
                });
            }
        }
    }
    closed.append(&mut open);
    closed.retain(|gutter| gutter.both >= ROWS_MIN);
    closed
}

/// The widest part of a gutter that a row leaves free.
fn free(gutter: &Gutter, spans: &[(f32, f32)]) -> Option<(f32, f32)> {
    let mut widest: Option<(f32, f32)> = None;
    let mut left = gutter.left;
    let ends = [(gutter.right, gutter.right)];
    for (x, end_x) in spans.iter().chain(&ends) {
        let right = x.min(gutter.right);
        if widest.is_none_or(|(from, to)| right - left > to - from) {
            widest = Some((left, right));
        }
        left = left.max(*end_x);
        if left >= gutter.right {
            break;
        }
    }
    widest
}

impl Region {
    /// What is only on one side at the end may be what follows: a heading, short enough to leave the gutter free.
    fn cut_tail(&mut self, rows: &[Row]) {
        let gutters = self.gutters.iter();
        let Some(last) = gutters.clone().map(|gutter| gutter.last_both).max() else {
            return;
        };
        if !gutters.clone().any(|gutter| gutter.crossed) {
            return;
        }
        let tail = rows[last..self.rows.end].windows(2);
        let goes_on = tail.take_while(|pair| {
            let (above, row) = (&pair[0], &pair[1]);
            let similar = (row.size - above.size).abs() <= 0.12 * above.size;
            similar && row.y - above.y < super::LEADING_EMS_MAX * above.size
        });
        self.rows.end = last + 1 + goes_on.count();
    }

    /// The rows that are read together: all, or the lines of each row of a table.
    fn bands(&self, rows: &[Row]) -> Vec<Range<usize>> {
        let (from, to) = (self.rows.start, self.rows.end);
        let mut steps: Vec<f32> = rows[from..to]
            .windows(2)
            .map(|pair| pair[1].y - pair[0].y)
            .collect();
        let middle = steps.len() / 2;
        let usual = *steps.select_nth_unstable_by(middle, f32::total_cmp).1;
        let mut bands: Vec<Range<usize>> = Vec::new();
        for number in from..to {
            let goes_on = |band: &&mut Range<usize>| {
                let step = rows[number].y - rows[band.end - 1].y;
                step <= BAND_STEP * usual
            };
            match bands.last_mut().filter(goes_on) {
                Some(band) => band.end = number + 1,
                _ => bands.push(number..number + 1),
            }
        }
        let sides = bands
            .iter()
            .filter(|band| rows[(*band).clone()].iter().any(|row| row.spans.len() > 1));
        let is_table = bands.len() >= ROWS_MIN
            && to - from < BAND_LINES * bands.len()
            && 5 * sides.count() >= 4 * bands.len();
        match is_table {
            true => bands,
            false => vec![self.rows.clone()],
        }
    }
}

/// Whether what stands on either side of a gutter is text that goes on from row to row.
fn parts_columns(pieces: &[Piece], rows: &[Row], gutter: &Gutter) -> bool {
    let mut sides = [Side::default(), Side::default()];
    for row in &rows[gutter.rows.clone()] {
        let mut nearest: [Option<&Piece>; 2] = [None, None];
        for piece in &pieces[row.pieces.clone()] {
            let [left, right] = &mut nearest;
            if gutter.is_left(piece) {
                if left.is_none_or(|left| left.end_x < piece.end_x) {
                    *left = Some(piece);
                }
            } else if right.is_none_or(|right| piece.x < right.x) {
                *right = Some(piece);
            }
        }
        for (side, piece) in sides.iter_mut().zip(nearest) {
            if let Some(piece) = piece {
                side.add(piece);
            }
        }
    }
    sides.iter().all(Side::is_text)
}

/// The pieces beside a gutter, from the top.
#[derive(Default)]
struct Side {
    lines: usize,
    marks: u32,
    widths: Vec<f32>,
    last: Option<char>,
    /// Lines that go on where the one above stopped.
    going_on: usize,
    /// Lines that begin in a script without capitals.
    caseless: usize,
}

impl Side {
    fn add(&mut self, piece: &Piece) {
        self.lines += 1;
        self.marks += piece.marks;
        self.widths.push(piece.end_x - piece.x);
        let stopped = matches!(self.last, None | Some('.' | '!' | '?'));
        if !stopped && piece.first.is_lowercase() {
            self.going_on += 1;
        }
        let has_case = piece.first.is_lowercase() || piece.first.is_uppercase();
        if piece.first.is_alphabetic() && !has_case {
            self.caseless += 1;
        }
        self.last = Some(piece.last);
    }

    fn is_text(&self) -> bool {
        if self.lines < ROWS_MIN {
            return false;
        }
        let widest = self.widths.iter().copied().fold(0.0, f32::max);
        let full = self.widths.iter().filter(|width| **width >= FULL * widest);
        let is_filled = 2 * full.count() >= self.lines;
        let marks = self.marks as f32 / self.lines as f32;
        let reads_on = match 2 * self.caseless >= self.lines {
            true => marks >= IDEOGRAPHS_MIN,
            // A third: paragraphs may be short, and nouns have capitals in some languages.
            false => marks >= MARKS_MIN && 3 * self.going_on >= self.lines - 1,
        };
        is_filled && reads_on
    }
}

#[cfg(test)]
mod tests;
