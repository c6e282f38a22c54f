//! The auditor: has the engine check itself, a part of what is live at a time, without end.

use crate::handle::Handle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it asks for the next part.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the program stops. Violations are bugs: they are logged and counted, and the engine mends them.
pub(crate) async fn run(handle: Handle, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        // A store that refuses writes is told of elsewhere.
        for violation in handle.audit().await.unwrap_or_default() {
            tracing::error!(
                violation,
                "the audit found a mistake and mended it; please report it"
            );
        }
    }
}
