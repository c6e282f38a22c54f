//! A compiled expression, and what callers ask of it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::ast::Node;
use crate::equality::{self, Equality};
use crate::error::{CompileError, CompileErrorKind, EvalError};
use crate::evaluate::Evaluation;
use crate::explain::{self, Explanation};
use crate::limits::{INTERPOLATED_BYTES_MAX, SOURCE_BYTES_MAX};
use crate::lower::{self, Policy};
use crate::value::Value;
use crate::{bind, print};

/// A checked expression. Clones share it.
#[derive(Clone)]
pub struct Expr {
    inner: Arc<Inner>,
}

struct Inner {
    source: Box<str>,
    root: Node,
}

/// The events an evaluation reads. A variable that is not bound is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bindings<'a> {
    pub event: Option<&'a Json>,
    /// The incoming event of a wait or a cancellation: `async`.
    pub incoming: Option<&'a Json>,
    /// What a run returned: `output`, in searches.
    pub output: Option<&'a Json>,
    /// What a run failed with: `error`, in searches.
    pub error: Option<&'a Json>,
}

impl<'a> Bindings<'a> {
    /// `event` alone: triggers and flow-control keys.
    pub fn of_event(event: &'a Json) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }

    /// `async` alone: waits and cancellations, whose `event` was put in by [`Expr::interpolate`].
    pub fn of_incoming(incoming: &'a Json) -> Self {
        Self {
            incoming: Some(incoming),
            ..Self::default()
        }
    }
}

/// The value of a flow-control key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyValue {
    text: String,
    is_false: bool,
}

impl KeyValue {
    /// Strings as they are, numbers as JavaScript writes them (no decimals on whole ones), `true`, `false`, `null`,
    /// RFC 3339 timestamps, and lists and maps as canonical JSON (RFC 8785).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn into_string(self) -> String {
        self.text
    }

    /// The boolean `false`, or a missing value: opts out of rate limits and singletons. The string `"false"` does not.
    pub fn is_false(&self) -> bool {
        self.is_false
    }
}

