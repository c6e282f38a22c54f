//! Errors of user code, and what they mean for retries.
//!
//! Any error retries. Wrapping it in [`NonRetriable`] or [`RetryAfter`] says otherwise, in a step as in a
//! function, and is found wherever it stands in the chain of sources, so it survives `thiserror`, `anyhow` and
//! the like.

mod typed;

use crate::moment::Moment;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::UserError;
use stepwell_protocol::error::CAUSE_DEPTH_MAX;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The error of functions and steps: made by `?` from every error type, from `anyhow::Error`, and from text.
///
/// It implements no `std::error::Error` itself, so that the conversion can be that general.
///
/// ```
/// fn read(text: &str) -> Result<u32, stepwell::Error> {
///     let number: u32 = text.trim().parse()?;
///     if number == 0 {
///         return Err("zero is not a page number".into());
///     }
///     Ok(number)
/// }
/// assert_eq!(read("x").unwrap_err().name(), "ParseIntError");
/// assert_eq!(read("0").unwrap_err().to_string(), "zero is not a page number");
/// ```
pub struct Error {
    name: Cow<'static, str>,
    source: BoxError,
}

/// What an error says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing: the function's retries apply.
    Default,
    /// No other attempt.
    Never,
    /// Another attempt, not before then.
    After(RetryTime),
    /// It is the error of a step that has used its own retries: no other attempt of the function.
    StepFailed,
}

/// When another attempt may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryTime {
    /// After this long.
    In(Duration),
    /// At this moment.
    At(Moment),
}

impl RetryTime {
    /// The header's value: whole seconds, rounded up, or a date.
    pub(crate) fn header(self) -> String {
        match self {
            Self::In(duration) => {
                let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
                seconds.to_string()
            }
            Self::At(moment) => moment.to_string(),
        }
    }
}

impl Error {
    /// An error of this name (as a class name: `QuotaExceeded`) and message.
    pub fn new(name: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: message.into().into(),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn of_name(name: Cow<'static, str>, source: BoxError) -> Self {
        Self { name, source }
    }

    /// The same error, with no other attempt; see [`NonRetriable`].
    #[must_use]
    pub fn non_retriable(self) -> Self {
        Self {
            name: self.name.clone(),
            source: NonRetriable::wrap(self).into(),
        }
    }

    /// The same error, with another attempt not before `delay`; see [`RetryAfter`].
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Self {
            name: self.name.clone(),
            source: RetryAfter::wrap(self, delay).into(),
        }
    }

    /// The error's name: its type's, without the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error as `std` knows errors.
    #[must_use]
    pub fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.source
    }

    /// The boxed error, for code that wants `Box<dyn std::error::Error>`.
    #[must_use]
    pub fn into_boxed(self) -> BoxError {
        self.source
    }

    /// The first error of type `T` in the chain; what [`NonRetriable::wrap`] and [`RetryAfter::wrap`] wrap is
    /// part of it.
    #[must_use]
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        chain(self.as_std()).find_map(|error| {
            error.downcast_ref().or_else(|| {
                let wrapped = error.downcast_ref::<Marker>()?.wrapped()?;
                wrapped.downcast_ref()
            })
        })
    }

    /// What it says about another attempt; the outermost wrapper wins.
    #[must_use]
    pub fn retry(&self) -> Retry {
        chain(self.as_std())
            .find_map(|error| match error.downcast_ref::<Marker>()? {
                Marker::NonRetriable(_) => Some(Retry::Never),
                Marker::RetryAfter(time, _) => Some(Retry::After(*time)),
                Marker::Step(_) => Some(Retry::StepFailed),
                Marker::Typed(..) => None,
            })
            .unwrap_or(Retry::Default)
    }

    /// The error as it travels.
    #[must_use]
    pub fn to_wire(&self) -> UserError {
        if let Some(step_error) = self.escaped_step_error() {
            return step_error;
        }
        UserError {
            stack: Some(self.render_chain()),
            data: self.typed_data(),
            cause: cause(self.source.source(), CAUSE_DEPTH_MAX),
            ..UserError::new(self.name.as_ref(), self.to_string())
        }
    }

    /// The step's own error, when this is it and nothing was added.
    fn escaped_step_error(&self) -> Option<UserError> {
        let marker = match self.source.downcast_ref::<StepError>() {
            Some(step_error) => &step_error.marker,
            None => self.source.source()?.downcast_ref::<Marker>()?,
        };
        match marker {
            Marker::Step(inner) if inner.message == self.to_string() => Some(UserError {
                // What the server noted of the step is not the function's.
                data: None,
                no_retry: None,
                ..(**inner).clone()
            }),
            _ => None,
        }
    }

    /// `Name: message`, then what caused it, a line each.
    fn render_chain(&self) -> String {
        let mut text = format!("{}: {}", self.name, self.source);
        let causes = chain(self.as_std())
            .skip(1)
            .filter(|error| !error.is::<Marker>());
        for error in causes.take(CAUSE_DEPTH_MAX) {
            text.push_str(&format!("\n    caused by: {error}"));
        }
        text
    }
}

