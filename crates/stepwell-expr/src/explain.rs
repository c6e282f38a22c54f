//! Why an expression is not true: the smallest part of it that made it so, and what that part reads.

use std::io::{self, Write};

use serde_json::Value as Json;

use crate::ast::{Node, Operator, Root};
use crate::error::EvalError;
use crate::evaluate::Evaluation;
use crate::expr::Bindings;
use crate::limits::INTERPOLATED_BYTES_MAX;
use crate::value::Value;
use crate::{bind, print};

/// Most values of an [`Explanation`], and most characters of each: enough to see why, little enough to keep one for
/// each event that a function did not take.
const VALUES_MAX: usize = 10;
const VALUE_CHARACTERS_MAX: usize = 200;

/// Most characters of the part of an [`Explanation`]. Nearly all expressions are shorter than this as a whole.
const PART_CHARACTERS_MAX: usize = 2_000;

/// What replaces the end of a text that was too long, and counts as one of its characters.
const CUT: &str = "…";

/// Why an expression is not true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The smallest part that made it so, written in the language, at most 2,000 characters. A part of what a `!`
    /// stands before is written with the `!`, so that it is the part that should have been true.
    pub part: String,
    /// The paths into `event` and `async` that the part reads, in its order, each once and with its value: JSON, or
    /// `missing`. At most 10, of at most 200 characters each.
    pub values: Vec<(String, String)>,
}

/// `None` when `root` is true. Costs at most two evaluations, and the printing.
pub(crate) fn explain<'a>(
    root: &'a Node,
    bindings: &Bindings<'a>,
    now_ms: i64,
) -> Option<Explanation> {
    let outcome = Evaluation::new(bindings, now_ms).eval(root);
    let mut search = Search {
        evaluation: Evaluation::new(bindings, now_ms),
    };
    let culprit = match outcome {
        Ok(Value::Bool(true)) => return None,
        Err(error) if error.is_limit() => Culprit::of(search.over_limit(root)),
        _ => search.smallest(root),
    };
    Some(Explanation {
        part: culprit.source(),
        values: Reads::of(culprit.node, bindings),
    })
}

/// A part that is not true: a node, or its negation.
#[derive(Clone, Copy)]
struct Culprit<'a> {
    node: &'a Node,
    negated: bool,
}

impl<'a> Culprit<'a> {
    fn of(node: &'a Node) -> Self {
        Self {
            node,
            negated: false,
        }
    }

    fn not(node: &'a Node) -> Self {
        Self {
            node,
            negated: true,
        }
    }

    fn source(self) -> String {
        let source = if self.negated {
            let negation = Node::Not(Box::new(self.node.clone()));
            print::source_of(&negation, INTERPOLATED_BYTES_MAX)
        } else {
            print::source_of(self.node, INTERPOLATED_BYTES_MAX)
        };
        cut(source, PART_CHARACTERS_MAX)
    }
}

struct Search<'a> {
    /// One for all questions, so that its limit bounds them together.
    evaluation: Evaluation<'a>,
}

