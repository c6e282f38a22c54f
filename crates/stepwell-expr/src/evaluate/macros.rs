//! `all`, `exists`, `exists_one`, `filter` and `map`.

use super::{Evaluation, present};
use crate::ast::{Macro, Node};
use crate::error::EvalError;
use crate::value::{List, Value};

impl<'a> Evaluation<'a> {
    pub(super) fn fold(
        &mut self,
        kind: Macro,
        range: &'a Node,
        predicate: Option<&'a Node>,
        transform: Option<&'a Node>,
    ) -> Result<Value<'a>, EvalError> {
        let items = match self.operand(range)? {
            Value::List(list) => list,
            Value::Map(map) => {
                self.charge(map.len())?;
                map.keys()
            }
            absent if absent.is_absent() => return Ok(Value::Missing),
            other => {
                return Err(EvalError::Argument {
                    function: kind.name(),
                    kind: other.kind(),
                });
            }
        };
        let mut held = 0_usize;
        let mut made = Vec::new();
        for index in 0..items.len() {
            let Some(item) = items.get(index) else { break };
            self.charge(1)?;
            self.locals.push(item.clone());
            let outcome = self.visit(predicate, transform, item);
            self.locals.pop();
            let (holds, result) = outcome?;
            match kind {
                Macro::All if !holds => return Ok(Value::Bool(false)),
                Macro::Exists if holds => return Ok(Value::Bool(true)),
                Macro::Filter | Macro::Map if holds => made.push(result),
                _ => held += usize::from(holds),
            }
        }
        Ok(match kind {
            Macro::All => Value::Bool(true),
            Macro::Exists => Value::Bool(false),
            Macro::ExistsOne => Value::Bool(held == 1),
            Macro::Filter | Macro::Map => Value::List(List::Made(made.into())),
        })
    }

    /// Whether the predicate holds for the innermost variable, and what the macro makes of it if so.
    fn visit(
        &mut self,
        predicate: Option<&'a Node>,
        transform: Option<&'a Node>,
        item: Value<'a>,
    ) -> Result<(bool, Value<'a>), EvalError> {
        if let Some(predicate) = predicate
            && !self.operand(predicate)?.is_truthy()
        {
            return Ok((false, Value::Null));
        }
        let result = match transform {
            Some(transform) => present(self.operand(transform)?),
            None => item,
        };
        Ok((true, result))
    }
}
