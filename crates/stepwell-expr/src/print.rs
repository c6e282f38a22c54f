//! A tree back to source, with no more brackets than it needs.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::ast::{Node, Operator};

/// How tightly a construct binds; an operand that binds less stands in brackets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Ternary,
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
    Primary,
}

/// The source of `node`; once it is longer than `bytes_max` the rest is left out, so the caller refuses it by its length.
pub(crate) fn source_of(node: &Node, bytes_max: usize) -> String {
    let mut printer = Printer {
        source: String::new(),
        bytes_max,
    };
    printer.node(node, Binding::Ternary);
    printer.source
}

struct Printer {
    source: String,
    bytes_max: usize,
}

impl Printer {
    fn push(&mut self, text: &str) {
        self.source.push_str(text);
    }

    fn node(&mut self, node: &Node, least: Binding) {
        if self.source.len() > self.bytes_max {
            return;
        }
        let brackets = binding(node) < least;
        if brackets {
            self.push("(");
        }
        self.bare(node);
        if brackets {
            self.push(")");
        }
    }

    fn bare(&mut self, node: &Node) {
        match node {
            Node::Literal(json) => self.json(json),
            Node::Uint(value) => self.push(&format!("{value}u")),
            Node::Bytes(bytes) => {
                self.push("b\"");
                for byte in bytes {
                    self.push(&format!("\\x{byte:02x}"));
                }
                self.push("\"");
            }
            Node::Root(root) => self.push(root.name()),
            Node::Local { name, .. } => self.push(name),
            Node::Select { operand, key } => {
                self.node(operand, Binding::Primary);
                self.push(".");
                self.push(key);
            }
            Node::Has { operand, key } => {
                self.push("has(");
                self.node(operand, Binding::Primary);
                self.push(".");
                self.push(key);
                self.push(")");
            }
            Node::Index { operand, index } => {
                self.node(operand, Binding::Primary);
                self.push("[");
                self.node(index, Binding::Ternary);
                self.push("]");
            }
            Node::Not(operand) => {
                self.push("!");
                self.node(operand, Binding::Primary);
            }
            Node::Negate(operand) => {
                self.push("-");
                self.node(operand, Binding::Primary);
            }
            Node::Binary {
                operator,
                left,
                right,
            } => {
                let own = binding(node);
                // The trees of `&&` and `||` are balanced, and mean the same from either side.
                let associative = matches!(operator, Operator::And | Operator::Or);
                self.node(left, own);
                self.push(" ");
                self.push(operator.symbol());
                self.push(" ");
                self.node(right, if associative { own } else { tighter(own) });
            }
            Node::Ternary {
                condition,
                then,
                otherwise,
            } => {
                self.node(condition, Binding::Or);
                self.push(" ? ");
                self.node(then, Binding::Or);
                self.push(" : ");
                self.node(otherwise, Binding::Ternary);
            }
            Node::Call {
                function,
                arguments,
            } => {
                let signature = function.signature();
                if signature.global {
                    self.push(signature.name);
                    self.list("(", arguments, ")");
                } else if let Some((receiver, rest)) = arguments.split_first() {
                    self.node(receiver, Binding::Primary);
                    self.push(".");
                    self.push(signature.name);
                    self.list("(", rest, ")");
                }
            }
            Node::Matches { subject, pattern } => {
                self.node(subject, Binding::Primary);
                self.push(".matches(");
                self.string(pattern.as_str());
                self.push(")");
            }
            Node::Macro {
                kind,
                range,
                variable,
                predicate,
                transform,
            } => {
                self.node(range, Binding::Primary);
                self.push(".");
                self.push(kind.name());
                self.push("(");
                self.push(variable);
                for part in [predicate, transform].into_iter().flatten() {
                    self.push(", ");
                    self.node(part, Binding::Ternary);
                }
                self.push(")");
            }
            Node::List(items) => self.list("[", items, "]"),
            Node::Map(entries) => {
                self.push("{");
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.push(", ");
                    }
                    self.node(key, Binding::Ternary);
                    self.push(": ");
                    self.node(value, Binding::Ternary);
                }
                self.push("}");
            }
        }
    }

    fn list(&mut self, open: &str, items: &[Node], close: &str) {
        self.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.node(item, Binding::Ternary);
        }
        self.push(close);
    }

    fn json(&mut self, json: &Json) {
        if self.source.len() > self.bytes_max {
            return;
        }
        match json {
            Json::Null => self.push("null"),
            Json::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Json::Number(number) => {
                let text = if let Some(value) = number.as_i64() {
                    value.to_string()
                } else if let Some(value) = number.as_u64() {
                    format!("{value}u")
                } else {
                    format!("{:?}", number.as_f64().unwrap_or_default())
                };
                self.push(&text);
            }
            Json::String(text) => self.string(text),
            Json::Array(items) => {
                self.push("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.push(", ");
                    }
                    self.json(item);
                }
                self.push("]");
            }
            Json::Object(entries) => {
                self.push("{");
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.push(", ");
                    }
                    self.string(key);
                    self.push(": ");
                    self.json(value);
                }
                self.push("}");
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.push("\"");
        for character in text.chars() {
            match character {
                '"' => self.push("\\\""),
                '\\' => self.push("\\\\"),
                '\n' => self.push("\\n"),
                '\r' => self.push("\\r"),
                '\t' => self.push("\\t"),
                character if character.is_control() => {
                    // Writing to a string does not fail.
                    let _ = write!(self.source, "\\u{:04x}", u32::from(character));
                }
                character => self.source.push(character),
            }
        }
        self.push("\"");
    }
}

fn binding(node: &Node) -> Binding {
    match node {
        Node::Ternary { .. } => Binding::Ternary,
        Node::Binary { operator, .. } => match operator {
            Operator::Or => Binding::Or,
            Operator::And => Binding::And,
            Operator::Add | Operator::Subtract => Binding::Sum,
            Operator::Multiply | Operator::Divide | Operator::Remainder => Binding::Product,
            _ => Binding::Relation,
        },
        Node::Not(_) | Node::Negate(_) => Binding::Unary,
        // A number before a dot reads as a decimal, and a minus before one as its sign.
        Node::Literal(Json::Number(_)) | Node::Uint(_) => Binding::Unary,
        _ => Binding::Primary,
    }
}

fn tighter(binding: Binding) -> Binding {
    match binding {
        Binding::Ternary => Binding::Or,
        Binding::Or => Binding::And,
        Binding::And => Binding::Relation,
        Binding::Relation => Binding::Sum,
        Binding::Sum => Binding::Product,
        Binding::Product => Binding::Unary,
        Binding::Unary | Binding::Primary => Binding::Primary,
    }
}
