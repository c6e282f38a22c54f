//! The finder: looks for apps on the ports and paths of this machine where frameworks put them.

use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use stepwell_protocol::headers;
use tokio::net::TcpStream;

/// Ports on which development servers usually listen.
const PORTS: &[u16] = &[
    80, 443, 3000, 3001, 3002, 3003, 3004, 3005, 3006, 3007, 3008, 3009, 3010, 4321, 5000, 5173,
    8000, 8080, 8081, 8787, 8888, 8910, 8911, 8912, 8913, 8914, 8915,
];
/// Paths under which frameworks usually serve functions.
const PATHS: &[&str] = &[
    "/api/inngest",
    "/x/inngest",
    "/.netlify/functions/inngest",
    "/.redwood/functions/inngest",
];
/// How long a port of this machine may take to accept.
const KNOCK: Duration = Duration::from_millis(500);
/// How long an answer may take. Some development servers build a page when it is first asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// An app, and its SDK.
    App {
        /// Where it is called.
        url: String,
        /// What it says it is.
        sdk: String,
    },
    /// Something listens that serves no functions; why it is none.
    Other(String),
}

/// Looks for apps.
#[derive(Debug)]
pub(crate) struct Finder {
    client: reqwest::Client,
    ports: Vec<u16>,
    /// What was told of each port.
    told: BTreeMap<u16, Finding>,
    swept: bool,
}

impl Finder {
    /// A finder on the usual ports, and on that of the environment's `PORT`, but not on the server's own.
    pub(crate) fn new(own_port: u16, extra: &[u16]) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // This machine is reached without one.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut ports: Vec<u16> = PORTS.iter().chain(extra).copied().collect();
        ports.retain(|port| *port != own_port);
        ports.sort_unstable();
        ports.dedup();
        Ok(Self {
            client,
            ports,
            told: BTreeMap::new(),
            swept: false,
        })
    }

    /// Looks at all ports; returns the URLs of the apps it found. Tells what is new.
    pub(crate) async fn sweep(&mut self) -> Vec<String> {
        let looks = self.ports.iter().map(|port| look(&self.client, *port));
        let found: Vec<(u16, Finding)> = join_all(looks).await.into_iter().flatten().collect();
        let mut urls = Vec::new();
        for (port, finding) in found {
            let is_new = self.told.get(&port) != Some(&finding);
            match &finding {
                Finding::App { url, sdk } => {
                    if is_new {
                        tracing::info!(url, sdk, "found an app");
                    }
                    urls.push(url.clone());
                }
                Finding::Other(reason) if is_new => {
                    tracing::info!(
                        port,
                        reason,
                        "something listens, but no app was found there"
                    );
                }
                Finding::Other(_) => {}
            }
            self.told.insert(port, finding);
        }
        if urls.is_empty() && !self.swept {
            tracing::info!(
                ports = self.ports.len(),
                paths = PATHS.join(" "),
                "no app found yet; start one, or say where it is with -u"
            );
        }
        self.swept = true;
        urls
    }
}

/// What is at a port; nothing when nothing listens.
async fn look(client: &reqwest::Client, port: u16) -> Option<(u16, Finding)> {
    let knock = TcpStream::connect(("localhost", port));
    match tokio::time::timeout(KNOCK, knock).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return None,
    }
    let origin = match port {
        443 => "https://localhost".to_owned(),
        80 => "http://localhost".to_owned(),
        port => format!("http://localhost:{port}"),
    };
    let mut reasons = Vec::new();
    for path in PATHS {
        let url = format!("{origin}{path}");
        match client.get(&url).send().await {
            Ok(answer) => {
                let sdk = answer.headers().get(headers::SDK);
                if let Some(sdk) = sdk {
                    let sdk = sdk.to_str().unwrap_or("unknown").to_owned();
                    return Some((port, Finding::App { url, sdk }));
                }
                reasons.push(format!("{path} is HTTP {}", answer.status().as_u16()));
            }
            Err(error) => {
                // It will not speak HTTP on the next path either.
                let why = if error.is_timeout() {
                    "it does not answer HTTP in time"
                } else if error.is_connect() {
                    "no connection can be set up"
                } else {
                    "it does not speak HTTP"
                };
                reasons.push(why.to_owned());
                break;
            }
        }
    }
    Some((port, Finding::Other(reasons.join(", "))))
}
