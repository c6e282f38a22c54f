//! What can go wrong with a test, besides what it tests.

use crate::client::SendError;
use crate::embedded::StartError;
use crate::moment::Moment;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;
use stepwell_store::StoreError;

/// A test cannot go on. Its `Debug` is for people, too, so that `unwrap` and `?` show what there is to see.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The app cannot be used.
    #[error("the app cannot be tested")]
    Start(#[from] StartError),
    /// An event was not taken.
    #[error("the event was not taken")]
    Send(#[from] SendError),
    /// An event started nothing, and nothing that waits will.
    #[error("event '{event}' started no run{why}")]
    NoRun {
        /// The event's name.
        event: String,
        /// What became of it.
        why: String,
    },
    /// An event started several runs, and one was asked for.
    #[error("event '{event}' started {count} runs ({functions}); use run_all(..)")]
    ManyRuns {
        /// The event's name.
        event: String,
        /// How many.
        count: usize,
        /// Of which functions.
        functions: String,
    },
    /// There is no such function, or it takes no invocation now.
    #[error("function '{function}' was not invoked: {reason}")]
    NotInvoked {
        /// The function, as the test has named it.
        function: String,
        /// Why.
        reason: String,
    },
    /// Nothing will ever happen again, and what the test waits for has not.
    #[error("nothing will happen any more, and {awaited}{waiting}")]
    NeverEnds {
        /// What the test waits for.
        awaited: String,
        /// What the unfinished runs wait for, and their histories.
        waiting: String,
    },
    /// Too much virtual time has passed.
    #[error(
        "{awaited} after {days} days of virtual time (since {since}): is something endless? give more with virtual_time_max(..), or use run_for(..){waiting}"
    )]
    VirtualTime {
        /// What the test waits for.
        awaited: String,
        /// How much time has passed.
        days: u64,
        /// Since when.
        since: Moment,
        /// What the unfinished runs wait for, and their histories.
        waiting: String,
    },
    /// Too much real time has passed.
    #[error(
        "{awaited} after {after:?} of real time: does a step wait for something that only virtual time brings? give more with real_time_max(..){waiting}"
    )]
    RealTime {
        /// What the test waits for.
        awaited: String,
        /// How much time has passed.
        after: Duration,
        /// What the unfinished runs wait for, and their histories.
        waiting: String,
    },
    /// There is no engine any more.
    #[error("there is no engine any more: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store cannot be read.
    #[error("the test's store cannot be read")]
    Store(#[from] StoreError),
}

impl fmt::Debug for TestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(formatter, "\n  caused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
