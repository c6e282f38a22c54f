//! What can be wrong with an expression, and with one evaluation of it.

use std::fmt;

/// Why an expression was refused.
///
/// `Display` is one line; [`CompileError::render`] adds the source with a caret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct CompileError {
    pub kind: CompileErrorKind,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do about it, when there is something better to say than the message.
    pub hint: Option<&'static str>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line of the source at fault, shortened around the column.
    excerpt: String,
    /// Characters before the caret in `excerpt`.
    caret: usize,
}

/// The families of [`CompileError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileErrorKind {
    /// Not in the grammar.
    Syntax,
    /// A variable other than `event` and `async`.
    UnknownVariable,
    /// A function that does not exist, or not with these arguments.
    UnknownFunction,
    /// A literal pattern that does not compile, or is too large.
    Pattern,
    /// In the language, but not where waits and cancellations are declared.
    Restricted,
    /// Longer or deeper than [`crate::limits`] allow.
    TooLarge,
}

impl CompileErrorKind {
    /// A stable code for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "expression_syntax",
            Self::UnknownVariable => "expression_unknown_variable",
            Self::UnknownFunction => "expression_unknown_function",
            Self::Pattern => "expression_pattern_invalid",
            Self::Restricted => "expression_restricted",
            Self::TooLarge => "expression_too_large",
        }
    }
}

/// Characters of a long line shown on each side of the caret.
const EXCERPT_SIDE: usize = 60;

impl CompileError {
    /// An error at a byte offset of `source`; an offset past the end, or inside a character, is moved to the next place.
    pub(crate) fn at(
        source: &str,
        offset: usize,
        kind: CompileErrorKind,
        message: impl Into<String>,
    ) -> Self {
        let mut offset = offset.min(source.len());
        while !source.is_char_boundary(offset) {
            offset += 1;
        }
        let before = &source[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = source[line_start..].lines().next().unwrap_or_default();
        let characters_before = source[line_start..offset].chars().count();
        let skip = characters_before.saturating_sub(EXCERPT_SIDE);
        let excerpt = line_text
            .chars()
            .skip(skip)
            .take(2 * EXCERPT_SIDE)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self {
            kind,
            message: message.into(),
            hint: None,
            line: before.matches('\n').count() + 1,
            column: characters_before + 1,
            excerpt,
            caret: characters_before - skip,
        }
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Several lines for people: the message, the source with a caret under the place, and the hint.
    pub fn render(&self) -> impl fmt::Display + '_ {
        Rendered(self)
    }
}

struct Rendered<'a>(&'a CompileError);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        writeln!(f, "{error}")?;
        writeln!(f, "  | {}", error.excerpt)?;
        write!(f, "  | {:caret$}^", "", caret = error.caret)?;
        if let Some(hint) = error.hint {
            write!(f, "\n  = hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why an evaluation has no value.
///
/// Inside an argument or an operand most of these count as a missing value, so one reaches the caller only when the
/// outermost operation failed. The limits always do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("`{operator}` is not defined between {left} and {right}")]
    Operands {
        operator: &'static str,
        left: &'static str,
        right: &'static str,
    },
    #[error("`{function}` does not take {kind}")]
    Argument {
        function: &'static str,
        kind: &'static str,
    },
    #[error("`{function}` cannot make sense of what is in {kind}")]
    Unreadable {
        function: &'static str,
        kind: &'static str,
    },
    #[error("`{0}` divides by zero")]
    DivisionByZero(&'static str),
    #[error("the result of `{0}` is out of range")]
    OutOfRange(&'static str),
    #[error("the expression must be true or false, and is {0}")]
    NotBoolean(&'static str),
    #[error("the expression takes more than {max} steps on this event", max = crate::limits::STEPS_MAX)]
    Steps,
    #[error("a value is nested more than {max} levels deep", max = crate::limits::VALUE_DEPTH_MAX)]
    Depth,
}

impl EvalError {
    /// Limits stop the evaluation; every other error can count as a missing value.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Self::Steps | Self::Depth)
    }
}
