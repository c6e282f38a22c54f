//! From the parser's syntax tree to ours: names are resolved, macros recognised, constants folded, patterns compiled.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr as Parsed, IdedExpr, LiteralValue, operators,
};
use cel::parser::{ParseErrors, PrattParser};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use crate::ast::{Macro, Node, Operator, Root};
use crate::error::{CompileError, CompileErrorKind};
use crate::function::{Function, Signature};
use crate::lexical::{self, Token};
use crate::limits::{DEPTH_MAX, PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX};

/// What an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Everything,
    /// No macros, no functions but numeric conversions, no arithmetic: what waits and cancellations may use.
    Restricted,
    /// Everything, also of a run's end: what looks for runs.
    Search,
}

/// Parses and checks `source`, whose length was checked.
pub(crate) fn compile(source: &str, policy: Policy) -> Result<Node, CompileError> {
    let tokens = lexical::scan(source)?;
    let parsed = PrattParser::new()
        .max_recursion_depth(DEPTH_MAX as u16)
        .parse(source)
        .map_err(|errors| parse_error(source, &errors))?;
    let mut lowering = Lowering {
        source,
        tokens,
        policy,
        variables: Vec::new(),
        depth: 0,
    };
    lowering.node(&parsed)
}

const MACROS: [&str; 7] = [
    "has",
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
];

/// The first error with a place. The parser counts lines and columns from 1.
fn parse_error(source: &str, errors: &ParseErrors) -> CompileError {
    let placed = errors.errors.iter().find(|error| error.pos.0 > 0);
    let Some(error) = placed.or(errors.errors.first()) else {
        return CompileError::at(
            source,
            0,
            CompileErrorKind::Syntax,
            "the expression cannot be read",
        );
    };
    let line = usize::try_from(error.pos.0 - 1).unwrap_or(0);
    let column = usize::try_from(error.pos.1 - 1).unwrap_or(0);
    let line_start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let offset = source[line_start..]
        .char_indices()
        .nth(column)
        .map_or(source.len(), |(offset, _)| line_start + offset);
    let message = error
        .msg
        .strip_prefix("Syntax error: ")
        .unwrap_or(&error.msg)
        .replace(
            "mismatched input '<EOF>' expecting expression",
            "a value is missing at the end",
        )
        .replace("mismatched input", "unexpected")
        .replace(" expecting <EOF>", " after the end of the expression");
    CompileError::at(source, offset, CompileErrorKind::Syntax, message)
}

struct Lowering<'s> {
    source: &'s str,
    tokens: Vec<Token<'s>>,
    policy: Policy,
    /// The variables of the macros around the current node, outermost first.
    variables: Vec<String>,
    depth: usize,
}

