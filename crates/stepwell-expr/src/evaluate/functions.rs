//! The functions.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::tz::TimeZone;
use regex::Regex;

use super::Evaluation;
use crate::ast::Node;
use crate::error::EvalError;
use crate::function::{Calendar, Function};
use crate::limits::{JSON_PARSE_FACTOR, PATTERN_STEPS};
use crate::value::Value;
use crate::{lower, time};

/// The standard alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl<'a> Evaluation<'a> {
    pub(super) fn call(
        &mut self,
        function: Function,
        arguments: &'a [Node],
    ) -> Result<Value<'a>, EvalError> {
        let mut first = Value::Null;
        let mut second = None;
        for (index, argument) in arguments.iter().enumerate() {
            let value = self.operand(argument)?;
            if matches!(value, Value::Missing) {
                return Ok(when_missing(function));
            }
            // No function has more than two.
            if index == 0 {
                first = value;
            } else {
                second = Some(value);
            }
        }
        if let Value::String(text) = &first {
            self.charge_bytes(text.as_str().len())?;
        }
        match function {
            Function::Size => size(&first),
            Function::Contains => {
                two_texts(function, &first, second, |text, part| text.contains(part))
            }
            Function::StartsWith => two_texts(function, &first, second, |text, part| {
                text.starts_with(part)
            }),
            Function::EndsWith => {
                two_texts(function, &first, second, |text, part| text.ends_with(part))
            }
            Function::Matches => {
                self.charge(PATTERN_STEPS as usize)?;
                let second = second.unwrap_or(Value::Null);
                let pattern = lower::pattern(text(function, &second)?)
                    .map_err(|_| unreadable(function, &second))?;
                self.matches(&first, &pattern)
            }
            Function::Lowercase => Ok(Value::made(text(function, &first)?.to_lowercase())),
            Function::Uppercase => Ok(Value::made(text(function, &first)?.to_uppercase())),
            Function::B64Decode => {
                let bytes = BASE64
                    .decode(text(function, &first)?)
                    .map_err(|_| unreadable(function, &first))?;
                let decoded = String::from_utf8(bytes).map_err(|_| unreadable(function, &first))?;
                Ok(Value::made(decoded))
            }
            Function::JsonParse => {
                let text = text(function, &first)?;
                self.charge_bytes(text.len() * (JSON_PARSE_FACTOR - 1))?;
                let json = serde_json::from_str(text).map_err(|_| unreadable(function, &first))?;
                Ok(Value::from_owned_json(json))
            }
            Function::Now => Ok(Value::Timestamp(self.now)),
            Function::NowPlus | Function::NowMinus => {
                let Value::Duration(distance) = duration(function, first)? else {
                    return Err(EvalError::OutOfRange(function.name()));
                };
                let moved = if function == Function::NowPlus {
                    self.now.checked_add(distance)
                } else {
                    self.now.checked_sub(distance)
                };
                moved
                    .map(Value::Timestamp)
                    .map_err(|_| EvalError::OutOfRange(function.name()))
            }
            Function::Date | Function::Timestamp => instant(function, first),
            Function::Duration => duration(function, first),
            Function::Int => int(first),
            Function::Uint => uint(first),
            Function::Double => double(first),
            Function::Bool => boolean(first),
            Function::Bytes => match &first {
                Value::String(text) => Ok(Value::Bytes(text.as_str().as_bytes().into())),
                Value::Bytes(_) => Ok(first),
                _ => Err(refused(function, &first)),
            },
            Function::String => match &first {
                Value::String(_) => Ok(first),
                Value::Bytes(bytes) => std::str::from_utf8(bytes)
                    .map(Value::made)
                    .map_err(|_| unreadable(function, &first)),
                Value::Null | Value::List(_) | Value::Map(_) => Err(refused(function, &first)),
                _ => self.text_of(&first).map(Value::made),
            },
            Function::Dyn => Ok(first),
            Function::Calendar(part) => calendar(function, part, &first, second),
        }
    }

    pub(super) fn matches(
        &mut self,
        subject: &Value<'a>,
        pattern: &Regex,
    ) -> Result<Value<'a>, EvalError> {
        match subject {
            Value::Missing => Ok(Value::Bool(false)),
            Value::String(text) => {
                self.charge_bytes(text.as_str().len())?;
                Ok(Value::Bool(pattern.is_match(text.as_str())))
            }
            other => Err(refused(Function::Matches, other)),
        }
    }
}

fn when_missing<'a>(function: Function) -> Value<'a> {
    match function {
        Function::Size => Value::Int(0),
        _ => Value::Bool(false),
    }
}

fn refused(function: Function, value: &Value<'_>) -> EvalError {
    EvalError::Argument {
        function: function.name(),
        kind: value.kind(),
    }
}

fn unreadable(function: Function, value: &Value<'_>) -> EvalError {
    EvalError::Unreadable {
        function: function.name(),
        kind: value.kind(),
    }
}

fn text<'v>(function: Function, value: &'v Value<'_>) -> Result<&'v str, EvalError> {
    value.as_str().ok_or_else(|| refused(function, value))
}

