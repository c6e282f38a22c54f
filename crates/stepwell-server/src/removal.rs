//! Having an app register, and removing one.

use crate::poller::{Poller, PollerOptions, Polling};
use crate::state::Shared;
use std::time::Duration;
use stepwell_engine::{AppRow, AppSync};
use stepwell_protocol::AppId;
use stepwell_runtime::Unavailable;
use stepwell_store::{AppRecord, StoreError};

/// Why an app is not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    /// Which apps there are cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Shared {
    /// Asks the app at a URL to register, which is to have this name if one is given; returns when it says that it has.
    ///
    /// # Errors
    /// What is wrong with what answers there.
    pub(crate) async fn have_registered(
        &self,
        url: &str,
        named: Option<&str>,
    ) -> Result<(), String> {
        let is_http =
            url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_http {
            return Err("expected the http or https URL of an app".to_owned());
        }
        let options = PollerOptions {
            urls: Vec::new(),
            every: Duration::MAX,
            polling: Polling::Failing,
            find: None,
            ports: Vec::new(),
            kind: self.options.kind,
            signing_key: self.options.signing_key.clone(),
            signing_key_fallback: self.options.signing_key_fallback.clone(),
            apps: self.options.apps.clone(),
        };
        let poller = Poller::new(self.handle.clone(), options).map_err(|error| {
            tracing::error!(%error, "no client can be set up");
            "the server cannot ask now; see its log".to_owned()
        })?;
        poller.ask_once(url, named).await
    }

    /// Removes the app that is wanted, if there is one: its functions start nothing any more, and it has no address. Its
    /// runs go on. It comes back when it registers again.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub(crate) async fn remove_app(
        &self,
        is_wanted: impl Fn(&AppRecord) -> bool,
    ) -> Result<Option<AppId>, RemoveError> {
        let apps = self.handle.read(|reader| reader.apps()).await?;
        let mut known = apps.into_iter().filter(|app| !app.is_removed());
        let Some(app) = known.find(is_wanted) else {
            return Ok(None);
        };
        let nothing = AppSync {
            app: AppRow {
                id: app.id,
                name: app.name,
                url: String::new(),
                sdk: app.sdk,
                framework: app.framework,
                checksum: String::new(),
                synced_at: app.synced_at,
            },
            functions: Vec::new(),
        };
        self.handle.sync_app(nothing).await?;
        self.options.apps.removed(&app.url);
        tracing::info!(app = %app.id, url = app.url, "app removed");
        Ok(Some(app.id))
    }
}
