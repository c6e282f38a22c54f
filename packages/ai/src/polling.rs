//! Waiting for a job that a service does in its own time.

use crate::ProviderError;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How often to ask and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// Before the second question; each next wait is half as long again.
    pub wait_first: Duration,
    pub wait_max: Duration,
    /// How long the whole job may take.
    pub timeout: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            wait_first: Duration::from_millis(500),
            wait_max: Duration::from_secs(5),
            timeout: Duration::from_secs(300),
        }
    }
}

/// Questions in a row that may fail: the job is paid for, and one lost answer is no reason to give it up.
const FAILURES_MAX: u32 = 4;

impl Polling {
    /// Asks until there is an answer, an error that stays, or no time left.
    pub(crate) async fn wait_for<T, F>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<Option<T>, ProviderError>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut wait = self.wait_first;
        let mut failures = 0;
        loop {
            let asked = tokio::time::timeout_at(deadline, ask()).await;
            let pause = match asked.map_err(|_| self.too_late())? {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {
                    failures = 0;
                    wait
                }
                Err(error) => {
                    failures += 1;
                    let lost = error.is_transient() && !matches!(error, ProviderError::Job { .. });
                    if !lost || failures > FAILURES_MAX {
                        return Err(error);
                    }
                    error.retry_after().unwrap_or_default().max(wait)
                }
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(self.too_late());
            }
            tokio::time::sleep_until(next).await;
            wait = wait.mul_f32(1.5).min(self.wait_max);
        }
    }

    fn too_late(&self) -> ProviderError {
        ProviderError::Timeout {
            after: self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn status(status: u16) -> ProviderError {
        ProviderError::Status {
            status,
            message: "x".to_owned(),
            transient: status >= 500,
            retry_after: None,
        }
    }

    async fn poll(answers: Vec<Result<Option<u8>, ProviderError>>) -> Result<u8, ProviderError> {
        let mut answers = VecDeque::from(answers);
        let polling = Polling::default();
        polling
            .wait_for(|| std::future::ready(answers.pop_front().unwrap_or(Ok(None))))
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_asked_for_again_and_a_refusal_is_not() {
        let lost = || Err(status(503));
        assert_eq!(
            poll(vec![lost(), Ok(None), lost(), Ok(Some(7))])
                .await
                .unwrap(),
            7
        );
        let error = poll((0..9).map(|_| lost()).collect()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Status { status: 503, .. }));
        let error = poll(vec![Err(status(404)), Ok(Some(7))]).await.unwrap_err();
        assert!(matches!(error, ProviderError::Status { status: 404, .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_never_ends_is_given_up() {
        let started = Instant::now();
        let error = poll(vec![]).await.unwrap_err();
        assert!(matches!(error, ProviderError::Timeout { .. }));
        assert!(started.elapsed() <= Polling::default().timeout);
    }
}
