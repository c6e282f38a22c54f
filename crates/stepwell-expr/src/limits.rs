//! What an expression may cost. Expressions and events both come from outside.

/// Longest source of an expression somebody writes, in bytes. Real ones are below 500.
pub const SOURCE_BYTES_MAX: usize = 8 * 1024;

/// Longest source after event values were put in, in bytes: an interpolated expression is stored with each wait and
/// lives in memory until it ends.
pub const INTERPOLATED_BYTES_MAX: usize = 64 * 1024;

/// Deepest syntax tree: brackets, ternaries and the links of a chain (`a.b.c`, `a + b + c`) above one leaf. Parsing,
/// evaluating and dropping recurse this deep and must fit a 2 MiB thread in a debug build.
pub const DEPTH_MAX: usize = 160;

/// Longest regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// Largest compiled regular expression, in bytes. Matching is linear in the text; this bounds the factor.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Work of one evaluation. A node, a comparison and a list element are one step each, and so are each
/// [`STEP_BYTES`] bytes of text read or made: at most 4 MiB of new text. Some tens of milliseconds at worst.
pub const STEPS_MAX: u32 = 250_000;

/// Bytes of text that count as one step.
pub const STEP_BYTES: usize = 16;

/// Steps to compile a pattern that is not a literal.
pub(crate) const PATTERN_STEPS: u32 = 2_000;

/// Deepest value that is compared or rendered. JSON from the wire has at most 128 levels.
pub(crate) const VALUE_DEPTH_MAX: usize = 256;

/// Steps for each [`STEP_BYTES`] of text that `json_parse` turns into values, which are several times larger.
pub(crate) const JSON_PARSE_FACTOR: usize = 4;
