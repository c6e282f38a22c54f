//! Which studio a command talks to: a named one, the running one of the data folder, or one of its own.

use crate::client::ApiClient;
use crate::failure::Failure;
use crate::server_file::ServerFile;
use crate::settings::Settings;
use crate::studio::Studio;
use std::path::Path;
use std::time::Duration;

/// How long a process that has just taken the data folder may need to take requests.
const START_MAX: Duration = Duration::from_secs(10);
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
                        .hint("start one with `studio233 serve`, or leave --url out"),
                );
            }
            return Ok(Self { client, own: None });
        }
        if let Some(client) = running(&settings.data).await {
            return Ok(Self { client, own: None });
        }
        let own = Settings {
            port: 0,
            ..settings.clone()
        };
        match Studio::start(own).await {
            Ok(studio) => Ok(Self {
                client: ApiClient::new(studio.url())?,
                own: Some(studio),
            }),
            Err(failure) if failure.code == "data_in_use" => {
                let starting = tokio::time::timeout(START_MAX, async {
                    loop {
                        if let Some(client) = running(&settings.data).await {
                            return client;
                        }
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                });
                let client = starting.await.map_err(|_| failure)?;
                Ok(Self { client, own: None })
            }
            Err(failure) => Err(failure),
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
