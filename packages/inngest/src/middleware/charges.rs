//! What is charged for steps that were cut off.

use std::fmt;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// A program that ends waits so long for them.
const GRACE: Duration = Duration::from_secs(5);

/// Charges under way that no step waits for. Clones share them.
#[derive(Clone, Default)]
pub struct Charges(TaskTracker);

impl Charges {
    /// Does it beside everything else.
    pub(super) fn add(&self, charge: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current() {
            Ok(tokio) => drop(self.0.spawn_on(charge, &tokio)),
            Err(_) => tracing::error!("what a step spent that was cut off is not counted"),
        }
    }

    /// Once all are done, or have had 5 seconds. Call it before the database is closed.
    pub async fn settled(&self) {
        self.0.close();
        if tokio::time::timeout(GRACE, self.0.wait()).await.is_err() {
            tracing::error!("what steps spent that were cut off is not all counted");
        }
    }
}

impl fmt::Debug for Charges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Charges")
            .field(&self.0.len())
            .finish()
    }
}
