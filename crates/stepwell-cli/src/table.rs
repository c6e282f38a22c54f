//! Tables and values for people.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// The widest a column gets, but for the last.
const COLUMN_MAX: usize = 48;

/// Rows under headings, in columns as wide as need be.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| heading.to_uppercase())
                    .collect(),
            ],
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| plain(&cell));
        self.rows.push(cells.collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
                .min(COLUMN_MAX)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let cell = if last {
                    cell.clone()
                } else {
                    shortened(cell, COLUMN_MAX)
                };
                let pad = if last {
                    0
                } else {
                    widths[column].saturating_sub(cell.width()) + 2
                };
                line.push_str(&format!("{cell}{:pad$}", ""));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.pop();
        text
    }
}

/// Text without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            character if character.is_control() => {
                shown.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            character => shown.push(character),
        }
    }
    shown
}

/// Text of at most so many characters.
pub(crate) fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let mut short: String = text
        .chars()
        .take(characters_max.saturating_sub(1))
        .collect();
    short.push('…');
    short
}

/// A text field of an object; empty when it is not there.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A moment as people read it: to the second, in UTC.
pub(crate) fn moment(value: &Value, pointer: &str) -> String {
    let text = text(value, pointer);
    match text.split_once('T') {
        Some((day, time)) => {
            let time = time.trim_end_matches('Z');
            format!("{day} {}", time.split('.').next().unwrap_or(time))
        }
        None => text,
    }
}

/// Milliseconds as people read them.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {:02}h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let mut table = Table::new(&["name", "what"]);
        table.row(["日本".to_owned(), "wide".to_owned()]);
        table.row(["a".repeat(60), "long\nwith a break".to_owned()]);
        table.row(["\u{1b}[31mred".to_owned(), String::new()]);
        let expected = format!(
            "{:<50}WHAT\n日本{:46}wide\n{}…  long\\nwith a break\n\\u{{1b}}[31mred",
            "NAME",
            "",
            "a".repeat(47)
        );
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn durations_are_as_long_as_they_need() {
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (10_300, "10.3 s"),
            (125_000, "2m 05s"),
            (3_720_000, "1h 02m"),
            (90_000_000, "1d 01h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }
}