impl Expr {
    /// Compiles an expression of the whole language: triggers, flow-control keys.
    ///
    /// # Errors
    /// When it is not in the language, or over the [limits](crate::limits).
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, SOURCE_BYTES_MAX, Policy::Everything)
    }

    /// Compiles an expression of a wait or a cancellation: no macros, no arithmetic, no functions but `int`, `uint`
    /// and `double`.
    ///
    /// # Errors
    /// As [`Expr::compile`], and [`CompileErrorKind::Restricted`] for what only this policy refuses.
    pub fn compile_restricted(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, SOURCE_BYTES_MAX, Policy::Restricted)
    }

    /// Compiles the [source](Expr::source) of an [interpolated](Expr::interpolate) expression, which may be longer than
    /// one that somebody wrote.
    ///
    /// # Errors
    /// As [`Expr::compile`].
    pub fn compile_interpolated(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, INTERPOLATED_BYTES_MAX, Policy::Everything)
    }

    /// Compiles an expression that looks for runs: the whole language over `event`, `output` and `error`.
    ///
    /// # Errors
    /// As [`Expr::compile`].
    pub fn compile_search(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, SOURCE_BYTES_MAX, Policy::Search)
    }

    fn compile_within(
        source: &str,
        bytes_max: usize,
        policy: Policy,
    ) -> Result<Self, CompileError> {
        if source.len() > bytes_max {
            let message = format!("the expression is longer than {bytes_max} bytes");
            let kind = CompileErrorKind::TooLarge;
            return Err(CompileError::at(source, bytes_max, kind, message));
        }
        let root = lower::compile(source, policy)?;
        Ok(Self {
            inner: Arc::new(Inner {
                source: source.into(),
                root,
            }),
        })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The value, at the time `now_ms` (milliseconds since 1970, what `now()` answers).
    ///
    /// # Errors
    /// When the outermost operation fails, or the work exceeds the [limits](crate::limits).
    pub fn eval<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        now_ms: i64,
    ) -> Result<Value<'a>, EvalError> {
        Evaluation::new(bindings, now_ms).eval(&self.inner.root)
    }

    /// The truth: a missing value is `false`, anything else must be a boolean.
    ///
    /// # Errors
    /// As [`Expr::eval`], and [`EvalError::NotBoolean`].
    pub fn eval_bool(&self, bindings: &Bindings<'_>, now_ms: i64) -> Result<bool, EvalError> {
        match Evaluation::new(bindings, now_ms).eval(&self.inner.root)? {
            Value::Bool(value) => Ok(value),
            Value::Missing => Ok(false),
            other => Err(EvalError::NotBoolean(other.kind())),
        }
    }

    /// The value of a flow-control key as text. A missing value is `false`, as for [`Expr::eval_bool`].
    ///
    /// # Errors
    /// As [`Expr::eval`].
    pub fn eval_key(&self, bindings: &Bindings<'_>, now_ms: i64) -> Result<KeyValue, EvalError> {
        let mut evaluation = Evaluation::new(bindings, now_ms);
        let value = match evaluation.eval(&self.inner.root)? {
            Value::Missing => Value::Bool(false),
            value => value,
        };
        Ok(KeyValue {
            is_false: matches!(value, Value::Bool(false)),
            text: evaluation.text_of(&value)?,
        })
    }

    /// The value if it is an integer; a double is none, even a whole one.
    ///
    /// # Errors
    /// As [`Expr::eval`].
    pub fn eval_int(&self, bindings: &Bindings<'_>, now_ms: i64) -> Result<Option<i64>, EvalError> {
        Ok(
            match Evaluation::new(bindings, now_ms).eval(&self.inner.root)? {
                Value::Int(value) => Some(value),
                Value::Uint(value) => i64::try_from(value).ok(),
                _ => None,
            },
        )
    }

    /// Why [`Expr::eval_bool`] is not `true`: the smallest part that made it so, with the values it reads. `None` when it
    /// is `true`.
    ///
    /// Of conditions joined by `&&` the part is the first one that does not hold. Those joined by `||` fail together, so the
    /// part is all of them. Where the evaluation fails, the part is what failed.
    ///
    /// ```
    /// use serde_json::json;
    /// use stepwell_expr::{Bindings, Expr};
    ///
    /// let expr = Expr::compile("event.data.paid && event.data.total > 100 && event.data.plan != 'trial'")?;
    /// let event = json!({"data": {"paid": true, "total": 40, "plan": "trial"}});
    /// let explanation = expr.explain(&Bindings::of_event(&event), 0).expect("it is not true");
    /// assert_eq!(explanation.part, "event.data.total > 100");
    /// assert_eq!(explanation.values, [("event.data.total".to_owned(), "40".to_owned())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, bindings: &Bindings<'_>, now_ms: i64) -> Option<Explanation> {
        explain::explain(&self.inner.root, bindings, now_ms)
    }

    /// The expression with every path into `event` replaced by its value, and a missing one by null: what a wait keeps.
    /// Its [source](Expr::source) can be stored and given to [`Expr::compile_interpolated`].
    ///
    /// # Errors
    /// When the values make it larger than the [limits](crate::limits) allow.
    pub fn interpolate(&self, event: &Json) -> Result<Self, CompileError> {
        let bound = bind::bind(&self.inner.root, event);
        let source = print::source_of(&bound, INTERPOLATED_BYTES_MAX);
        Self::compile_interpolated(&source)
    }

    /// Whether it is the literal `false`, which no event can satisfy.
    pub fn is_literal_false(&self) -> bool {
        matches!(self.inner.root, Node::Literal(Json::Bool(false)))
    }

    /// The comparisons `async.path == literal` that must hold for the expression to be true. Only conjunctions are
    /// looked through; the expression may ask for more than these, so a candidate found by them is still evaluated.
    pub fn equalities(&self) -> Vec<Equality> {
        equality::of(&self.inner.root)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.inner.source).finish()
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl Eq for Expr {}
