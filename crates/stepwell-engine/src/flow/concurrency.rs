//! Concurrency: how many steps execute at once.
//!
//! A limit counts calls in flight. It counts them for the function, or, with a key, for each value of the key;
//! with the scope `env` or `account` the value counts across functions. Sleeping and queued work is not counted.
//! A limit on runs counts runs from their first call to their end, whatever they do in between.

use super::hash;
use crate::Timestamp;
use crate::function::{Function, Problems};
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::FunctionId;
use stepwell_protocol::config::{Concurrency, ConcurrencyLimit};

/// Limits on steps in one function.
const LIMITS_MAX: usize = 2;
/// Limits on runs in one function.
const RUN_LIMITS_MAX: usize = 1;

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
    /// The limits on steps.
    pub(crate) fn compile_steps(config: &Concurrency, problems: &mut Problems) -> Vec<Self> {
        if config.steps.len() > LIMITS_MAX {
            problems.add(
                "concurrency",
                format!("at most {LIMITS_MAX} limits on steps are possible"),
            );
            return Vec::new();
        }
        Self::compile_list("concurrency", "", &config.steps, problems)
    }

    /// The limits on runs.
    pub(crate) fn compile_runs(config: &Concurrency, problems: &mut Problems) -> Vec<Self> {
        if config.runs.len() > RUN_LIMITS_MAX {
            problems.add(
                "concurrency.fn",
                format!("at most {RUN_LIMITS_MAX} limit on runs is possible"),
            );
            return Vec::new();
        }
        let foreign = |limit: &&ConcurrencyLimit| {
            !matches!(limit.scope.as_deref().unwrap_or("fn"), "fn" | "")
        };
        if config.runs.iter().any(|limit| foreign(&limit)) {
            problems.add("concurrency.fn", "a limit on runs has the scope fn");
            return Vec::new();
        }
        Self::compile_list("concurrency.fn", "runs", &config.runs, problems)
    }

    /// `counts` keeps the values of limits apart that count different things.
    fn compile_list(
        list: &str,
        counts: &str,
        configs: &[ConcurrencyLimit],
        problems: &mut Problems,
    ) -> Vec<Self> {
        let mut limits = Vec::new();
        for (index, limit) in configs.iter().enumerate() {
            let place = format!("{list}[{index}]");
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
            let source = source.unwrap_or("");
            let definition = match counts {
                "" => hash(&[scope_name, source.as_bytes()]),
                counts => hash(&[counts.as_bytes(), scope_name, source.as_bytes()]),
            } as u64;
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
            .chain(&self.run_limits)
            .find(|limit| limit.definition == definition)
            .map(|limit| limit.limit)
    }
}