impl Lowering<'_> {
    /// The parser keeps no places of what it accepted, so an error points at the first token that `is_at_fault`, which
    /// sees the token before, the token, and the token after.
    fn error_at(
        &self,
        is_at_fault: impl Fn(&str, &str, &str) -> bool,
        kind: CompileErrorKind,
        message: impl Into<String>,
    ) -> CompileError {
        let text = |index: Option<usize>| {
            index
                .and_then(|index| self.tokens.get(index))
                .map_or("", |token| token.text)
        };
        let offset = (0..self.tokens.len())
            .find(|&index| {
                let (before, after) = (index.checked_sub(1), index.checked_add(1));
                is_at_fault(text(before), text(Some(index)), text(after))
            })
            .map_or(0, |index| self.tokens[index].offset);
        CompileError::at(self.source, offset, kind, message)
    }

    fn error_at_call(
        &self,
        name: &str,
        kind: CompileErrorKind,
        message: impl Into<String>,
    ) -> CompileError {
        self.error_at(
            |_, token, after| token == name && after == "(",
            kind,
            message,
        )
    }

    fn unsupported(&self, what: &str) -> CompileError {
        CompileError::at(
            self.source,
            0,
            CompileErrorKind::Syntax,
            format!("{what} cannot be used here"),
        )
    }

    fn restrict(&self, name: &str, what: &str) -> Result<(), CompileError> {
        if self.policy != Policy::Restricted {
            return Ok(());
        }
        let message = format!("{what} cannot be used in waits and cancellations");
        let named = name.starts_with(|first: char| first.is_ascii_alphabetic());
        Err(self
            .error_at(
                |_, token, after| token == name && (after == "(" || !named),
                CompileErrorKind::Restricted,
                message,
            )
            .hint("compare paths of `event` and `async` with `== != < <= > >= in && || !`"))
    }

    fn boxed(&mut self, parsed: &IdedExpr) -> Result<Box<Node>, CompileError> {
        self.node(parsed).map(Box::new)
    }

    fn node(&mut self, parsed: &IdedExpr) -> Result<Node, CompileError> {
        if self.depth >= DEPTH_MAX {
            let message = format!("the expression is nested more than {DEPTH_MAX} levels deep");
            return Err(CompileError::at(
                self.source,
                0,
                CompileErrorKind::TooLarge,
                message,
            ));
        }
        self.depth += 1;
        let node = match &parsed.expr {
            Parsed::Literal(literal) => Ok(constant(literal)),
            Parsed::Ident(name) => self.variable(name),
            Parsed::Select(select) => {
                if select.test {
                    self.restrict("has", "the macro `has`")?;
                }
                let operand = self.boxed(&select.operand)?;
                let key = select.field.clone();
                Ok(if select.test {
                    Node::Has { operand, key }
                } else {
                    Node::Select { operand, key }
                })
            }
            Parsed::Call(call) => self.call(call),
            Parsed::Comprehension(comprehension) => self.comprehension(comprehension),
            Parsed::List(list) => {
                let items = list
                    .elements
                    .iter()
                    .map(|element| self.node(element))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(fold_list(items))
            }
            Parsed::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(self.unsupported("a field"));
                    };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?));
                }
                Ok(fold_map(entries))
            }
            Parsed::Struct(_) => Err(self.unsupported("a message")),
            Parsed::Unspecified => Err(self.unsupported("an empty expression")),
        }?;
        self.depth -= 1;
        Ok(node)
    }

    fn variable(&self, name: &str) -> Result<Node, CompileError> {
        if let Some(slot) = self.variables.iter().rposition(|variable| variable == name) {
            let name = name.to_owned();
            return Ok(Node::Local { slot, name });
        }
        match name {
            "event" => Ok(Node::Root(Root::Event)),
            "async" => Ok(Node::Root(Root::Async)),
            "output" if self.policy == Policy::Search => Ok(Node::Root(Root::Output)),
            "error" if self.policy == Policy::Search => Ok(Node::Root(Root::Error)),
            _ => {
                let bare = name.trim_start_matches('.');
                let error = self.error_at(
                    |before, token, _| token == bare && before != ".",
                    CompileErrorKind::UnknownVariable,
                    format!("unknown variable `{name}`"),
                );
                Err(error.hint(match self.policy {
                    Policy::Search => "a search sees `event`, `output` and `error`; quote text: 'text'",
                    _ => "expressions see `event`, and in waits and cancellations `async`; quote text: 'text'",
                }))
            }
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<Node, CompileError> {
        if call.target.is_none() {
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_NOT, [operand]) => return Ok(Node::Not(self.boxed(operand)?)),
                (operators::NEGATE, [operand]) => {
                    self.restrict("-", "`-`")?;
                    return Ok(Node::Negate(self.boxed(operand)?));
                }
                (operators::INDEX, [operand, index]) => {
                    return Ok(Node::Index {
                        operand: self.boxed(operand)?,
                        index: self.boxed(index)?,
                    });
                }
                (operators::CONDITIONAL, [condition, then, otherwise]) => {
                    return Ok(Node::Ternary {
                        condition: self.boxed(condition)?,
                        then: self.boxed(then)?,
                        otherwise: self.boxed(otherwise)?,
                    });
                }
                (name, [left, right]) => {
                    if let Some(operator) = binary(name) {
                        if operator.is_arithmetic() {
                            let symbol = operator.symbol();
                            self.restrict(symbol, &format!("`{symbol}`"))?;
                        }
                        return Ok(Node::Binary {
                            operator,
                            left: self.boxed(left)?,
                            right: self.boxed(right)?,
                        });
                    }
                }
                _ => {}
            }
        }
        self.function(call)
    }

    fn function(&mut self, call: &CallExpr) -> Result<Node, CompileError> {
        let name = call.func_name.as_str();
        let unknown =
            |message: String| self.error_at_call(name, CompileErrorKind::UnknownFunction, message);
        let Some(signature) = Signature::named(name) else {
            if MACROS.contains(&name) {
                return Err(unknown(format!("the macro `{name}` is not used like this")).hint(
                    "write has(event.data.x), list.exists(item, item > 1), and all, exists_one, map, filter alike",
                ));
            }
            return Err(unknown(format!("unknown function `{name}`")).hint(
                "there are size, lowercase, uppercase, b64decode, json_parse, date, now, now_plus, now_minus, conversions \
                 such as int(x), and methods such as x.contains('a')",
            ));
        };
        if call.target.is_some() && !signature.method {
            return Err(unknown(format!("`{name}` is not a method"))
                .hint("put the value into the brackets: name(value)"));
        }
        if call.target.is_none() && !signature.global {
            return Err(
                unknown(format!("`{name}` is a method")).hint("call it on a value: value.name()")
            );
        }
        let count = call.args.len() + usize::from(call.target.is_some());
        let (least, most) = signature.arguments;
        if count < least || count > most {
            let receiver = usize::from(call.target.is_some());
            let (least, most) = (least - receiver, most - receiver);
            let plural = if most == 1 { "" } else { "s" };
            let takes = if least == most {
                format!("{most} argument{plural}")
            } else {
                format!("{least} or {most} argument{plural}")
            };
            return Err(unknown(format!(
                "`{name}` takes {takes}, not {}",
                call.args.len()
            )));
        }
        if !signature.restricted {
            self.restrict(name, &format!("the function `{name}`"))?;
        }
        let mut arguments = Vec::with_capacity(count);
        for argument in call.target.as_deref().into_iter().chain(&call.args) {
            arguments.push(self.node(argument)?);
        }
        self.resolved(signature.function, arguments)
    }

    fn resolved(&self, function: Function, mut arguments: Vec<Node>) -> Result<Node, CompileError> {
        if function == Function::Dyn
            && let Some(argument) = arguments.pop()
        {
            return Ok(argument);
        }
        if function == Function::Matches
            && let [_, Node::Literal(Json::String(text))] = arguments.as_slice()
        {
            let pattern = pattern(text).map_err(|reason| {
                self.error_at_call("matches", CompileErrorKind::Pattern, reason)
            })?;
            return Ok(Node::Matches {
                subject: Box::new(arguments.swap_remove(0)),
                pattern,
            });
        }
        Ok(Node::Call {
            function,
            arguments,
        })
    }

    /// The parser has expanded the macros to folds; their steps tell them apart.
    fn comprehension(&mut self, fold: &ComprehensionExpr) -> Result<Node, CompileError> {
        let accumulator = fold.accu_var.as_str();
        let Some((kind, predicate, transform)) = recognise(fold, accumulator) else {
            return Err(self.unsupported("this macro"));
        };
        self.restrict(kind.name(), &format!("the macro `{}`", kind.name()))?;
        let range = self.boxed(&fold.iter_range)?;
        self.variables.push(fold.iter_var.clone());
        let predicate = predicate.map(|body| self.boxed(body)).transpose()?;
        let transform = transform.map(|body| self.boxed(body)).transpose()?;
        self.variables.pop();
        Ok(Node::Macro {
            kind,
            range,
            variable: fold.iter_var.clone(),
            predicate,
            transform,
        })
    }
}

