use super::*;
use proptest::prelude::*;

/// A piece of a line of its own, from one place to another.
fn piece(number: usize, (x, end_x): (f32, f32), y: f32) -> Piece {
    Piece {
        line: number,
        letters: number..number + 1,
        x,
        end_x,
        y,
        size: 10.0,
        marks: 20,
        first: 'a',
        last: 'a',
    }
}

/// The numbers of the pieces as they are read.
fn order(pieces: Vec<Piece>) -> Vec<usize> {
    in_reading_order(pieces)
        .iter()
        .map(|piece| piece.line)
        .collect()
}

/// Two columns of `rows` rows, drawn row by row, whose lines begin like this.
fn columns(rows: usize, first: char, marks: u32) -> Vec<Piece> {
    let each = (0..2 * rows).map(|number| {
        let x = (number % 2) as f32 * 200.0;
        let y = (number / 2) as f32 * 12.0;
        Piece {
            first,
            last: first,
            marks,
            ..piece(number, (x, x + 180.0), y)
        }
    });
    each.collect()
}

#[test]
fn scripts_without_capitals_have_columns_and_tables() {
    let column_by_column: Vec<usize> = (0..8).step_by(2).chain((1..8).step_by(2)).collect();
    let row_by_row: Vec<usize> = (0..8).collect();
    for first in ['海', 'ש', 'ك'] {
        assert_eq!(order(columns(4, first, 18)), column_by_column, "{first}");
        assert_eq!(order(columns(4, first, 3)), row_by_row, "{first}");
    }
    for first in ['M', '7', '•'] {
        assert_eq!(order(columns(4, first, 18)), row_by_row, "{first}");
    }
}

#[test]
fn columns_of_few_rows_stay_as_they_were_drawn() {
    assert_eq!(order(columns(2, 'a', 18)), [0, 1, 2, 3]);
    assert_eq!(order(columns(3, 'a', 18)), [0, 2, 4, 1, 3, 5]);
}

/// If anything were done to each piece, row or gutter for each other one, this would not end.
#[test]
fn a_page_may_have_any_number_of_pieces() {
    const COUNT: usize = 400_000;
    // One row, which is not quite level, and whose gaps all rows below leave free.
    let mut pieces: Vec<Piece> = (0..COUNT)
        .map(|number| {
            let x = number as f32 * 40.0;
            piece(number, (x, x + 20.0), (number % 2) as f32 * 5.0)
        })
        .collect();
    // Rows of two pieces, of which every fourth closes the gutter.
    pieces.extend((0..COUNT).map(|number| {
        let (row, side) = (number / 2, number % 2);
        let from = side as f32 * 200.0;
        let to = if row % 4 == 3 { 400.0 } else { from + 180.0 };
        piece(COUNT + number, (from, to), (row + 1) as f32 * 12.0)
    }));
    // Rows of as many gaps as rows of columns may have, each row further to the right.
    pieces.extend((0..COUNT).map(|number| {
        let x = number as f32 * 40.0;
        let row = COUNT + number / PIECES_MAX;
        piece(2 * COUNT + number, (x, x + 20.0), row as f32 * 12.0)
    }));
    let mut read = order(pieces);
    read.sort_unstable();
    assert!(read.into_iter().eq(0..3 * COUNT));
}

proptest! {
    /// Whatever stands wherever is read, once.
    #[test]
    fn every_piece_is_read_once(
        places in prop::collection::vec((0_u8..12, 0_u8..5, 0_u8..40, any::<bool>()), 0..300),
        sorted in any::<bool>(),
    ) {
        let mut pieces: Vec<Piece> = places
            .iter()
            .map(|(x, width, y, low)| {
                let x = f32::from(*x) * 20.0;
                let mut piece = piece(0, (x, x + f32::from(*width) * 20.0), f32::from(*y) * 6.0);
                piece.first = if *low { 'a' } else { 'A' };
                piece
            })
            .collect();
        if sorted {
            pieces.sort_by(|a, b| a.y.total_cmp(&b.y));
        }
        for (number, piece) in pieces.iter_mut().enumerate() {
            piece.line = number;
        }
        let count = pieces.len();
        let mut read = order(pieces);
        read.sort_unstable();
        prop_assert!(read.into_iter().eq(0..count));
    }

    /// Places that are no numbers, or beyond all numbers, do no harm.
    #[test]
    fn places_may_be_anything(places in prop::collection::vec(any::<[f32; 4]>(), 0..100)) {
        let pieces: Vec<Piece> = places
            .iter()
            .enumerate()
            .map(|(number, [x, end_x, y, size])| Piece {
                size: *size,
                ..piece(number, (*x, *end_x), *y)
            })
            .collect();
        let mut read = order(pieces);
        read.sort_unstable();
        prop_assert!(read.into_iter().eq(0..places.len()));
    }
}
