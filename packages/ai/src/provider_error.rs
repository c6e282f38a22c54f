use crate::Usage;
use std::fmt;
use std::time::Duration;

/// Why a provider was asked and gave no answer. Messages never contain the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    #[error("cannot reach the service")]
    Network { source: reqwest::Error },
    #[error("no answer within {} s", after.as_secs_f32())]
    Timeout { after: Duration },
    #[error("the service answered {status}: {message}")]
    Status {
        status: u16,
        /// What the service said, shortened.
        message: String,
        /// Whether the same call may succeed later.
        transient: bool,
        /// When, if the service says so.
        retry_after: Option<Duration>,
    },
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the service does not keep to its interface: {problem}")]
    Malformed { problem: String },
    #[error("job {job} failed: {message}")]
    Job {
        job: String,
        message: String,
        transient: bool,
    },
    #[error("cannot get what {job} made")]
    Result {
        job: String,
        source: crate::SourceError,
    },
    #[error("{first_model} failed first ({first})")]
    AfterFallback {
        first_model: String,
        first: Box<ProviderError>,
        /// Of the model that was tried second.
        source: Box<ProviderError>,
    },
    /// Of two models that were asked, this one may answer later; the other answered, which was of no use.
    #[error("{other_model} gave nothing ({other})")]
    BesideUseless {
        other_model: String,
        other: String,
        /// Of the model that did not answer.
        source: Box<ProviderError>,
    },
    /// Something was consumed all the same.
    #[error(transparent)]
    Billed(Billed),
}

/// An error that shows as what it is, and what was consumed all the same.
#[derive(Debug)]
pub struct Billed {
    usage: Box<Usage>,
    error: Box<ProviderError>,
}

impl fmt::Display for Billed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Billed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl ProviderError {
    /// The same error with what was consumed all the same, if anything was.
    #[must_use]
    pub(crate) fn billed(self, usage: Option<Usage>) -> Self {
        match usage {
            Some(usage) => Self::Billed(Billed {
                usage: Box::new(usage),
                error: Box::new(self),
            }),
            None => self,
        }
    }

    /// What was consumed although there is no answer.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Billed(billed) => Some(&billed.usage),
            _ => None,
        }
    }

    /// The error without its bill.
    pub(crate) fn without_bill(&self) -> &Self {
        match self {
            Self::Billed(billed) => billed.error.without_bill(),
            other => other,
        }
    }

    /// The same, for those who have it.
    #[must_use]
    pub(crate) fn unbilled(self) -> Self {
        match self {
            Self::Billed(billed) => billed.error.unbilled(),
            other => other,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } | Self::Malformed { .. } => true,
            Self::Status { transient, .. } | Self::Job { transient, .. } => *transient,
            Self::Result { source, .. } => source.transient,
            Self::TooLarge { .. } => false,
            Self::BesideUseless { source, .. } => source.is_transient(),
            Self::Billed(billed) => billed.error.is_transient(),
            Self::AfterFallback { first, source, .. } => {
                first.is_transient() || source.is_transient()
            }
        }
    }

    /// When the same call is worth making again, as far as the service says. Of two models that were
    /// asked, the earlier time: either may answer.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::BesideUseless { source, .. } => source.retry_after(),
            Self::Billed(billed) => billed.error.retry_after(),
            Self::AfterFallback { first, source, .. } => {
                match (first.retry_after(), source.retry_after()) {
                    (Some(first), Some(second)) => Some(first.min(second)),
                    (Some(first), None) if !source.is_transient() => Some(first),
                    (None, Some(second)) if !first.is_transient() => Some(second),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, seconds: Option<u64>) -> Box<ProviderError> {
        Box::new(ProviderError::Status {
            status,
            message: String::new(),
            transient: status != 400,
            retry_after: seconds.map(Duration::from_secs),
        })
    }

    #[test]
    fn of_two_models_the_one_that_is_back_first_says_when_to_try_again() {
        // (first, second, whether to try again, after seconds)
        let cases = [
            (status(429, Some(37)), status(429, Some(5)), true, Some(5)),
            (status(429, Some(37)), status(503, None), true, None),
            (status(429, Some(37)), status(400, None), true, Some(37)),
            (status(400, None), status(429, Some(9)), true, Some(9)),
            (status(400, None), status(400, None), false, None),
        ];
        for (first, second, transient, seconds) in cases {
            let error = ProviderError::AfterFallback {
                first_model: "pro".to_owned(),
                first,
                source: second,
            };
            assert_eq!(error.is_transient(), transient, "{error:?}");
            let seconds = seconds.map(Duration::from_secs);
            assert_eq!(error.retry_after(), seconds, "{error:?}");
        }
    }
}