fn chain<'e>(
    first: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    // A bound, in case a source is its own.
    std::iter::successors(Some(first), |error| (*error).source()).take(64)
}

fn cause(error: Option<&(dyn StdError + 'static)>, depth: usize) -> Option<Value> {
    let error = error?;
    if depth == 0 {
        return None;
    }
    if error.is::<Marker>() {
        return cause(error.source(), depth);
    }
    let mut fields = json!({"name": "Error", "message": error.to_string(), "__serialized": true});
    if let Some(inner) = cause(error.source(), depth - 1) {
        fields["cause"] = inner;
    }
    Some(fields)
}

/// The error object of a failed call or step.
pub(crate) fn serialized(error: &UserError) -> Value {
    let mut fields = serde_json::to_value(error).expect("an error serialises");
    fields["__serialized"] = Value::Bool(true);
    fields
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, formatter)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render_chain())
    }
}

impl<E: Into<BoxError>> From<E> for Error {
    fn from(error: E) -> Self {
        let name = short_type_name(std::any::type_name::<E>());
        let source = error.into();
        let name = match source.downcast_ref::<StepError>() {
            Some(step_error) => Cow::Owned(step_error.name().to_owned()),
            None => Cow::Borrowed(name),
        };
        Self { name, source }
    }
}

/// `ParseIntError` of `core::num::ParseIntError`; `Error` of boxes and text.
fn short_type_name(path: &'static str) -> &'static str {
    let path = path.split('<').next().unwrap_or(path);
    match path.rsplit("::").next().unwrap_or(path) {
        "NonRetriable" => "NonRetriableError",
        "RetryAfter" => "RetryAfterError",
        "Box" | "String" | "Cow" | "&str" => "Error",
        name if name.starts_with(char::is_alphabetic) => name,
        _ => "Error",
    }
}

/// What stands in the chain of sources below an error with a meaning: a wrapper that keeps only the chain, not
/// the type, keeps it.
#[derive(Debug, Clone)]
enum Marker {
    NonRetriable(Option<Arc<BoxError>>),
    RetryAfter(RetryTime, Option<Arc<BoxError>>),
    Step(Arc<UserError>),
    /// An error's values, and the error itself.
    Typed(Arc<Value>, Arc<BoxError>),
}

impl Marker {
    fn wrapped(&self) -> Option<&BoxError> {
        match self {
            Self::NonRetriable(wrapped) | Self::RetryAfter(_, wrapped) => wrapped.as_deref(),
            Self::Step(_) => None,
            Self::Typed(_, wrapped) => Some(wrapped),
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonRetriable(_) => formatter.write_str("not to be retried"),
            Self::RetryAfter(RetryTime::In(duration), _) => {
                write!(formatter, "to be retried in {duration:?}")
            }
            Self::RetryAfter(RetryTime::At(moment), _) => {
                write!(formatter, "to be retried at {moment}")
            }
            Self::Step(_) => formatter.write_str("the step has used its retries"),
            Self::Typed(..) => formatter.write_str("its values are recorded"),
        }
    }
}

impl StdError for Marker {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The wrapper shows the wrapped error's own message, so the chain goes on below it.
        self.wrapped()?.source()
    }
}

