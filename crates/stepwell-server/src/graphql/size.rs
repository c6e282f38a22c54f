//! How large a question is with its fragments written out, told without writing them out.
//!
//! The rules that async-graphql holds questions to walk fragments once for each time that they are named, which is
//! exponential in their number. So a question's size is known before it is held to any.

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Error, Name, Result};
use std::collections::HashMap;

/// Fields and fragments of a question, with fragments counted wherever they are named.
const SIZE_MAX: usize = 20_000;
/// Fragments that a question defines. What follows one into the next recurses.
const FRAGMENTS_MAX: usize = 200;
/// Braces, brackets and parentheses within each other. The parser recurses as deep before it looks at its own limit.
const NESTING_MAX: usize = 200;

/// Refuses a question that cannot be parsed on any stack. Those within texts and comments count, too, as only what
/// parses tells them apart: texts that hold so many belong into variables.
pub(super) fn check_text(question: &str) -> Result<()> {
    let mut nesting = 0_usize;
    for byte in question.bytes() {
        match byte {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting > NESTING_MAX {
            return Err(Error::new("Query is nested too deep."));
        }
    }
    Ok(())
}

/// Refuses a question that is too large or names a fragment within itself.
pub(super) fn check(question: &ExecutableDocument) -> Result<()> {
    if question.fragments.len() > FRAGMENTS_MAX {
        return Err(Error::new("Query has too many fragments."));
    }
    let mut sizes = Sizes {
        question,
        known: HashMap::new(),
    };
    let mut size = 0_usize;
    for (_, operation) in question.operations.iter() {
        size = size.saturating_add(sizes.of(&operation.node.selection_set.node)?);
    }
    // Those that no operation names are walked by some rules as well.
    for name in question.fragments.keys() {
        sizes.of_fragment(name)?;
    }
    if size > SIZE_MAX {
        return Err(Error::new("Query is too large."));
    }
    Ok(())
}

struct Sizes<'q> {
    question: &'q ExecutableDocument,
    /// Nothing while a fragment is being walked.
    known: HashMap<&'q str, Option<usize>>,
}

impl<'q> Sizes<'q> {
    fn of(&mut self, selections: &'q SelectionSet) -> Result<usize> {
        let mut size = 0_usize;
        for selection in &selections.items {
            let below = match &selection.node {
                Selection::Field(field) => self.of(&field.node.selection_set.node)?,
                Selection::InlineFragment(inline) => self.of(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    self.of_fragment(&spread.node.fragment_name.node)?
                }
            };
            size = size.saturating_add(below).saturating_add(1);
        }
        Ok(size)
    }

    /// One that is not there has no size; what holds questions to the schema says so.
    fn of_fragment(&mut self, name: &Name) -> Result<usize> {
        let Some((name, fragment)) = self.question.fragments.get_key_value(name) else {
            return Ok(0);
        };
        match self.known.get(name.as_str()) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                let message = format!("Fragment \"{name}\" names itself.");
                return Err(Error::new(message));
            }
            None => {}
        }
        self.known.insert(name, None);
        let size = self.of(&fragment.node.selection_set.node)?;
        self.known.insert(name, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    fn message(question: &str) -> String {
        let parsed = check_text(question)
            .and_then(|()| parse_query(question).map_err(Error::from))
            .and_then(|question| check(&question));
        parsed.map_or_else(|error| error.message, |()| String::new())
    }

    #[test]
    fn a_question_is_as_large_as_its_fragments_written_out() {
        let fields = |count: usize| format!("{{ {} }}", "a ".repeat(count));
        assert_eq!(message(&fields(SIZE_MAX)), "");
        assert_eq!(message(&fields(SIZE_MAX + 1)), "Query is too large.");
        let twice = |count: usize| {
            let fragment = format!("fragment f on Query {}", fields(count));
            format!("{{ ...f ... {{ b {{ ...f }} }} }} {fragment}")
        };
        assert_eq!(message(&twice(SIZE_MAX / 2 - 2)), "");
        assert_eq!(message(&twice(SIZE_MAX / 2 - 1)), "Query is too large.");
        let two = format!("query a {} query b {}", fields(15_000), fields(15_000));
        assert_eq!(message(&two), "Query is too large.");
    }

    #[test]
    fn fragments_within_themselves_are_refused() {
        let within = "{ ...a } fragment a on Query { b { ...b } } fragment b on Query { ...a }";
        assert!(
            message(within).ends_with("names itself."),
            "{}",
            message(within)
        );
        let apart = "{ a } fragment a on Query { ...a }";
        assert_eq!(message(apart), "Fragment \"a\" names itself.");
        let chain: String = (0..=FRAGMENTS_MAX)
            .map(|n| format!(" fragment f{n} on Query {{ ...f{} }}", n + 1))
            .collect();
        assert_eq!(
            message(&format!("{{ a }}{chain}")),
            "Query has too many fragments."
        );
    }

    #[test]
    fn what_would_overflow_the_parsers_stack_does_not_reach_it() {
        for (open, close) in [("{a", "}"), ("{a(b:[", "])}"), ("{a(b:{c:", "})}")] {
            let deep = format!("{}{}", open.repeat(10_000), close.repeat(10_000));
            assert_eq!(message(&deep), "Query is nested too deep.");
        }
        let just = format!(
            "{{a(b:{}{})}}",
            "[".repeat(NESTING_MAX - 2),
            "]".repeat(NESTING_MAX - 2)
        );
        assert_eq!(message(&just), "");
    }
}