fn two_texts<'a>(
    function: Function,
    first: &Value<'a>,
    second: Option<Value<'a>>,
    test: impl Fn(&str, &str) -> bool,
) -> Result<Value<'a>, EvalError> {
    let second = second.unwrap_or(Value::Null);
    let holds = test(text(function, first)?, text(function, &second)?);
    Ok(Value::Bool(holds))
}

/// Strings count characters.
fn size<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    let size = match value {
        Value::Null => 0,
        Value::String(text) => text.as_str().chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Err(refused(Function::Size, value)),
    };
    i64::try_from(size)
        .map(Value::Int)
        .map_err(|_| EvalError::OutOfRange("size"))
}

/// Doubles of at least this size are beyond every 64-bit integer: 2^63, and 2^64 below.
const INT_BOUND: f64 = 9_223_372_036_854_775_808.0;
const UINT_BOUND: f64 = 18_446_744_073_709_551_616.0;

fn int(value: Value<'_>) -> Result<Value<'_>, EvalError> {
    let out_of_range = EvalError::OutOfRange("int");
    match &value {
        Value::Int(_) => Ok(value),
        Value::Uint(number) => i64::try_from(*number)
            .map(Value::Int)
            .map_err(|_| out_of_range),
        Value::Double(number) if *number >= -INT_BOUND && *number < INT_BOUND => {
            Ok(Value::Int(number.trunc() as i64))
        }
        Value::Double(_) => Err(out_of_range),
        Value::String(text) => text
            .as_str()
            .parse()
            .map(Value::Int)
            .map_err(|_| unreadable(Function::Int, &value)),
        Value::Timestamp(instant) => Ok(Value::Int(instant.as_second())),
        _ => Err(refused(Function::Int, &value)),
    }
}

fn uint(value: Value<'_>) -> Result<Value<'_>, EvalError> {
    let out_of_range = EvalError::OutOfRange("uint");
    match &value {
        Value::Uint(_) => Ok(value),
        Value::Int(number) => u64::try_from(*number)
            .map(Value::Uint)
            .map_err(|_| out_of_range),
        Value::Double(number) if *number > -1.0 && *number < UINT_BOUND => {
            Ok(Value::Uint(number.trunc() as u64))
        }
        Value::Double(_) => Err(out_of_range),
        Value::String(text) => text
            .as_str()
            .parse()
            .map(Value::Uint)
            .map_err(|_| unreadable(Function::Uint, &value)),
        _ => Err(refused(Function::Uint, &value)),
    }
}

fn double(value: Value<'_>) -> Result<Value<'_>, EvalError> {
    match &value {
        Value::Double(_) => Ok(value),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::Uint(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => text
            .as_str()
            .parse()
            .map(Value::Double)
            .map_err(|_| unreadable(Function::Double, &value)),
        _ => Err(refused(Function::Double, &value)),
    }
}

fn boolean(value: Value<'_>) -> Result<Value<'_>, EvalError> {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::String(text) => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
            _ => Err(unreadable(Function::Bool, &value)),
        },
        _ => Err(refused(Function::Bool, &value)),
    }
}

/// Numbers are milliseconds for `date`, and seconds for CEL's `timestamp`.
fn instant(function: Function, value: Value<'_>) -> Result<Value<'_>, EvalError> {
    let milliseconds = |number: i64| match function {
        Function::Date => Some(number),
        _ => number.checked_mul(1000),
    };
    match &value {
        Value::Timestamp(_) => Ok(value),
        Value::Int(number) => milliseconds(*number)
            .and_then(time::instant_of_ms)
            .map(Value::Timestamp)
            .ok_or(EvalError::OutOfRange(function.name())),
        Value::Double(number) if number.abs() < INT_BOUND => milliseconds(number.trunc() as i64)
            .and_then(time::instant_of_ms)
            .map(Value::Timestamp)
            .ok_or(EvalError::OutOfRange(function.name())),
        Value::String(text) => time::instant(text.as_str())
            .map(Value::Timestamp)
            .ok_or_else(|| unreadable(function, &value)),
        _ => Err(refused(function, &value)),
    }
}

fn duration(function: Function, value: Value<'_>) -> Result<Value<'_>, EvalError> {
    match &value {
        Value::Duration(_) => Ok(value),
        Value::String(text) => time::duration(text.as_str())
            .map(Value::Duration)
            .ok_or_else(|| unreadable(function, &value)),
        _ => Err(refused(function, &value)),
    }
}

fn calendar<'a>(
    function: Function,
    part: Calendar,
    value: &Value<'a>,
    zone: Option<Value<'a>>,
) -> Result<Value<'a>, EvalError> {
    match value {
        Value::Timestamp(instant) => {
            let zone = match &zone {
                None => TimeZone::UTC,
                Some(zone) => {
                    time::zone(text(function, zone)?).ok_or_else(|| unreadable(function, zone))?
                }
            };
            Ok(Value::Int(time::part_of_instant(part, *instant, zone)))
        }
        Value::Duration(duration) if zone.is_none() => time::part_of_duration(part, *duration)
            .map(Value::Int)
            .ok_or_else(|| refused(function, value)),
        _ => Err(refused(function, value)),
    }
}
