//! The comparisons of an expression that an index over waits can use.

use std::fmt;

use serde_json::Value as Json;

use crate::ast::{Node, Operator, Root};

/// `async.path == value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Equality {
    /// Below `async`.
    pub path: Path,
    pub value: IndexKey,
}

/// A path into an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(pub Vec<PathSegment>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathSegment {
    Key(String),
    Index(usize),
}

impl Path {
    /// What the path finds in an event, as the evaluation of the expression would.
    pub fn find<'e>(&self, event: &'e Json) -> Option<&'e Json> {
        self.0
            .iter()
            .try_fold(event, |json, segment| match (segment, json) {
                (PathSegment::Key(key), Json::Object(entries)) => entries.get(key),
                (PathSegment::Index(index), Json::Array(items)) => items.get(*index),
                _ => None,
            })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                PathSegment::Key(key) if index == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(position) => write!(f, "[{position}]")?,
            }
        }
        Ok(())
    }
}

/// A scalar such that two keys are equal exactly when `==` holds between their values: `1` and `1.0` are one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKey {
    Bool(bool),
    /// Any whole number of 64 bits.
    Integer(i128),
    /// The bits of every other double.
    Double(u64),
    String(String),
}

impl IndexKey {
    /// The key of a value an event has; `None` for null, lists and maps, which no [`Equality`] asks for.
    pub fn of(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(value) => Some(Self::Bool(*value)),
            Json::String(text) => Some(Self::String(text.clone())),
            Json::Number(number) => Some(if let Some(value) = number.as_i64() {
                Self::Integer(i128::from(value))
            } else if let Some(value) = number.as_u64() {
                Self::Integer(i128::from(value))
            } else {
                let value = number.as_f64()?;
                // Below 2^64 in size; a double beyond equals no integer.
                if value.fract() == 0.0 && value.abs() < 18_446_744_073_709_551_616.0 {
                    Self::Integer(value as i128)
                } else {
                    Self::Double(value.to_bits())
                }
            }),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }
}

pub(crate) fn of(root: &Node) -> Vec<Equality> {
    let mut found = Vec::new();
    collect(root, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<Equality>) {
    let Node::Binary {
        operator,
        left,
        right,
    } = node
    else {
        return;
    };
    match operator {
        Operator::And => {
            collect(left, found);
            collect(right, found);
        }
        Operator::Equal => {
            let sides = [(left, right), (right, left)];
            let equality = sides.into_iter().find_map(|(path, value)| {
                Some(Equality {
                    path: path_of(path)?,
                    value: key_of(value)?,
                })
            });
            found.extend(equality);
        }
        _ => {}
    }
}

fn key_of(node: &Node) -> Option<IndexKey> {
    match node {
        Node::Literal(json) => IndexKey::of(json),
        Node::Uint(value) => Some(IndexKey::Integer(i128::from(*value))),
        _ => None,
    }
}

fn path_of(node: &Node) -> Option<Path> {
    let mut segments = Vec::new();
    let mut node = node;
    loop {
        let (operand, segment) = match node {
            Node::Root(Root::Async) => break,
            Node::Select { operand, key } => (operand, PathSegment::Key(key.clone())),
            Node::Index { operand, index } => {
                let segment = match index.as_ref() {
                    Node::Literal(Json::String(key)) => PathSegment::Key(key.clone()),
                    Node::Literal(Json::Number(number)) => {
                        PathSegment::Index(usize::try_from(number.as_u64()?).ok()?)
                    }
                    _ => return None,
                };
                (operand, segment)
            }
            _ => return None,
        };
        segments.push(segment);
        node = operand;
    }
    segments.reverse();
    Some(Path(segments))
}
