//! One evaluation: walks the tree, counts the work, and gives missing and failed values their meaning.

mod functions;
mod macros;
mod operators;

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::ast::{Node, Operator, Root};
use crate::error::EvalError;
use crate::expr::Bindings;
use crate::limits::{STEP_BYTES, STEPS_MAX, VALUE_DEPTH_MAX};
use crate::time;
use crate::value::{List, Map, Value};

pub(crate) struct Evaluation<'a> {
    bindings: Bindings<'a>,
    now: Timestamp,
    /// The values of the macro variables around the current node, outermost first.
    locals: Vec<Value<'a>>,
    steps_left: u32,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(bindings: &Bindings<'a>, now_ms: i64) -> Self {
        let beyond = if now_ms < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Self {
            bindings: *bindings,
            now: time::instant_of_ms(now_ms).unwrap_or(beyond),
            locals: Vec::new(),
            steps_left: STEPS_MAX,
        }
    }

    fn charge(&mut self, steps: usize) -> Result<(), EvalError> {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(EvalError::Steps)?;
        Ok(())
    }

    fn charge_bytes(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.charge(bytes / STEP_BYTES)
    }

    /// The value of a node in tail position: its failure is the expression's.
    pub(crate) fn eval(&mut self, node: &'a Node) -> Result<Value<'a>, EvalError> {
        self.charge(1)?;
        match node {
            Node::Literal(json) => Ok(Value::from_json(json)),
            Node::Uint(value) => Ok(Value::Uint(*value)),
            Node::Bytes(bytes) => {
                self.charge_bytes(bytes.len())?;
                Ok(Value::Bytes(bytes.as_slice().into()))
            }
            Node::Root(root) => {
                let bound = match root {
                    Root::Event => self.bindings.event,
                    Root::Async => self.bindings.incoming,
                    Root::Output => self.bindings.output,
                    Root::Error => self.bindings.error,
                };
                Ok(bound.map_or(Value::Missing, Value::from_json))
            }
            Node::Local { slot, .. } => {
                Ok(self.locals.get(*slot).cloned().unwrap_or(Value::Missing))
            }
            Node::Select { operand, key } => {
                let operand = self.operand(operand)?;
                Ok(select(&operand, key))
            }
            Node::Has { operand, key } => {
                let operand = self.operand(operand)?;
                Ok(Value::Bool(!matches!(
                    select(&operand, key),
                    Value::Missing
                )))
            }
            Node::Index { operand, index } => {
                let operand = self.operand(operand)?;
                let index = self.operand(index)?;
                self.index(&operand, &index)
            }
            Node::Not(operand) => match self.operand(operand)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                Value::Missing => Ok(Value::Bool(false)),
                other => Err(EvalError::Argument {
                    function: "!",
                    kind: other.kind(),
                }),
            },
            Node::Negate(operand) => {
                let operand = self.operand(operand)?;
                operators::negate(&operand)
            }
            Node::Binary {
                operator: Operator::And,
                left,
                right,
            } => {
                let left = self.operand(left)?;
                if left.is_truthy() {
                    self.operand(right)
                } else {
                    Ok(left)
                }
            }
            Node::Binary {
                operator: Operator::Or,
                left,
                right,
            } => {
                let left = self.operand(left)?;
                if left.is_truthy() {
                    Ok(left)
                } else {
                    self.operand(right)
                }
            }
            Node::Binary {
                operator,
                left,
                right,
            } => {
                let left = self.operand(left)?;
                let right = self.operand(right)?;
                self.binary(*operator, left, right)
            }
            Node::Ternary {
                condition,
                then,
                otherwise,
            } => {
                let chosen = if self.operand(condition)?.is_truthy() {
                    then
                } else {
                    otherwise
                };
                self.eval(chosen)
            }
            Node::Call {
                function,
                arguments,
            } => self.call(*function, arguments),
            Node::Matches { subject, pattern } => {
                let subject = self.operand(subject)?;
                self.matches(&subject, pattern)
            }
            Node::Macro {
                kind,
                range,
                predicate,
                transform,
                ..
            } => self.fold(*kind, range, predicate.as_deref(), transform.as_deref()),
            Node::List(items) => {
                let mut made = Vec::with_capacity(items.len());
                for item in items {
                    made.push(present(self.operand(item)?));
                }
                Ok(Value::List(List::Made(made.into())))
            }
            Node::Map(entries) => self.map(entries),
        }
    }

    /// The value of a node inside another: a failure that is not a limit counts as missing.
    fn operand(&mut self, node: &'a Node) -> Result<Value<'a>, EvalError> {
        match self.eval(node) {
            Err(error) if !error.is_limit() => Ok(Value::Missing),
            outcome => outcome,
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Result<Value<'a>, EvalError> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.operand(key)?;
            if !matches!(
                key,
                Value::String(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_)
            ) {
                return Err(EvalError::Argument {
                    function: "{}",
                    kind: key.kind(),
                });
            }
            let value = present(self.operand(value)?);
            self.charge(made.len())?;
            let taken = made
                .iter()
                .any(|(other, _)| other.scalar_cmp(&key) == Some(Ordering::Equal));
            if !taken {
                made.push((key, value));
            }
        }
        Ok(Value::Map(Map::Made(made.into())))
    }

    fn index(&mut self, operand: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>, EvalError> {
        let found = match operand {
            Value::List(list) => position(index).and_then(|position| list.get(position)),
            Value::Map(map) => {
                if let Map::Made(entries) = map {
                    self.charge(entries.len())?;
                }
                map.get_value(index)
            }
            _ => None,
        };
        Ok(found.unwrap_or(Value::Missing))
    }

    /// Deep equality; missing and null are equal to each other.
    fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, EvalError> {
        self.equal_within(left, right, VALUE_DEPTH_MAX)
    }

    fn equal_within(
        &mut self,
        left: &Value<'a>,
        right: &Value<'a>,
        levels: usize,
    ) -> Result<bool, EvalError> {
        self.charge(1)?;
        let levels = levels.checked_sub(1).ok_or(EvalError::Depth)?;
        match (left, right) {
            (Value::Missing | Value::Null, Value::Missing | Value::Null) => Ok(true),
            (Value::String(a), Value::String(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                if a.len() != b.len() {
                    return Ok(false);
                }
                self.charge_bytes(a.len())?;
                Ok(a == b)
            }
            (Value::List(a), Value::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for index in 0..a.len() {
                    if let (Some(a), Some(b)) = (a.get(index), b.get(index))
                        && !self.equal_within(&a, &b, levels)?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Map(a), Value::Map(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                self.charge(a.len())?;
                let keys = a.keys();
                for index in 0..keys.len() {
                    let Some(key) = keys.get(index) else { continue };
                    let scanned = [a, b].map(|map| match map {
                        Map::Json(_) => 1,
                        Map::Made(entries) => entries.len(),
                    });
                    self.charge(scanned[0] + scanned[1])?;
                    let (Some(a), Some(b)) = (a.get_value(&key), b.get_value(&key)) else {
                        return Ok(false);
                    };
                    if !self.equal_within(&a, &b, levels)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(left.scalar_cmp(right) == Some(Ordering::Equal)),
        }
    }

    /// A value as text: concatenation, `string()` and flow-control keys.
    pub(crate) fn text_of(&mut self, value: &Value<'a>) -> Result<String, EvalError> {
        let text = match value {
            Value::Missing | Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Uint(value) => value.to_string(),
            Value::Double(value) => double_text(*value),
            Value::String(text) => text.as_str().to_owned(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Timestamp(timestamp) => timestamp.to_string(),
            Value::Duration(duration) => time::duration_text(*duration),
            Value::List(_) | Value::Map(_) => {
                let json = self.json_of(value, VALUE_DEPTH_MAX)?;
                serde_json_canonicalizer::to_string(&json).map_err(|_| EvalError::Unreadable {
                    function: "string",
                    kind: value.kind(),
                })?
            }
        };
        self.charge_bytes(text.len())?;
        Ok(text)
    }

    fn json_of(&mut self, value: &Value<'a>, levels: usize) -> Result<Json, EvalError> {
        self.charge(1)?;
        let levels = levels.checked_sub(1).ok_or(EvalError::Depth)?;
        Ok(match value {
            Value::Missing | Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Uint(value) => Json::from(*value),
            // Not-a-number and the infinities become null.
            Value::Double(value) => Json::from(*value),
            Value::String(_) | Value::Bytes(_) | Value::Timestamp(_) | Value::Duration(_) => {
                Json::String(self.text_of(value)?)
            }
            Value::List(list) => {
                let mut items = Vec::with_capacity(list.len());
                for index in 0..list.len() {
                    if let Some(item) = list.get(index) {
                        items.push(self.json_of(&item, levels)?);
                    }
                }
                Json::Array(items)
            }
            Value::Map(Map::Json(entries)) => {
                let mut object = serde_json::Map::new();
                for (key, value) in *entries {
                    self.charge_bytes(key.len())?;
                    let value = self.json_of(&Value::from_json(value), levels)?;
                    object.insert(key.clone(), value);
                }
                Json::Object(object)
            }
            Value::Map(Map::Made(entries)) => {
                let mut object = serde_json::Map::new();
                for (key, value) in entries.iter() {
                    let key = self.text_of(key)?;
                    let value = self.json_of(value, levels)?;
                    object.insert(key, value);
                }
                Json::Object(object)
            }
        })
    }
}

fn select<'a>(operand: &Value<'a>, key: &str) -> Value<'a> {
    match operand {
        Value::Map(map) => map.get(key).unwrap_or(Value::Missing),
        _ => Value::Missing,
    }
}

/// A list index of any numeric type.
fn position(index: &Value<'_>) -> Option<usize> {
    match index {
        Value::Int(value) => usize::try_from(*value).ok(),
        Value::Uint(value) => usize::try_from(*value).ok(),
        Value::Double(value) if value.fract() == 0.0 && (0.0..1e15).contains(value) => {
            Some(*value as usize)
        }
        _ => None,
    }
}

/// What a list or a map holds in place of a missing value.
fn present(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Missing => Value::Null,
        value => value,
    }
}

/// As JavaScript writes numbers; whole ones have no decimals.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    serde_json_canonicalizer::to_string(&value).unwrap_or_else(|_| value.to_string())
}
