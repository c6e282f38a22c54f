//! Concurrency: how many steps execute at once.
//!
//! A limit counts calls in flight. It counts them for the function, or, with a key, for each value of the key;
//! with the scope `env` or `account` the value counts across functions. Sleeping and queued work is not counted.

use super::hash;
use crate::Timestamp;
use crate::function::{Function, Problems};
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::FunctionId;
use stepwell_protocol::config::Concurrency;

/// Limits on steps in one function.
const LIMITS_MAX: usize = 2;

/// One limit on executing steps.
#[derive(Debug, Clone)]
pub struct Limit {
    /// How many at once; at least 1.
    pub limit: u32,
    /// A separate count for each value.
    pub key: Option<Expr>,
    /// Where values count.
    pub scope: Scope,
    /// Hash of scope and key: what ties a run's stored value to the limit of a later version.
    pub definition: u64,
}

/// Where a limit's values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the function.
    Function,
    /// In the environment, across functions.
    Environment,
    /// In the account, across environments.
    Account,
}

impl Limit {
    pub(crate) fn compile_all(config: &Concurrency, problems: &mut Problems) -> Vec<Self> {
        if config.steps.len() > LIMITS_MAX {
            problems.add(
                "concurrency",
                format!("at most {LIMITS_MAX} limits on steps are possible"),
            );
            return Vec::new();
        }
        let mut limits = Vec::new();
        for (index, limit) in config.steps.iter().enumerate() {
            let place = format!("concurrency[{index}]");
            let scope = match limit.scope.as_deref().unwrap_or("fn") {
                "fn" | "" => Scope::Function,
                "env" => Scope::Environment,
                "account" => Scope::Account,
                other => {
                    problems.add(
                        place,
                        format!("unknown scope '{other}'; use fn, env or account"),
                    );
                    continue;
                }
            };
            let source = limit.key.as_deref().filter(|key| !key.trim().is_empty());
            if source.is_none() && scope != Scope::Function {
                problems.add(
                    place,
                    "A concurrency key must be specified for Env scoped limits",
                );
                continue;
            }
            let key = problems.expression(
                &format!("Invalid concurrency key '{}'", source.unwrap_or("")),
                source,
            );
            if limit.limit == 0 {
                // The protocol's "no limit of its own".
                continue;
            }
            let scope_name: &[u8] = match scope {
                Scope::Function => b"fn",
                Scope::Environment => b"env",
                Scope::Account => b"account",
            };
            let definition = hash(&[scope_name, source.unwrap_or("").as_bytes()]) as u64;
            limits.push(Self {
                limit: limit.limit,
                key,
                scope,
                definition,
            });
        }
        limits
    }

    /// Where a run of this event counts.
    pub(crate) fn place(&self, function: FunctionId, event: &Value, now: Timestamp) -> u128 {
        let value = self
            .key
            .as_ref()
            .map(|key| super::key_text(key, event, now));
        let value = value.as_deref().unwrap_or("");
        match self.scope {
            Scope::Function => hash(&[
                b"fn",
                &function.to_bytes(),
                &self.definition.to_le_bytes(),
                value.as_bytes(),
            ]),
            Scope::Environment => hash(&[b"env", value.as_bytes()]),
            Scope::Account => hash(&[b"account", value.as_bytes()]),
        }
    }
}

impl Function {
    /// The limit that a stored definition stands for now; `None` when the function no longer has it.
    pub(crate) fn limit_of(&self, definition: u64) -> Option<u32> {
        self.concurrency
            .iter()
            .find(|limit| limit.definition == definition)
            .map(|limit| limit.limit)
    }
}
