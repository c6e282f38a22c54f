//! Just enough of Rust's lexical structure to tell code from comments, strings and test modules.

/// The same lines with comments, and the content of strings and characters, replaced by spaces.
pub(crate) fn without_comments_and_strings(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skipped_until(&characters, at);
        if end == at {
            code.push(characters[at]);
            at += 1;
        } else {
            code.extend(
                characters[at..end]
                    .iter()
                    .map(|character| if *character == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment, string or character that begins at `start` ends; `start` itself if none does.
fn skipped_until(characters: &[char], start: usize) -> usize {
    let next = |offset: usize| characters.get(start + offset).copied();
    let follows_word =
        start > 0 && (characters[start - 1].is_alphanumeric() || characters[start - 1] == '_');
    match (characters[start], next(1)) {
        ('/', Some('/')) => {
            find(characters, start, |rest| rest[0] == '\n').unwrap_or(characters.len())
        }
        ('/', Some('*')) => end_of_block_comment(characters, start),
        ('"', _) => end_of_quoted(characters, start, '"'),
        ('r' | 'b' | 'c', _) if !follows_word => end_of_prefixed(characters, start),
        // A lifetime has no closing quote two or more characters on.
        ('\'', Some('\\')) => end_of_quoted(characters, start, '\''),
        ('\'', Some(_)) if next(2) == Some('\'') => start + 3,
        _ => start,
    }
}

/// A string with the prefix `r`, `b`, `c`, `br` or `cr`; `start` if it is a plain word.
fn end_of_prefixed(characters: &[char], start: usize) -> usize {
    let mut at = start;
    while matches!(characters.get(at), Some('r' | 'b' | 'c')) && at - start < 2 {
        at += 1;
    }
    let is_raw = characters[start..at].contains(&'r');
    let hashes = characters[at..]
        .iter()
        .take_while(|character| **character == '#')
        .count();
    match characters.get(at + hashes) {
        Some('"') if is_raw => {
            let ends = |rest: &[char]| {
                rest[0] == '"'
                    && rest[1..]
                        .iter()
                        .take_while(|character| **character == '#')
                        .count()
                        >= hashes
            };
            find(characters, at + hashes + 1, ends)
                .map_or(characters.len(), |quote| quote + 1 + hashes)
        }
        Some('"') if hashes == 0 => end_of_quoted(characters, at, '"'),
        Some('\'') if hashes == 0 && characters[start..at] == ['b'] => {
            end_of_quoted(characters, at, '\'')
        }
        _ => start,
    }
}

fn end_of_quoted(characters: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            character if character == quote => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

fn end_of_block_comment(characters: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < characters.len() {
        match (characters[at], characters.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    characters.len()
}

/// The first place from `start` on where `holds` of the rest.
fn find(characters: &[char], start: usize, holds: impl Fn(&[char]) -> bool) -> Option<usize> {
    (start..characters.len()).find(|at| holds(&characters[*at..]))
}

/// Code (without comments and strings) minus its `#[cfg(test)] mod … { … }`.
pub(crate) fn without_test_modules(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, marked) = rest.split_at(start);
        kept.push_str(before);
        rest = &marked[end_of_item(marked)..];
    }
    kept.push_str(rest);
    kept
}

/// Where the item at the beginning of `code` ends: after its first `;`, or after the braces that open before one.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}
