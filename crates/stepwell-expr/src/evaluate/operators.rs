//! The binary operators but `&&` and `||`, and negation.

use std::cmp::Ordering;

use super::Evaluation;
use crate::ast::Operator;
use crate::error::EvalError;
use crate::value::{List, Map, Value};

impl<'a> Evaluation<'a> {
    pub(super) fn binary(
        &mut self,
        operator: Operator,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Result<Value<'a>, EvalError> {
        match operator {
            Operator::Equal => self.equal(&left, &right).map(Value::Bool),
            Operator::NotEqual => self.equal(&left, &right).map(|equal| Value::Bool(!equal)),
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                if let (Value::String(left), Value::String(right)) = (&left, &right) {
                    self.charge_bytes(left.as_str().len().min(right.as_str().len()))?;
                }
                order(operator, &left, &right).map(Value::Bool)
            }
            Operator::Add => self.add(left, right),
            // Every other operator is `false` where something is missing.
            _ if matches!(left, Value::Missing) || matches!(right, Value::Missing) => {
                Ok(Value::Bool(false))
            }
            Operator::In => self.contains(&right, &left),
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                arithmetic(operator, &left, &right)
            }
            // Evaluated lazily, by the caller.
            Operator::And | Operator::Or => Err(undefined(operator, &left, &right)),
        }
    }

    fn contains(&mut self, holder: &Value<'a>, item: &Value<'a>) -> Result<Value<'a>, EvalError> {
        match holder {
            Value::List(list) => {
                for index in 0..list.len() {
                    if let Some(candidate) = list.get(index)
                        && self.equal(&candidate, item)?
                    {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Value::Map(map) => {
                if let Map::Made(entries) = map {
                    self.charge(entries.len())?;
                }
                Ok(Value::Bool(map.get_value(item).is_some()))
            }
            _ => Err(undefined(Operator::In, item, holder)),
        }
    }

    fn add(&mut self, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, EvalError> {
        match (&left, &right) {
            // Null beside missing stays null.
            (Value::Missing, _) => Ok(right),
            (_, Value::Missing) => Ok(left),
            (Value::Null, _) => Ok(right),
            (_, Value::Null) => Ok(left),
            (Value::String(_), _) | (_, Value::String(_)) => {
                let mut text = self.text_of(&left)?;
                text.push_str(&self.text_of(&right)?);
                Ok(Value::made(text))
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.charge_bytes(a.len() + b.len())?;
                Ok(Value::Bytes([a.as_ref(), b.as_ref()].concat().into()))
            }
            (Value::List(a), Value::List(b)) => {
                self.charge(a.len() + b.len())?;
                let items = (0..a.len())
                    .filter_map(|index| a.get(index))
                    .chain((0..b.len()).filter_map(|index| b.get(index)));
                Ok(Value::List(List::Made(items.collect())))
            }
            _ => arithmetic(Operator::Add, &left, &right),
        }
    }
}

fn undefined(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> EvalError {
    EvalError::Operands {
        operator: operator.symbol(),
        left: left.kind(),
        right: right.kind(),
    }
}

fn order(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Result<bool, EvalError> {
    let ordering = match (left, right) {
        (Value::Missing | Value::Null, Value::Missing | Value::Null) => Some(Ordering::Equal),
        // Missing stands below everything, even below what its zero would equal.
        (Value::Missing, _) => Some(Ordering::Less),
        (_, Value::Missing) => Some(Ordering::Greater),
        (Value::Null, _) => right.zero().and_then(|zero| zero.scalar_cmp(right)),
        (_, Value::Null) => left.zero().and_then(|zero| left.scalar_cmp(&zero)),
        _ => left.scalar_cmp(right),
    };
    let ordering = ordering.ok_or_else(|| undefined(operator, left, right))?;
    Ok(match operator {
        Operator::Less => ordering.is_lt(),
        Operator::LessEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

pub(super) fn negate<'a>(operand: &Value<'a>) -> Result<Value<'a>, EvalError> {
    match operand {
        Value::Missing => Ok(Value::Bool(false)),
        Value::Int(value) => value
            .checked_neg()
            .map(Value::Int)
            .ok_or(EvalError::OutOfRange("-")),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Duration(value) => value
            .checked_neg()
            .map(Value::Duration)
            .ok_or(EvalError::OutOfRange("-")),
        other => Err(EvalError::Argument {
            function: "-",
            kind: other.kind(),
        }),
    }
}

fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<Value<'a>, EvalError> {
    let symbol = operator.symbol();
    match (integer(left), integer(right)) {
        (Some(a), Some(b)) => {
            let unsigned = matches!((left, right), (Value::Uint(_), Value::Uint(_)));
            return integers(operator, a, b, unsigned);
        }
        _ => {
            if let (Some(a), Some(b)) = (number(left), number(right)) {
                return match operator {
                    Operator::Add => Ok(Value::Double(a + b)),
                    Operator::Subtract => Ok(Value::Double(a - b)),
                    Operator::Multiply => Ok(Value::Double(a * b)),
                    Operator::Divide => Ok(Value::Double(a / b)),
                    _ if b == 0.0 => Err(EvalError::DivisionByZero(symbol)),
                    _ => Ok(Value::Double(a % b)),
                };
            }
        }
    }
    let out_of_range = EvalError::OutOfRange(symbol);
    match (operator, left, right) {
        (Operator::Add, Value::Timestamp(instant), Value::Duration(duration))
        | (Operator::Add, Value::Duration(duration), Value::Timestamp(instant)) => instant
            .checked_add(*duration)
            .map(Value::Timestamp)
            .map_err(|_| out_of_range),
        (Operator::Subtract, Value::Timestamp(instant), Value::Duration(duration)) => instant
            .checked_sub(*duration)
            .map(Value::Timestamp)
            .map_err(|_| out_of_range),
        (Operator::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            Ok(Value::Duration(a.duration_since(*b)))
        }
        (Operator::Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or(out_of_range)
        }
        (Operator::Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(out_of_range)
        }
        _ => Err(undefined(operator, left, right)),
    }
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    }
}

/// Exact in 128 bits, which two 64-bit operands cannot leave; two unsigned ones make an unsigned one.
fn integers<'a>(
    operator: Operator,
    a: i128,
    b: i128,
    unsigned: bool,
) -> Result<Value<'a>, EvalError> {
    let symbol = operator.symbol();
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        _ if b == 0 => return Err(EvalError::DivisionByZero(symbol)),
        Operator::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
    .ok_or(EvalError::OutOfRange(symbol))?;
    if unsigned {
        return u64::try_from(result)
            .map(Value::Uint)
            .map_err(|_| EvalError::OutOfRange(symbol));
    }
    if let Ok(value) = i64::try_from(result) {
        return Ok(Value::Int(value));
    }
    u64::try_from(result)
        .map(Value::Uint)
        .map_err(|_| EvalError::OutOfRange(symbol))
}
