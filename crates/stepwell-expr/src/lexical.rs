//! A scan of the tokens before the parser sees the source: refuses what is not in the grammar with a column and a hint,
//! and measures the depth, which the parser would only find by recursing into it.

use crate::error::{CompileError, CompileErrorKind};
use crate::limits::DEPTH_MAX;

/// A token's text and where it starts, in bytes. White space and comments are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    pub(crate) offset: usize,
}

/// The tokens of `source`, which is known to be no deeper than [`DEPTH_MAX`].
pub(crate) fn scan(source: &str) -> Result<Vec<Token<'_>>, CompileError> {
    let mut scanner = Scanner { source, offset: 0 };
    let mut tokens = Vec::new();
    let mut depth = Depth::default();
    while let Some(token) = scanner.next()? {
        depth.enter(source, token)?;
        tokens.push(token);
    }
    depth.finish(source)?;
    if tokens.is_empty() {
        return Err(syntax(source, 0, "the expression is empty"));
    }
    Ok(tokens)
}

fn syntax(source: &str, offset: usize, message: impl Into<String>) -> CompileError {
    CompileError::at(source, offset, CompileErrorKind::Syntax, message)
}

struct Scanner<'s> {
    source: &'s str,
    offset: usize,
}

const OPERATORS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "?", ":", ".", ",", "+", "-", "*", "/", "%",
    "(", ")", "[", "]", "{", "}", "`",
];

impl<'s> Scanner<'s> {
    fn next(&mut self) -> Result<Option<Token<'s>>, CompileError> {
        self.skip_blank();
        let start = self.offset;
        let rest = &self.source[start..];
        let Some(first) = rest.chars().next() else {
            return Ok(None);
        };
        if first == '"' || first == '\'' {
            self.string(false)?;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let word = rest.len() - rest.trim_start_matches(is_word).len();
            self.offset += word;
            let quoted = self.source[self.offset..].starts_with(['"', '\'']);
            let prefix = rest[..word].to_ascii_lowercase();
            if quoted && matches!(prefix.as_str(), "r" | "b" | "br" | "rb") {
                self.string(prefix.contains('r'))?;
            }
        } else if first.is_ascii_digit() {
            self.number();
        } else if let Some(operator) = OPERATORS.iter().find(|text| rest.starts_with(**text)) {
            if *operator == "`" {
                return Err(syntax(self.source, start, "unexpected '`'").hint(OTHER_NAMES));
            }
            self.offset += operator.len();
        } else {
            let error = syntax(
                self.source,
                start,
                format!("unexpected '{}'", first.escape_debug()),
            );
            return Err(match first {
                '=' => error.hint("write `==` to compare"),
                '&' => error.hint("write `&&` for \"and\""),
                _ if first.is_alphanumeric() => error.hint(OTHER_NAMES),
                '|' => error.hint("write `||` for \"or\""),
                _ => error,
            });
        }
        Ok(Some(Token {
            text: &self.source[start..self.offset],
            offset: start,
        }))
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = &self.source[self.offset..];
            let blank = rest.len()
                - rest
                    .trim_start_matches([' ', '\t', '\r', '\n', '\x0c'])
                    .len();
            self.offset += blank;
            let rest = &rest[blank..];
            if !rest.starts_with("//") {
                return;
            }
            self.offset += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn number(&mut self) {
        let bytes = self.source.as_bytes();
        let hexadecimal = self.source[self.offset..].starts_with("0x");
        let mut previous = b' ';
        while let Some(&byte) = bytes.get(self.offset) {
            let digit_follows = bytes.get(self.offset + 1).is_some_and(u8::is_ascii_digit);
            let belongs = byte.is_ascii_alphanumeric()
                || (byte == b'.' && digit_follows)
                || (matches!(byte, b'+' | b'-') && matches!(previous, b'e' | b'E') && !hexadecimal);
            if !belongs {
                return;
            }
            previous = byte;
            self.offset += 1;
        }
    }

