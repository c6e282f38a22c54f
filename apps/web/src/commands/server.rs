//! Which studio a command talks to: a named one, the running one of the data folder, or one of its own.

use super::interrupted;
use crate::client::ApiClient;
use crate::server_file::ServerFile;
use crate::studio::Studio;
use crate::terminal;
use std::path::Path;
use std::time::{Duration, Instant};
use studio233_setup::Failure;
use studio233_setup::Settings;

/// How long a process that has the data folder may need to take requests, or to stop: longer than what it lets
/// finish when it stops.
const CHANGE_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Studios that may stop under a command: each was another command's own.
pub(super) const STUDIOS_MAX: usize = 16;

/// Asks a studio something, and the next one if that stops meanwhile.
pub(super) async fn ask<T>(
    url: Option<&str>,
    settings: &Settings,
    question: impl AsyncFn(&ApiClient) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut studios = 0;
    loop {
        studios += 1;
        let server = Server::find(url, settings).await?;
        let answer = question(&server.client).await;
        let left = matches!(&answer, Err(failure) if server.has_left(failure));
        server.leave().await;
        if !left || studios == STUDIOS_MAX {
            return answer;
        }
    }
}

/// A studio that answers.
pub(super) struct Server {
    pub(super) client: ApiClient,
    whose: Whose,
}

enum Whose {
    /// The user named it.
    Named,
    /// It has the data folder; maybe only for as long as another command takes.
    Found,
    Own(Box<Studio>),
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
            let whose = Whose::Named;
            return Ok(Self { client, whose });
        }
        let begun = Instant::now();
        loop {
            if let Some(client) = running(&settings.data).await {
                let whose = Whose::Found;
                return Ok(Self { client, whose });
            }
            let own = Settings {
                port: Some(0),
                ..settings.clone()
            };
            match Studio::start(own).await {
                Ok(studio) => {
                    let client = ApiClient::new(studio.url())?;
                    let whose = Whose::Own(Box::new(studio));
                    return Ok(Self { client, whose });
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
        matches!(self.whose, Whose::Own(_))
    }

    /// Whether it failed because it was another command's, which is done: then the next one may do.
    pub(super) fn has_left(&self, failure: &Failure) -> bool {
        matches!(self.whose, Whose::Found)
            && ["unreachable", "stopping"].contains(&failure.code.as_str())
    }

    /// Stops it if it is the command's own. Ctrl-C gives up what is at work in it: false then, and the work goes on
    /// at the next start.
    pub(super) async fn leave(self) -> bool {
        self.stop(None).await
    }

    /// The same after a Ctrl-C, to tell that another one is heard.
    pub(super) async fn leave_interrupted(self) -> bool {
        let remark =
            "stopping; what is at work gets a moment to finish, press Ctrl-C again to give it up";
        self.stop(Some(remark)).await
    }

    async fn stop(self, remark: Option<&str>) -> bool {
        let Whose::Own(studio) = self.whose else {
            return true;
        };
        let interrupted = interrupted();
        if let Some(remark) = remark {
            terminal::remark(remark);
        }
        tokio::select! {
            _ = studio.stop() => true,
            () = interrupted => false,
        }
    }
}

/// The studio that the folder's file names, if it is there and that process.
async fn running(data: &Path) -> Option<ApiClient> {
    let file = ServerFile::read(data)?;
    let client = ApiClient::new(&file.url).ok()?;
    (client.health().await? == file.pid).then_some(client)
}
