//! Puts the values of `event` into an expression, for a wait that outlives the event.

use serde_json::Value as Json;

use crate::ast::{Node, Root};

/// `node` with every path into `event` replaced by its value, and by null where there is none.
pub(crate) fn bind(node: &Node, event: &Json) -> Node {
    let start = |root| (root == Root::Event).then_some(Some(event));
    if let Some(value) = resolve(node, &start) {
        return Node::Literal(value.cloned().unwrap_or(Json::Null));
    }
    let boxed = |node: &Node| Box::new(bind(node, event));
    match node {
        Node::Has { operand, key } => match resolve(operand, &start) {
            Some(operand) => {
                let present = operand
                    .and_then(|operand| operand.get(key.as_str()))
                    .is_some();
                Node::Literal(Json::Bool(present))
            }
            None => Node::Has {
                operand: boxed(operand),
                key: key.clone(),
            },
        },
        Node::Select { operand, key } => Node::Select {
            operand: boxed(operand),
            key: key.clone(),
        },
        Node::Index { operand, index } => Node::Index {
            operand: boxed(operand),
            index: boxed(index),
        },
        Node::Not(operand) => Node::Not(boxed(operand)),
        Node::Negate(operand) => Node::Negate(boxed(operand)),
        Node::Binary {
            operator,
            left,
            right,
        } => Node::Binary {
            operator: *operator,
            left: boxed(left),
            right: boxed(right),
        },
        Node::Ternary {
            condition,
            then,
            otherwise,
        } => Node::Ternary {
            condition: boxed(condition),
            then: boxed(then),
            otherwise: boxed(otherwise),
        },
        Node::Call {
            function,
            arguments,
        } => Node::Call {
            function: *function,
            arguments: arguments
                .iter()
                .map(|argument| bind(argument, event))
                .collect(),
        },
        Node::Matches { subject, pattern } => Node::Matches {
            subject: boxed(subject),
            pattern: pattern.clone(),
        },
        Node::Macro {
            kind,
            range,
            variable,
            predicate,
            transform,
        } => Node::Macro {
            kind: *kind,
            range: boxed(range),
            variable: variable.clone(),
            predicate: predicate.as_deref().map(boxed),
            transform: transform.as_deref().map(boxed),
        },
        Node::List(items) => Node::List(items.iter().map(|item| bind(item, event)).collect()),
        Node::Map(entries) => Node::Map(
            entries
                .iter()
                .map(|(key, value)| (bind(key, event), bind(value, event)))
                .collect(),
        ),
        Node::Literal(_) | Node::Uint(_) | Node::Bytes(_) | Node::Root(_) | Node::Local { .. } => {
            node.clone()
        }
    }
}

/// What a path finds from where its root is; `None` when `node` is no path, or its root is nowhere.
pub(crate) fn resolve<'e>(
    node: &Node,
    start: &impl Fn(Root) -> Option<Option<&'e Json>>,
) -> Option<Option<&'e Json>> {
    match node {
        Node::Root(root) => start(*root),
        Node::Select { operand, key } => {
            let operand = resolve(operand, start)?;
            Some(operand.and_then(|operand| operand.get(key.as_str())))
        }
        Node::Index { operand, index } => {
            let operand = resolve(operand, start)?;
            let index = match index.as_ref() {
                Node::Literal(index) => Some(index),
                index => resolve(index, start)?,
            };
            Some(
                operand
                    .zip(index)
                    .and_then(|(operand, index)| at(operand, index)),
            )
        }
        _ => None,
    }
}

fn at<'e>(operand: &'e Json, index: &Json) -> Option<&'e Json> {
    match (operand, index) {
        (Json::Object(entries), Json::String(key)) => entries.get(key),
        (Json::Array(items), Json::Number(number)) => {
            let whole = number.as_u64().or_else(|| {
                number
                    .as_f64()
                    .filter(|value| value.fract() == 0.0 && (0.0..1e15).contains(value))
                    .map(|value| value as u64)
            })?;
            items.get(usize::try_from(whole).ok()?)
        }
        _ => None,
    }
}
