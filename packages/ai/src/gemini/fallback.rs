//! When another model is asked, and what is told when none has an answer.

use super::generate::shown;
use super::{INLINE_BYTES_MAX, Models};
use crate::{Answer, ImageError, LanguageError, ProviderError, Usage};
use std::future::Future;

/// Why one model gave nothing, in the terms of a capability's error.
pub(super) trait Failure: Sized {
    /// The images of the question come to more than the API takes.
    fn too_large(provider: String, bytes: usize) -> Self;
    fn call(provider: String, source: ProviderError) -> Self;
    fn blocked(provider: String, reason: String, usage: Usage) -> Self;
    /// Another model may do better.
    fn is_worth_a_fallback(&self) -> bool;
    /// What was consumed although there is no answer.
    fn usage_mut(&mut self) -> Option<&mut Usage>;
    /// The failure of the call, if it was the call that failed.
    fn into_call(self) -> Result<ProviderError, Self>;
}

/// The errors of both capabilities have the same cases but for the one of an answer that is of no use.
macro_rules! failure {
    ($error:ident, $useless:ident) => {
        impl Failure for $error {
            fn too_large(provider: String, bytes: usize) -> Self {
                Self::TooLarge {
                    provider,
                    bytes,
                    limit_bytes: INLINE_BYTES_MAX,
                }
            }

            fn call(provider: String, source: ProviderError) -> Self {
                Self::Call { provider, source }
            }

            fn blocked(provider: String, reason: String, usage: Usage) -> Self {
                Self::Blocked {
                    provider,
                    reason,
                    usage: Box::new(usage),
                }
            }

            fn is_worth_a_fallback(&self) -> bool {
                match self {
                    Self::Call { source, .. } => another_model_may_answer(source),
                    Self::$useless { .. } => true,
                    _ => false,
                }
            }

            fn usage_mut(&mut self) -> Option<&mut Usage> {
                match self {
                    Self::Blocked { usage, .. } | Self::$useless { usage, .. } => Some(usage),
                    _ => None,
                }
            }

            fn into_call(self) -> Result<ProviderError, Self> {
                match self {
                    Self::Call { source, .. } => Ok(source),
                    other => Err(other),
                }
            }
        }
    };
}

failure!(LanguageError, InvalidJson);
failure!(ImageError, NoImage);

/// A model that is gone answers 404. What cannot be reached, or refuses the key, does so for every model.
fn another_model_may_answer(error: &ProviderError) -> bool {
    match error {
        ProviderError::Status {
            status, transient, ..
        } => *transient || *status == 404,
        ProviderError::Timeout { .. }
        | ProviderError::Malformed { .. }
        | ProviderError::TooLarge { .. } => true,
        _ => false,
    }
}

/// Asks the primary model, then the fallback. What both consumed is told, whichever answers.
pub(super) async fn with_fallback<T, E, F>(
    models: &Models,
    ask: impl Fn(String) -> F,
) -> Result<Answer<T>, E>
where
    E: Failure + std::error::Error + 'static,
    F: Future<Output = Result<Answer<T>, E>>,
{
    let mut first = match ask(models.primary.clone()).await {
        Err(error) if error.is_worth_a_fallback() => error,
        outcome => return outcome,
    };
    let Some(fallback) = &models.fallback else {
        return Err(first);
    };
    tracing::warn!(
        model = models.primary,
        fallback,
        error = &first as &dyn std::error::Error,
        "model failed, asking the fallback"
    );
    let paid = first.usage_mut().map(|usage| usage.clone());
    let mut second = match ask(fallback.clone()).await {
        Err(error) => error,
        Ok(mut answer) => {
            if let Some(paid) = &paid {
                answer.usage.add(paid);
            }
            return Ok(answer);
        }
    };
    if let (Some(usage), Some(paid)) = (second.usage_mut(), &paid) {
        usage.add(paid);
    }
    // Both failed: who tries again should know of both, and of the earlier of two retry times.
    match (first.into_call(), second.into_call()) {
        (Ok(first), Ok(second)) => Err(E::call(
            shown(fallback),
            ProviderError::AfterFallback {
                first_model: models.primary.clone(),
                first: Box::new(first),
                source: Box::new(second),
            },
        )),
        (_, Err(second)) => Err(second),
        // Of the two, this is the one that knows what was consumed.
        (Err(first), Ok(second)) => {
            tracing::warn!(
                model = fallback,
                error = &second as &dyn std::error::Error,
                "the fallback failed, too"
            );
            Err(first)
        }
    }
}
