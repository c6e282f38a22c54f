//! When another model is asked, and what is told when none has an answer.

use super::generate::shown;
use super::inline::Unfit;
use super::{INLINE_BYTES_MAX, Models};
use crate::{Answer, ImageError, LanguageError, PassedOver, ProviderError, Usage};
use std::future::Future;

/// Why one model gave nothing, in the terms of a capability's error.
pub(super) trait Failure: Sized {
    /// The images of the question cannot be sent.
    fn unfit(provider: String, unfit: Unfit) -> Self;
    fn call(provider: String, source: ProviderError) -> Self;
    fn blocked(provider: String, reason: String, usage: Usage) -> Self;
    /// Another model may do better.
    fn is_worth_a_fallback(&self) -> bool;
    /// What was consumed although there is no answer.
    fn consumed(&self) -> Option<Usage>;
    /// The same failure, with this as what was consumed.
    fn having_consumed(self, total: Usage) -> Self;
    /// The failure of the call, if it was the call that failed.
    fn into_call(self) -> Result<ProviderError, Self>;
}

/// The errors of both capabilities have the same cases but for the one of an answer that is of no use.
macro_rules! failure {
    ($error:ident, $useless:ident) => {
        impl Failure for $error {
            fn unfit(provider: String, unfit: Unfit) -> Self {
                match unfit {
                    Unfit::Unreadable { number, source } => Self::Unreadable {
                        number,
                        source: Box::new(source),
                    },
                    Unfit::TooLarge { bytes } => Self::TooLarge {
                        provider,
                        bytes,
                        limit_bytes: INLINE_BYTES_MAX,
                    },
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

            fn consumed(&self) -> Option<Usage> {
                self.usage().cloned()
            }

            fn having_consumed(self, total: Usage) -> Self {
                match self {
                    Self::Call { provider, source } => {
                        Self::call(provider, source.unbilled().billed(Some(total)))
                    }
                    mut other => {
                        if let Self::Blocked { usage, .. } | Self::$useless { usage, .. } =
                            &mut other
                        {
                            **usage = total;
                        }
                        other
                    }
                }
            }

            fn into_call(self) -> Result<ProviderError, Self> {
                match self {
                    Self::Call { source, .. } => Ok(source.unbilled()),
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
    match error.without_bill() {
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
///
/// When both fail, the error says when to try again as far as either knows:
///
/// - both calls failed: after the earlier of their times, see [`ProviderError::AfterFallback`];
/// - one call failed for the moment, and the other model answered what is of no use, or refused: as the failed call says. A
///   refusal by the fallback is not final then, for it says nothing about the primary, which was not heard;
/// - a call failed for good: what the other answered decides;
/// - both answered: the second, so that a refusal is final.
pub(super) async fn with_fallback<T, E, F>(
    models: &Models,
    ask: impl Fn(String) -> F,
) -> Result<Answer<T>, E>
where
    E: Failure + std::error::Error + 'static,
    F: Future<Output = Result<Answer<T>, E>>,
{
    let first = match ask(models.primary.clone()).await {
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
    let paid = first.consumed();
    let second = match ask(fallback.clone()).await {
        Err(error) => error,
        Ok(mut answer) => {
            if let Some(paid) = &paid {
                answer.usage.add(paid);
            }
            answer.usage.passed_over = Some(PassedOver::failed(&models.primary, &first));
            return Ok(answer);
        }
    };
    let total = match (paid, second.consumed()) {
        (Some(first), Some(mut second)) => {
            second.add(&first);
            Some(second)
        }
        (first, second) => first.or(second),
    };
    let both = both_failed(models, fallback, first, second);
    Err(match total {
        Some(total) => both.having_consumed(total),
        None => both,
    })
}

/// What is told when neither model has an answer, see [`with_fallback`].
fn both_failed<E>(models: &Models, fallback: &str, first: E, second: E) -> E
where
    E: Failure + std::error::Error + 'static,
{
    let beside = |model: &str, call: ProviderError, other_model: &str, other: &E| {
        let source = ProviderError::BesideUseless {
            other_model: other_model.to_owned(),
            other: other.to_string(),
            source: Box::new(call),
        };
        E::call(shown(model), source)
    };
    match (first.into_call(), second.into_call()) {
        (Ok(first), Ok(second)) => E::call(
            shown(fallback),
            ProviderError::AfterFallback {
                first_model: models.primary.clone(),
                first: Box::new(first),
                source: Box::new(second),
            },
        ),
        (Ok(first), Err(second)) if first.is_transient() => {
            beside(&models.primary, first, fallback, &second)
        }
        (Err(first), Ok(second)) if second.is_transient() => {
            beside(fallback, second, &models.primary, &first)
        }
        (_, Err(second)) => second,
        (Err(first), Ok(second)) => {
            tracing::warn!(
                model = fallback,
                error = &second as &dyn std::error::Error,
                "the fallback failed, too"
            );
            first
        }
    }
}