    /// A string from its opening quote on.
    fn string(&mut self, raw: bool) -> Result<(), CompileError> {
        let start = self.offset;
        let quote = &self.source[start..=start];
        let triple = quote.repeat(3);
        let closing = if self.source[start..].starts_with(&triple) {
            triple.as_str()
        } else {
            quote
        };
        self.offset += closing.len();
        loop {
            let rest = &self.source[self.offset..];
            if rest.starts_with(closing) {
                self.offset += closing.len();
                return Ok(());
            }
            match rest.chars().next() {
                None => return Err(syntax(self.source, start, "this string is not closed")),
                Some('\n' | '\r') if closing.len() == 1 => {
                    return Err(syntax(
                        self.source,
                        start,
                        "this string is not closed on its line",
                    ));
                }
                Some('\\') if !raw => self.escape()?,
                Some(character) => self.offset += character.len_utf8(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), CompileError> {
        let rest = &self.source.as_bytes()[self.offset + 1..];
        let digits = |from: usize, count: usize, radix: u32| {
            rest.len() >= from + count
                && rest[from..from + count]
                    .iter()
                    .all(|byte| char::from(*byte).is_digit(radix))
        };
        let length = match rest.first() {
            Some(
                b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`',
            ) => 1,
            Some(b'x' | b'X') if digits(1, 2, 16) => 3,
            Some(b'u') if digits(1, 4, 16) => 5,
            Some(b'U') if digits(1, 8, 16) => 9,
            Some(b'0'..=b'3') if digits(0, 3, 8) => 3,
            _ => {
                return Err(
                    syntax(self.source, self.offset, "this escape does not exist")
                        .hint("write `\\\\` for one backslash, or a raw string r\"…\""),
                );
            }
        };
        self.offset += 1 + length;
        Ok(())
    }
}

const OTHER_NAMES: &str =
    "write `event.data[\"some-name\"]` for names with other than a-z, 0-9 and _";

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// How deep the syntax tree above the current token can be.
#[derive(Default)]
struct Depth<'s> {
    open: Vec<Level<'s>>,
    innermost: Links,
}

struct Level<'s> {
    bracket: Token<'s>,
    around: Links,
}

/// What stacks up beside each other in one bracket: the operators of a chain and the ternaries it stands in.
#[derive(Default, Clone, Copy)]
struct Links {
    chain: usize,
    ternaries: usize,
}

impl<'s> Depth<'s> {
    fn enter(&mut self, source: &str, token: Token<'s>) -> Result<(), CompileError> {
        match token.text {
            "(" | "[" | "{" => {
                self.innermost.chain += 1;
                self.open.push(Level {
                    bracket: token,
                    around: std::mem::take(&mut self.innermost),
                });
            }
            ")" | "]" | "}" => {
                let opens = match token.text {
                    ")" => "(",
                    "]" => "[",
                    _ => "{",
                };
                match self.open.pop() {
                    Some(level) if level.bracket.text == opens => self.innermost = level.around,
                    Some(level) => {
                        let message =
                            format!("`{}` does not close `{}`", token.text, level.bracket.text);
                        return Err(syntax(source, token.offset, message));
                    }
                    None => {
                        let message = format!("`{}` closes nothing", token.text);
                        return Err(syntax(source, token.offset, message));
                    }
                }
            }
            "," => self.innermost = Links::default(),
            // The parser balances conjunctions, so their operands do not stack.
            "&&" | "||" | ":" => self.innermost.chain = 0,
            "?" => {
                self.innermost.chain = 0;
                self.innermost.ternaries += 1;
            }
            "." | "+" | "-" | "*" | "/" | "%" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" => {
                self.innermost.chain += 1;
            }
            _ => {}
        }
        let depth = self
            .open
            .iter()
            .map(|level| level.around)
            .chain([self.innermost])
            .map(|links| links.chain + links.ternaries)
            .fold(0, usize::saturating_add);
        if depth > DEPTH_MAX {
            let message = format!("the expression is nested more than {DEPTH_MAX} levels deep");
            return Err(CompileError::at(
                source,
                token.offset,
                CompileErrorKind::TooLarge,
                message,
            ));
        }
        Ok(())
    }

    fn finish(&self, source: &str) -> Result<(), CompileError> {
        match self.open.last() {
            None => Ok(()),
            Some(level) => {
                let message = format!("`{}` is not closed", level.bracket.text);
                Err(syntax(source, level.bracket.offset, message))
            }
        }
    }
}
