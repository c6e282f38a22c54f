//! Which studio a command talks to: a named one, the running one of the data folder, or one of its own.

use crate::client::ApiClient;
use crate::failure::Failure;
use crate::server_file::ServerFile;
use crate::settings::Settings;
use crate::studio::Studio;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a process that has the data folder may need to take requests, or to stop: longer than what it lets
/// finish when it stops.
const CHANGE_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A studio that answers.
pub(super) struct Server {
    pub(super) client: ApiClient,
    own: Option<Studio>,
}

impl Server {
    /// Finds or starts it. `url` names one.
    pub(super) async fn find(url: Option<&str>, settings: &Settings) -> Result<Self, Failure> {
        if let Some(url) = url {
            let client = ApiClient::new(url)?;
            if client.health().await.is_none() {
                return Err(
                    Failure::new("unreachable", format!("no studio answers at {url}"))
                        .hint("start one with the command serve, or leave --url out"),
                );
            }
            return Ok(Self { client, own: None });
        }
        let begun = Instant::now();
        loop {
            if let Some(client) = running(&settings.data).await {
                return Ok(Self { client, own: None });
            }
            let own = Settings {
                port: 0,
                ..settings.clone()
            };
            match Studio::start(own).await {
                Ok(studio) => {
                    let client = ApiClient::new(studio.url())?;
                    let own = Some(studio);
                    return Ok(Self { client, own });
                }
                // It is starting, or stopping.
                Err(failure) if failure.code == "data_in_use" && begun.elapsed() < CHANGE_MAX => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Stops it if it is the command's own.
    pub(super) async fn leave(self) {
        if let Some(studio) = self.own {
            studio.stop().await;
        }
    }
}

/// The studio that the folder's file names, if it is there and that process.
async fn running(data: &Path) -> Option<ApiClient> {
    let file = ServerFile::read(data)?;
    let client = ApiClient::new(&file.url).ok()?;
    (client.health().await? == file.pid).then_some(client)
}