type Recognised<'p> = (Macro, Option<&'p IdedExpr>, Option<&'p IdedExpr>);

fn recognise<'p>(fold: &'p ComprehensionExpr, accumulator: &str) -> Option<Recognised<'p>> {
    let is_accumulator =
        |expr: &IdedExpr| matches!(&expr.expr, Parsed::Ident(name) if name == accumulator);
    let Parsed::Call(step) = &fold.loop_step.expr else {
        return None;
    };
    match (
        &fold.accu_init.expr,
        step.func_name.as_str(),
        step.args.as_slice(),
    ) {
        (Parsed::Literal(_), operators::LOGICAL_AND, [left, body]) if is_accumulator(left) => {
            Some((Macro::All, Some(body), None))
        }
        (Parsed::Literal(_), operators::LOGICAL_OR, [left, body]) if is_accumulator(left) => {
            Some((Macro::Exists, Some(body), None))
        }
        (Parsed::Literal(_), operators::CONDITIONAL, [predicate, _, otherwise])
            if is_accumulator(otherwise) =>
        {
            Some((Macro::ExistsOne, Some(predicate), None))
        }
        (Parsed::List(_), operators::CONDITIONAL, [predicate, append, otherwise])
            if is_accumulator(otherwise) =>
        {
            let item = appended(append)?;
            match &item.expr {
                Parsed::Ident(name) if *name == fold.iter_var => {
                    Some((Macro::Filter, Some(predicate), None))
                }
                _ => Some((Macro::Map, Some(predicate), Some(item))),
            }
        }
        (Parsed::List(_), operators::ADD, [left, _]) if is_accumulator(left) => {
            Some((Macro::Map, None, Some(appended(&fold.loop_step)?)))
        }
        _ => None,
    }
}

