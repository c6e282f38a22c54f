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
}

impl ProviderError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } | Self::Malformed { .. } => true,
            Self::Status { transient, .. } | Self::Job { transient, .. } => *transient,
            Self::Result { source, .. } => source.transient,
            Self::TooLarge { .. } => false,
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
