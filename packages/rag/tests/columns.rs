//! Pages that are drawn row by row, across their columns: what is read first.

use std::fmt::Write;
use studio233_ai::Document;
use studio233_rag::pdf::{PdfLimits, PdfReader};

/// The width of a letter of 10 points in `/F3`.
const LETTER: f32 = 6.0;
const LEADING: f32 = 12.0;
const LEFT: f32 = 40.0;

const TIDE: &str = "Every board stands on a grid of six columns. Keep the outer columns empty, and let the horizon \
    run through all six of them, at one height. The path is named once, above the horizon, and nowhere else on it.";
const DUNE: &str = "Write short sentences. Say what is closed before you say what is open, and name the nearest other \
    path. Whoever reads a sign stands in the wind, and wants to go on before the tide is back again.";
const WIND: &str = "Bags are made of sailcloth that has been at sea, and no two of them are alike. The tag shows one \
    colour and nothing else. Wash it cold, or leave it in the rain for a night, and let it dry in the wind.";

/// What a page draws, a call after the other.
#[derive(Default)]
struct Drawing(String);

impl Drawing {
    fn text(&mut self, x: f32, y: f32, text: &str) {
        self.sized(10.0, x, y, text);
    }

    fn sized(&mut self, size: f32, x: f32, y: f32, text: &str) {
        writeln!(self.0, "BT /F3 {size} Tf {x} {y} Td ({text}) Tj ET").unwrap();
    }

    /// Columns line by line: the first lines of all, the second lines of all …
    fn rows(&mut self, top: f32, columns: &[(f32, &[String])]) {
        let rows = columns.iter().map(|(_, lines)| lines.len()).max().unwrap();
        for row in 0..rows {
            for (x, lines) in columns {
                if let Some(line) = lines.get(row) {
                    self.text(*x, top - row as f32 * LEADING, line);
                }
            }
        }
    }

    async fn read(&self) -> Document {
        let file = testbed::pdf::pages((600, 800), &[&self.0], "");
        let limits = PdfLimits {
            images_max: 0,
            ..PdfLimits::default()
        };
        PdfReader::new(limits)
            .read("brand.pdf", file.into())
            .await
            .unwrap()
    }

    async fn texts(&self) -> Vec<String> {
        let document = self.read().await;
        let blocks = document.pages[0].blocks.iter();
        blocks.map(|block| block.text.clone()).collect()
    }
}