/// The `x` of `accumulator + [x]`.
fn appended(expr: &IdedExpr) -> Option<&IdedExpr> {
    let Parsed::Call(call) = &expr.expr else {
        return None;
    };
    match call.args.as_slice() {
        [_, list] if call.func_name == operators::ADD => match &list.expr {
            Parsed::List(list) => list.elements.first(),
            _ => None,
        },
        _ => None,
    }
}

fn binary(name: &str) -> Option<Operator> {
    Some(match name {
        operators::LOGICAL_OR => Operator::Or,
        operators::LOGICAL_AND => Operator::And,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        operators::IN => Operator::In,
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}

fn constant(literal: &LiteralValue) -> Node {
    match literal {
        LiteralValue::Null => Node::Literal(Json::Null),
        LiteralValue::Boolean(value) => Node::Literal(Json::Bool(*value.inner())),
        LiteralValue::Int(value) => Node::Literal(Json::from(*value.inner())),
        // A literal double is finite, as the parser checks.
        LiteralValue::Double(value) => Node::Literal(Json::from(*value.inner())),
        LiteralValue::String(value) => Node::Literal(Json::from(value.inner())),
        LiteralValue::UInt(value) => Node::Uint(*value.inner()),
        LiteralValue::Bytes(value) => Node::Bytes(value.inner().to_vec()),
    }
}

fn fold_list(items: Vec<Node>) -> Node {
    if items.iter().all(|item| matches!(item, Node::Literal(_))) {
        let items = items.into_iter().filter_map(literal).collect();
        return Node::Literal(Json::Array(items));
    }
    Node::List(items)
}

/// Only maps with string keys can be JSON. A key that stands twice keeps its first value, as when evaluated.
fn fold_map(entries: Vec<(Node, Node)>) -> Node {
    let foldable = entries.iter().all(|(key, value)| {
        matches!(key, Node::Literal(Json::String(_))) && matches!(value, Node::Literal(_))
    });
    if !foldable {
        return Node::Map(entries);
    }
    let mut folded = serde_json::Map::new();
    for (key, value) in entries {
        if let (Node::Literal(Json::String(key)), Some(value)) = (key, literal(value)) {
            folded.entry(key).or_insert(value);
        }
    }
    Node::Literal(Json::Object(folded))
}

fn literal(node: Node) -> Option<Json> {
    match node {
        Node::Literal(json) => Some(json),
        _ => None,
    }
}

/// Compiles a pattern within the limits.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "the pattern is longer than {PATTERN_BYTES_MAX} bytes"
        ));
    }
    RegexBuilder::new(text)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern needs too much memory".to_owned(),
            // The last line says what is wrong; the ones before show the pattern.
            error => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                format!(
                    "the pattern is wrong: {}",
                    reason.trim_start_matches("error: ")
                )
            }
        })
}