/// An error that no other attempt will mend: it ends the step's or the function's retries.
///
/// ```
/// use stepwell::{Error, NonRetriable, ResultExt, Retry};
///
/// fn page(text: &str) -> Result<u32, Error> {
///     if text.is_empty() {
///         return Err(NonRetriable::new("no page given").into());
///     }
///     text.parse().non_retriable()
/// }
/// assert_eq!(page("x").unwrap_err().retry(), Retry::Never);
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct NonRetriable {
    message: String,
    #[source]
    marker: Marker,
}

impl NonRetriable {
    /// An error of this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            marker: Marker::NonRetriable(None),
        }
    }

    /// Wraps an error; its message and causes stay.
    pub fn wrap(error: impl Into<Error>) -> Self {
        let error = error.into();
        Self {
            message: error.to_string(),
            marker: Marker::NonRetriable(Some(Arc::new(error.source))),
        }
    }
}

/// An error that says when another attempt may come, e.g. because a service asked for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct RetryAfter {
    message: String,
    #[source]
    marker: Marker,
}

impl RetryAfter {
    /// An error of this message, to be retried after `delay` (in whole seconds, rounded up).
    pub fn new(message: impl Into<String>, delay: Duration) -> Self {
        Self {
            message: message.into(),
            marker: Marker::RetryAfter(RetryTime::In(delay), None),
        }
    }

    /// An error of this message, to be retried at `moment`.
    pub fn at(message: impl Into<String>, moment: impl Into<Moment>) -> Self {
        Self {
            message: message.into(),
            marker: Marker::RetryAfter(RetryTime::At(moment.into()), None),
        }
    }

    /// Wraps an error; its message and causes stay.
    pub fn wrap(error: impl Into<Error>, delay: Duration) -> Self {
        let error = error.into();
        Self {
            message: error.to_string(),
            marker: Marker::RetryAfter(RetryTime::In(delay), Some(Arc::new(error.source))),
        }
    }
}

/// Says about a result's error when it may be tried again.
pub trait ResultExt<T> {
    /// No other attempt; the error keeps its name, message and causes.
    ///
    /// # Errors
    /// The wrapped error.
    fn non_retriable(self) -> Result<T, Error>;

    /// Another attempt not before `delay`; the error keeps its name, message and causes.
    ///
    /// # Errors
    /// The wrapped error.
    fn retry_after(self, delay: Duration) -> Result<T, Error>;
}

impl<T, E: Into<Error>> ResultExt<T> for Result<T, E> {
    fn non_retriable(self) -> Result<T, Error> {
        self.map_err(|error| error.into().non_retriable())
    }

    fn retry_after(self, delay: Duration) -> Result<T, Error> {
        self.map_err(|error| error.into().retry_after(delay))
    }
}

/// The error of a step that has used all its retries, or asked for none.
///
/// A function may handle it and go on. If it escapes, the function fails without another attempt, since the
/// step's attempts were made already.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.inner().message)]
pub struct StepError {
    step: Arc<str>,
    #[source]
    marker: Marker,
}

impl StepError {
    pub(crate) fn new(step: impl Into<Arc<str>>, error: UserError) -> Self {
        Self {
            step: step.into(),
            marker: Marker::Step(Arc::new(error)),
        }
    }

    fn inner(&self) -> &UserError {
        match &self.marker {
            Marker::Step(error) => error,
            Marker::NonRetriable(_) | Marker::RetryAfter(..) | Marker::Typed(..) => {
                unreachable!("a step's error is only made with its own marker")
            }
        }
    }

    /// The step's id, as the function wrote it.
    #[must_use]
    pub fn step_id(&self) -> &str {
        &self.step
    }

    /// The name of the error that the step's last attempt raised.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner().name
    }

    /// Its message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner().message
    }

    /// Where it was raised, as the language of the step prints it.
    #[must_use]
    pub fn stack(&self) -> Option<&str> {
        self.inner().stack.as_deref()
    }

    /// What led to it.
    #[must_use]
    pub fn cause(&self) -> Option<&Value> {
        self.inner().cause.as_ref()
    }

    /// What was attached to it.
    #[must_use]
    pub fn data(&self) -> Option<&Value> {
        self.inner().data.as_ref()
    }
}

#[cfg(test)]
mod tests;
