//! The event expression language: parse, check and evaluate.
//!
//! Triggers, flow-control keys, cancellations and waits carry small expressions over events, such as
//! `event.data.plan == 'pro' && async.data.id == event.data.id`. This crate compiles them once and evaluates
//! them many times over borrowed JSON.
//!
//! ```
//! use serde_json::json;
//! use stepwell_expr::{Bindings, Expr};
//!
//! let expr = Expr::compile("event.data.total > 100 && event.data.plan != 'trial'")?;
//! let event = json!({"name": "order/paid", "data": {"total": 120}});
//! assert!(expr.eval_bool(&Bindings::of_event(&event), 0)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not read a clock (the time is an argument of every evaluation), does no I/O, and keeps no state.
//!
//! # The dialect
//!
//! The language is CEL with the deviations that event systems of this protocol have:
//!
//! - **Missing attributes** evaluate to [`Value::Missing`], never to an error. Missing equals null and nothing else;
//!   it orders below everything; `missing + x` is `x`; `size(missing)` is 0; every other call or operator with a
//!   missing argument is `false`, `!missing` included. An argument that fails (`int("x")`, `1 / 0`) counts as missing.
//! - **Null** orders as the zero value of the other side; `null + x` is `x`; `size(null)` is 0, so that a call means the
//!   same before and after [`Expr::interpolate`].
//! - Two values without content (null or missing on both sides) are equal: `<=` and `>=` hold between them, `<` and `>` do not.
//! - **`+ == != < <= > >=` are dynamic**: integers, unsigned integers and doubles mix by numeric value, and a string
//!   added to anything concatenates the text of both. `- * / %` mix numbers too.
//! - **`&&`, `||` and `?:`** use JavaScript truthiness (falsy: missing, failed, null, `false`, `""`, zero) and the
//!   first two return the operand that decided.
//! - **Macros** `has all exists exists_one map filter`. Predicates are judged by truthiness and `all`, `exists` and
//!   `exists_one` answer with a boolean. A macro over a missing value is missing.
//! - **Functions** beyond CEL's: `lowercase uppercase b64decode json_parse date now now_plus now_minus`.
//! - JSON integers are `int`, other JSON numbers `double`. `/` of two integers divides as in CEL, without a fraction.
//! - Time zones of the calendar methods (`getHours` and so on) are `UTC` or fixed offsets: names would need a database on disk.
//!
//! A whole expression that is missing is `false`, for [`Expr::eval_bool`] as for [`Expr::eval_key`].
//!
//! # Limits
//!
//! Expressions come from outside: their length, their depth, the size of their patterns and the work of one evaluation
//! are bounded (see [`limits`]). No input makes this crate panic.
//!
//! # Why our own evaluator
//!
//! The parser is the `cel` crate's. Its evaluator follows the CEL specification, where a missing field and `1 < 'a'`
//! are errors and `||` wants booleans; every rule above would be a fight with it. Of its two parsers this crate uses the
//! hand-written one: the generated one overflows a thread's stack at a dozen parentheses in a debug build. Because
//! both trust their input, [`Expr::compile`] first scans the tokens itself: that finds hostile depth before recursion does, and
//! gives errors a column and a hint.

mod ast;
mod bind;
mod equality;
mod error;
mod evaluate;
mod explain;
mod expr;
mod function;
mod lexical;
pub mod limits;
mod lower;
mod print;
mod time;
mod value;

pub use equality::{Equality, IndexKey, Path, PathSegment};
pub use error::{CompileError, CompileErrorKind, EvalError};
pub use explain::Explanation;
pub use expr::{Bindings, Expr, KeyValue};
pub use value::{List, Map, Text, Value};