impl<'a> Search<'a> {
    /// The smallest part of `root`, which is not true, that made it so.
    fn smallest(&mut self, root: &'a Node) -> Culprit<'a> {
        let mut culprit = Culprit::of(root);
        // Where the work for this answer ends, the part found so far is one too.
        while let Ok(Some(smaller)) = self.smaller(culprit) {
            culprit = smaller;
        }
        culprit
    }

    /// The part of a culprit that made it so; `None` when that is no less than all of it.
    fn smaller(&mut self, culprit: Culprit<'a>) -> Result<Option<Culprit<'a>>, EvalError> {
        let Culprit { node, negated } = culprit;
        Ok(match node {
            // It has the value of its first falsy operand, or of the last one.
            Node::Binary {
                operator: Operator::And,
                ..
            } => {
                let operands = operands(node, Operator::And);
                let falsy = self.first(&operands, Truth::Falsy)?;
                if negated {
                    falsy.map(Culprit::not)
                } else {
                    falsy.or(operands.last().copied()).map(Culprit::of)
                }
            }
            // It has the value of its first truthy operand, or of the last one.
            Node::Binary {
                operator: Operator::Or,
                ..
            } => {
                let operands = operands(node, Operator::Or);
                let truthy = self.first(&operands, Truth::Truthy)?;
                if negated {
                    truthy.or(operands.last().copied()).map(Culprit::not)
                } else {
                    truthy.map(Culprit::of)
                }
            }
            Node::Not(operand) if !negated => Some(Culprit::not(operand)),
            // A double negation; of anything but a boolean it means something of its own.
            Node::Not(operand) => match self.evaluation.eval(operand) {
                Ok(Value::Bool(false)) => Some(Culprit::of(operand)),
                Err(error) if error.is_limit() => return Err(error),
                _ => None,
            },
            Node::Ternary {
                condition,
                then,
                otherwise,
            } if !negated => {
                let chosen = match self.truth(condition)? {
                    Truth::Truthy => then,
                    Truth::Falsy => otherwise,
                };
                match self.evaluation.eval(chosen) {
                    Err(error) if error.is_limit() => return Err(error),
                    Err(_) => Some(Culprit::of(chosen)),
                    Ok(_) => None,
                }
            }
            _ => None,
        })
    }

    /// The condition at which the work of an evaluation exceeded its limit.
    fn over_limit(&mut self, root: &'a Node) -> &'a Node {
        operands(root, Operator::And)
            .into_iter()
            .find(|operand| self.truth(operand).is_err())
            .unwrap_or(root)
    }

    fn first(&mut self, nodes: &[&'a Node], truth: Truth) -> Result<Option<&'a Node>, EvalError> {
        for node in nodes {
            if self.truth(node)? == truth {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// As an operand: a failure that is not a limit counts as missing.
    fn truth(&mut self, node: &'a Node) -> Result<Truth, EvalError> {
        match self.evaluation.eval(node) {
            Ok(value) if value.is_truthy() => Ok(Truth::Truthy),
            Err(error) if error.is_limit() => Err(error),
            _ => Ok(Truth::Falsy),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Truthy,
    Falsy,
}

/// The operands of a chain of one operator, however it is bracketed: `&&` and `||` mean the same from either side.
fn operands(node: &Node, chained: Operator) -> Vec<&Node> {
    let mut found = Vec::new();
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        match node {
            Node::Binary {
                operator,
                left,
                right,
            } if *operator == chained => waiting.extend([right.as_ref(), left.as_ref()]),
            node => found.push(node),
        }
    }
    found
}

/// The paths that a part reads, with their values.
struct Reads<'a> {
    bindings: Bindings<'a>,
    found: Vec<(String, String)>,
}

impl<'a> Reads<'a> {
    fn of(part: &Node, bindings: &Bindings<'a>) -> Vec<(String, String)> {
        let mut reads = Self {
            bindings: *bindings,
            found: Vec::new(),
        };
        reads.collect(part);
        reads.found
    }

    /// What a path finds; `None` when `node` is none. An index that is computed, or a macro's variable, ends the path
    /// before it.
    fn resolve(&self, node: &Node) -> Option<Option<&'a Json>> {
        bind::resolve(node, &|root| {
            Some(match root {
                Root::Event => self.bindings.event,
                Root::Async => self.bindings.incoming,
                Root::Output => self.bindings.output,
                Root::Error => self.bindings.error,
            })
        })
    }

    fn add(&mut self, path: String, value: Option<&Json>) {
        let path = cut(path, VALUE_CHARACTERS_MAX);
        if self.found.iter().all(|(known, _)| *known != path) {
            self.found
                .push((path, value.map_or_else(|| "missing".to_owned(), json_text)));
        }
    }

    /// The longest paths from left to right, and those that their indices read.
    fn collect(&mut self, node: &Node) {
        if self.found.len() == VALUES_MAX {
            return;
        }
        if let Some(value) = self.resolve(node) {
            self.add(print::source_of(node, INTERPOLATED_BYTES_MAX), value);
            return self.collect_indices(node);
        }
        match node {
            Node::Has { operand, key } => match self.resolve(operand) {
                Some(value) => {
                    let path = print::source_of(operand, INTERPOLATED_BYTES_MAX);
                    let value = value.and_then(|value| value.get(key.as_str()));
                    self.add(format!("{path}.{key}"), value);
                    self.collect_indices(operand);
                }
                None => self.collect(operand),
            },
            Node::Select { operand, .. } | Node::Not(operand) | Node::Negate(operand) => {
                self.collect(operand);
            }
            Node::Index { operand, index } => {
                self.collect(operand);
                self.collect(index);
            }
            Node::Binary { left, right, .. } => {
                self.collect(left);
                self.collect(right);
            }
            Node::Ternary {
                condition,
                then,
                otherwise,
            } => {
                for part in [condition, then, otherwise] {
                    self.collect(part);
                }
            }
            Node::Call { arguments, .. } => {
                for argument in arguments {
                    self.collect(argument);
                }
            }
            Node::Matches { subject, .. } => self.collect(subject),
            Node::Macro {
                range,
                predicate,
                transform,
                ..
            } => {
                self.collect(range);
                for body in [predicate, transform].into_iter().flatten() {
                    self.collect(body);
                }
            }
            Node::List(items) => {
                for item in items {
                    self.collect(item);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    self.collect(key);
                    self.collect(value);
                }
            }
            Node::Literal(_)
            | Node::Uint(_)
            | Node::Bytes(_)
            | Node::Root(_)
            | Node::Local { .. } => {}
        }
    }

    fn collect_indices(&mut self, path: &Node) {
        match path {
            Node::Select { operand, .. } => self.collect_indices(operand),
            Node::Index { operand, index } => {
                self.collect_indices(operand);
                self.collect(index);
            }
            _ => {}
        }
    }
}

/// A value of an event, cut.
fn json_text(value: &Json) -> String {
    let mut start = Start(Vec::new());
    // Fails when the start is full, which ends the writing early.
    let _ = serde_json::to_writer(&mut start, value);
    cut(
        String::from_utf8_lossy(&start.0).into_owned(),
        VALUE_CHARACTERS_MAX,
    )
}

/// The first bytes written, no fewer than a text needs to be cut: one more character than it may have, each at most
/// four bytes long.
struct Start(Vec<u8>);

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (4 * (VALUE_CHARACTERS_MAX + 1)).saturating_sub(self.0.len());
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// At most this many characters.
fn cut(mut text: String, characters_max: usize) -> String {
    if text.chars().nth(characters_max).is_none() {
        return text;
    }
    let kept = text
        .char_indices()
        .nth(characters_max - 1)
        .map_or(text.len(), |(offset, _)| offset);
    text.truncate(kept);
    text.push_str(CUT);
    text
}