/// Lines of at most so many letters.
fn set(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= letters {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Where a column starts that follows this many columns of this many letters, with a gutter of 18 points.
fn column(number: u8, letters: usize) -> f32 {
    LEFT + f32::from(number) * (letters as f32 * LETTER + 18.0)
}

#[tokio::test]
async fn two_columns_under_a_heading_are_read_one_after_the_other() {
    let mut page = Drawing::default();
    page.sized(16.0, LEFT, 740.0, "How Marram speaks on its boards");
    let (left, right) = (set(TIDE, 34), set(DUNE, 34));
    page.rows(710.0, &[(column(0, 34), &left), (column(1, 34), &right)]);
    page.text(LEFT, 40.0, "Marram brand guide");
    page.text(470.0, 40.0, "12");
    assert_eq!(
        page.texts().await,
        [
            "How Marram speaks on its boards",
            TIDE,
            DUNE,
            "Marram brand guide",
            "12"
        ]
    );
}

#[tokio::test]
async fn a_piece_of_two_columns_speaks_of_one() {
    let mut page = Drawing::default();
    let (left, right) = (set(TIDE, 34), set(DUNE, 34));
    page.rows(710.0, &[(column(0, 34), &left), (column(1, 34), &right)]);
    let chunks = studio233_rag::Chunker::new(200, 20)
        .unwrap()
        .chunks(&page.read().await);
    for sentence in [
        "Keep the outer columns empty, and let the horizon run through all six of them",
        "Say what is closed before you say what is open, and name the nearest other path.",
    ] {
        assert!(
            chunks.iter().any(|chunk| chunk.text.contains(sentence)),
            "{chunks:#?}"
        );
    }
}

#[tokio::test]
async fn three_columns_of_unlike_length_are_read_one_after_the_other() {
    let mut page = Drawing::default();
    let (first, second) = (set(TIDE, 22), set(DUNE, 22));
    let third = set(WIND, 22)[..6].to_vec();
    let columns: [(f32, &[String]); 3] = [
        (column(0, 22), &first),
        (column(1, 22), &second),
        (column(2, 22), &third),
    ];
    page.rows(710.0, &columns);
    assert_eq!(page.texts().await, [TIDE, DUNE, &third.join(" ")]);
}

#[tokio::test]
async fn sections_of_columns_are_read_from_the_top() {
    let mut page = Drawing::default();
    let [tide, dune, wind] = [TIDE, DUNE, WIND].map(|text| set(text, 34));
    page.rows(740.0, &[(column(0, 34), &tide), (column(1, 34), &dune)]);
    page.text(
        LEFT,
        640.0,
        "And this is what all of them have in common, whichever of them it is.",
    );
    page.rows(610.0, &[(column(0, 34), &wind), (column(1, 34), &tide)]);
    assert_eq!(
        page.texts().await,
        [
            TIDE,
            DUNE,
            "And this is what all of them have in common, whichever of them it is.",
            WIND,
            TIDE
        ]
    );
}

#[tokio::test]
async fn columns_whose_lines_are_not_level_are_read_one_after_the_other() {
    let mut page = Drawing::default();
    let (left, right) = (set(TIDE, 34), set(DUNE, 34));
    for (row, (left, right)) in left.iter().zip(&right).enumerate() {
        let y = 710.0 - row as f32 * LEADING;
        page.text(column(0, 34), y, left);
        page.text(column(1, 34), y - 5.0, right);
    }
    let shown = left.len().min(right.len());
    assert_eq!(
        page.texts().await,
        [left[..shown].join(" "), right[..shown].join(" ")]
    );
}

#[tokio::test]
async fn columns_that_are_one_string_a_row_are_told_apart() {
    let mut page = Drawing::default();
    let (left, right) = (set(TIDE, 34), set(DUNE, 34));
    for (row, (left, right)) in left.iter().zip(&right).enumerate() {
        let y = 710.0 - row as f32 * LEADING;
        page.text(LEFT, y, &format!("{left:37}{right}"));
    }
    let shown = left.len().min(right.len());
    assert_eq!(
        page.texts().await,
        [left[..shown].join(" "), right[..shown].join(" ")]
    );
}

#[tokio::test]
async fn rows_of_a_table_keep_their_cells() {
    let rows = [
        ["Ember", "#E4572E", "leads every piece we make"],
        ["Night", "#17263C", "for body text and frames"],
        ["Sage", "#7FA08A", "for maps and for charts"],
        ["Sun", "#F2B134", "where something is new"],
        ["Sand", "#F6EFE3", "behind all of the others"],
    ];
    let mut narrow = Drawing::default();
    let mut wide = Drawing::default();
    for (number, row) in rows.iter().enumerate() {
        let y = 700.0 - number as f32 * 16.0;
        for (cell, (near, far)) in row
            .iter()
            .zip([(40.0, 40.0), (90.0, 160.0), (150.0, 320.0)])
        {
            narrow.text(near, y, cell);
            wide.text(far, y, cell);
        }
    }
    let joined = narrow.texts().await.join("\n");
    for row in rows {
        assert!(joined.contains(&row.join(" ")), "{joined}");
    }
    let cells: Vec<&str> = rows.iter().flatten().copied().collect();
    assert_eq!(wide.texts().await, cells);
}

#[tokio::test]
async fn cells_of_small_words_keep_their_rows() {
    let short = [
        ("ember", "leads"),
        ("night", "reads"),
        ("sages", "draws"),
        ("sands", "rests"),
    ];
    // Of these, most are short, and one is long.
    let unlike = [
        ("for posters and for boards", "as large as the wind allows"),
        ("for letters", "ten points"),
        ("for captions", "seven or so"),
        ("for tables", "seven too"),
        ("for maps", "by hand"),
    ];
    for (rows, second) in [(&short[..], 88.0), (&unlike, 214.0)] {
        let mut page = Drawing::default();
        for (number, (left, right)) in rows.iter().enumerate() {
            let y = 700.0 - number as f32 * LEADING;
            page.text(40.0, y, left);
            page.text(second, y, right);
        }
        let cells: Vec<&str> = rows
            .iter()
            .flat_map(|(left, right)| [*left, *right])
            .collect();
        assert_eq!(page.texts().await.join(" "), cells.join(" "));
    }
}

/// Both cells of each row are long, and none goes on in the next row.
#[tokio::test]
async fn rows_of_whole_phrases_keep_their_cells() {
    let rows = [
        ["Headlines on all posters", "Sora SemiBold at 32 points"],
        ["Body text of every letter", "EB Garamond at 10 points"],
        ["Captions below a picture", "Inter Regular at 7 points"],
        ["Numbers on every poster", "Sora SemiBold at 60 points"],
    ];
    let mut page = Drawing::default();
    for (number, row) in rows.iter().enumerate() {
        let y = 700.0 - number as f32 * LEADING;
        page.text(40.0, y, row[0]);
        page.text(210.0, y, row[1]);
    }
    let text = page.texts().await.join("\n");
    for row in rows {
        assert!(text.contains(&row.join(" ")), "{text}");
    }
}

#[tokio::test]
async fn cells_of_several_lines_are_read_row_by_row() {
    let rows = [
        (
            "Every board stands on a grid of six columns, and so does each sign",
            "Keep the outer columns empty, and let the horizon run through all",
        ),
        (
            "Signs are set in one size, whatever they have to say to people",
            "Headlines stand alone on their line and end without a full stop",
        ),
        (
            "Say what is closed before you say what is open to all of them",
            "Name the nearest other path, and how long it is by foot or wheel",
        ),
        (
            "The logo must never be tilted, and never be set on a photograph",
            "Keep a clear space of one blade around the logo, on all its sides",
        ),
    ];
    let mut page = Drawing::default();
    let mut top = 710.0;
    for (left, right) in rows {
        let (left, right) = (set(left, 34), set(right, 34));
        page.rows(top, &[(column(0, 34), &left), (column(1, 34), &right)]);
        top -= left.len().max(right.len()) as f32 * LEADING + 8.0;
    }
    let cells: Vec<&str> = rows
        .iter()
        .flat_map(|(left, right)| [*left, *right])
        .collect();
    assert_eq!(page.texts().await, cells);
}

#[tokio::test]
async fn three_cells_of_several_lines_are_read_row_by_row() {
    let rows = [
        [
            "Every board stands on a grid of six columns",
            "Keep the outer columns empty on all of them",
            "Let the horizon run through at one height",
        ],
        [
            "Signs are set in one size for all people",
            "Headlines stand alone on their own line",
            "They end without a full stop or a dash",
        ],
        [
            "Say what is closed before what is open",
            "Name the nearest other path to the sea",
            "Say how long it is by foot or by wheel",
        ],
    ];
    let mut page = Drawing::default();
    for (number, cells) in rows.iter().enumerate() {
        let cells = cells.map(|cell| set(cell, 22));
        let columns = [0, 1, 2].map(|n: u8| (column(n, 22), &cells[usize::from(n)][..]));
        page.rows(710.0 - number as f32 * 32.0, &columns);
    }
    assert_eq!(page.texts().await, rows.concat());
}

#[tokio::test]
async fn justified_text_with_wide_gaps_is_one_column() {
    // Words are up to two letters apart, and every third gap is where it was in the line above.
    let mut page = Drawing::default();
    let lines = set(TIDE, 44);
    for (row, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let spare = (46 - line.len()) as f32 * LETTER;
        let gap = LETTER + spare.min(40.0) / (words.len() - 1) as f32;
        let mut x = LEFT;
        for word in words {
            page.text(x, 710.0 - row as f32 * LEADING, word);
            x += word.len() as f32 * LETTER + gap;
        }
    }
    assert_eq!(page.texts().await, [TIDE]);
    // Two words stand apart in every line, the second mostly below those above it.
    let mut page = Drawing::default();
    let words: Vec<&str> = TIDE.split_whitespace().collect();
    for (row, words) in words.chunks(2).enumerate() {
        let y = 710.0 - row as f32 * LEADING;
        page.text(LEFT, y, words[0]);
        if let Some(word) = words.get(1) {
            let width = words[0].len() as f32 * LETTER;
            page.text(LEFT + width + (60.0 - width).clamp(12.0, 34.0), y, word);
        }
    }
    assert_eq!(page.texts().await, [TIDE]);
}

#[tokio::test]
async fn lists_keep_their_bullets_and_numbers() {
    let mut page = Drawing::default();
    let items = [
        "Shoot at low tide, in flat light.",
        "Never stage people on the path.",
        "Leave the horizon where it is.",
    ];
    for (number, item) in items.iter().enumerate() {
        let y = 710.0 - number as f32 * 2.0 * LEADING;
        page.text(LEFT, y, &format!("{}.", number + 1));
        page.text(LEFT + 30.0, y, item);
        page.text(LEFT + 30.0, y - LEADING, "and say why you did");
    }
    assert_eq!(
        page.texts().await.join(" "),
        "1. Shoot at low tide, in flat light. and say why you did 2. Never stage people on the path. and say why you did \
         3. Leave the horizon where it is. and say why you did"
    );
}

#[tokio::test]
async fn captions_side_by_side_are_read_one_after_the_other() {
    let mut page = Drawing::default();
    page.0
        .push_str("q 204 0 0 100 40 720 cm /I Do Q q 204 0 0 100 262 720 cm /I Do Q\n");
    let left = "The long board at the northern gate, which was set up in March and painted in Dune Green by two people";
    let right = "The same board after the first winter: sand has taken the foot of it, and the colour has kept";
    let (left_lines, right_lines) = (set(left, 34), set(right, 34));
    page.rows(
        700.0,
        &[(column(0, 34), &left_lines), (column(1, 34), &right_lines)],
    );
    assert_eq!(page.texts().await, [left, right]);
}

/// What was drawn column by column was right before.
#[tokio::test]
async fn columns_that_are_drawn_whole_stay_as_they_are() {
    let mut page = Drawing::default();
    let (left, right) = (set(TIDE, 34), set(DUNE, 34));
    page.rows(710.0, &[(column(1, 34), &right)]);
    page.rows(710.0, &[(column(0, 34), &left)]);
    assert_eq!(page.texts().await, [DUNE, TIDE]);
}

/// A heading that is too short to stand across the gutter belongs to what follows it.
#[tokio::test]
async fn a_short_heading_below_columns_follows_them() {
    let mut page = Drawing::default();
    let [tide, dune] = [TIDE, DUNE].map(|text| set(text, 34));
    page.rows(740.0, &[(column(0, 34), &tide), (column(1, 34), &dune)]);
    let below = 740.0 - tide.len().max(dune.len()) as f32 * LEADING;
    page.sized(14.0, LEFT, below - 8.0, "Bags");
    for (row, line) in set(WIND, 70).iter().enumerate() {
        page.text(LEFT, below - 28.0 - row as f32 * LEADING, line);
    }
    assert_eq!(page.texts().await, [TIDE, DUNE, "Bags", WIND]);
}

/// A frame of columns that is drawn before the one above it.
#[tokio::test]
async fn frames_are_read_as_they_were_drawn() {
    let mut page = Drawing::default();
    let [tide, dune, wind] = [TIDE, DUNE, WIND].map(|text| set(text, 34));
    page.rows(610.0, &[(column(0, 34), &wind), (column(1, 34), &dune)]);
    page.rows(710.0, &[(column(0, 34), &tide), (column(1, 34), &wind)]);
    assert_eq!(page.texts().await, [WIND, DUNE, TIDE, WIND]);
}

/// Places and gaps without number.
#[tokio::test]
async fn a_page_of_scattered_letters_is_read() {
    let mut page = Drawing::default();
    let apart = "(a) -3000 ".repeat(5_000);
    writeln!(page.0, "BT /F3 1 Tf 0 780 Td [{apart}] TJ ET").unwrap();
    page.0.push_str("BT /F3 1 Tf 0 779 Td\n");
    for _ in 0..3_000 {
        page.0.push_str("(ab) Tj 20 0 Td (ab) Tj -20 -.2 Td\n");
    }
    page.0.push_str("ET\n");
    let text = page.texts().await.concat();
    let letters = |letter| text.chars().filter(|c| *c == letter).count();
    assert_eq!((letters('a'), letters('b')), (11_000, 6_000));
}
