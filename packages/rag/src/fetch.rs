//! Getting a document by URL.
//!
//! Two kinds of URL are understood:
//! - `blob:<key>`: a blob of the studio's own store (see [`blob_url`]); no network is involved.
//! - `http:` and `https:`: the public network only. Every address a host name resolves to is
//!   checked, and the connection goes to exactly the checked addresses, at every redirect anew, so that a URL
//!   cannot reach into the network the studio runs in. Origins of an explicit allow-list are exempt.

mod address;
mod http;
mod images;

use bytes::Bytes;
use std::net::IpAddr;
use std::time::Duration;
use studio233_blob::{BlobError, BlobStore, InvalidKey, Key};
use url::Url;

/// Longest allow-list. It is for the studio's own origins, not for the world.
pub const ALLOWED_ORIGINS_MAX: usize = 32;

/// Longest URL.
const URL_BYTES_MAX: usize = 8 * 1024;

/// How much is shown of what is not a URL.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// What fetching may cost, and what it accepts.
#[derive(Debug, Clone)]
pub struct FetchLimits {
    pub bytes_max: u64,
    /// One attempt, from connecting to the last byte, redirects included.
    pub timeout: Duration,
    /// Attempts after the first, on network errors and 5xx.
    pub retries_max: u32,
    /// Before the first retry; each next wait is twice as long.
    pub wait_first: Duration,
    pub redirects_max: u32,
    /// Accepted media types, lower case; `image/*` accepts all of a kind. A missing `Content-Type` is accepted: the reader looks at the bytes.
    pub content_types: Vec<String>,
}

impl Default for FetchLimits {
    fn default() -> Self {
        // Storage services often say octet-stream for what was uploaded without a type.
        let pdf = [
            "application/pdf",
            "application/x-pdf",
            "application/octet-stream",
            "binary/octet-stream",
        ];
        Self {
            bytes_max: 64 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            retries_max: 3,
            wait_first: Duration::from_millis(500),
            redirects_max: 5,
            content_types: pdf.map(str::to_owned).to_vec(),
        }
    }
}

impl FetchLimits {
    /// For images instead of documents. Headers often say another image than the bytes are, or one by a name of its own
    /// (`image/jpg`): which it is, its reader finds out.
    pub fn images() -> Self {
        let images = ["image/*", "application/octet-stream", "binary/octet-stream"];
        Self {
            bytes_max: 32 * 1024 * 1024,
            content_types: images.map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }

    /// For the photos of workflows, which are larger than what models are shown.
    pub fn photos() -> Self {
        Self {
            bytes_max: 100 * 1024 * 1024,
            ..Self::images()
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub bytes: Bytes,
    /// Lower case, without parameters.
    pub content_type: Option<String>,
    /// After redirects, without query and credentials.
    pub url: String,
}

/// Scheme, host and port of a server that may be on a private address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(url::Origin);

impl Origin {
    /// Reads `http://127.0.0.1:8233`. None when it is not the origin of an http(s) URL.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        plain.then(|| Self(url.origin()))
    }
}

/// Why a URL is not even tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("it is not a URL")]
    NotUrl,
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("{scheme}: URLs are not fetched; use https:, http: or a blob: of the studio")]
    Scheme { scheme: String },
    #[error("it carries a user name or password; use a signed URL instead")]
    Credentials,
    #[error("it has no host")]
    NoHost,
    #[error("{host} is at {address}, {kind}; only public addresses are fetched")]
    Address {
        host: String,
        address: IpAddr,
        kind: &'static str,
    },
    #[error("it redirects from https: to http:")]
    Downgrade,
}

/// Why a document could not be fetched. URLs in messages are without query and credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    #[error("{url} is refused: {refusal}")]
    Refused { url: String, refusal: Refusal },
    #[error("{url} is no blob of the studio")]
    BlobKey { url: String, source: InvalidKey },
    #[error("cannot read {url} from the studio's blobs")]
    Blob { url: String, source: Box<BlobError> },
    #[error("cannot find the host of {url} (tried {attempts} times)")]
    Resolve {
        url: String,
        attempts: u32,
        source: std::io::Error,
    },
    #[error("cannot download {url} (tried {attempts} times)")]
    Network {
        url: String,
        attempts: u32,
        source: reqwest::Error,
    },
    #[error("{url} did not arrive within {seconds} s (tried {attempts} times)")]
    Timeout {
        url: String,
        seconds: u64,
        attempts: u32,
    },
    #[error("the server of {url} answered {status} (tried {attempts} times)")]
    Server {
        url: String,
        status: u16,
        attempts: u32,
    },
    #[error("{url} answered {status}; check that the URL is right and not expired")]
    Status { url: String, status: u16 },
    #[error("{url} redirects more than {limit} times")]
    TooManyRedirects { url: String, limit: u32 },
    #[error("{url} redirects without saying where to")]
    BadRedirect { url: String },
    #[error("{url} is larger than {limit_bytes} bytes")]
    TooLarge { url: String, limit_bytes: u64 },
    #[error("{url} is {content_type}, which is not read here; expected {expected}")]
    ContentType {
        url: String,
        content_type: String,
        expected: String,
    },
    #[error("cannot set up the download of {url}")]
    Client { url: String, source: reqwest::Error },
}

impl FetchError {
    /// Whether fetching the same URL later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Network { .. }
            | Self::Timeout { .. }
            | Self::Server { .. }
            | Self::Client { .. } => true,
            Self::Blob { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Worth another attempt of the same call.
    fn is_worth_retrying(&self) -> bool {
        matches!(
            self,
            Self::Resolve { .. }
                | Self::Network { .. }
                | Self::Timeout { .. }
                | Self::Server { .. }
        )
    }

    fn after_attempts(mut self, made: u32) -> Self {
        match &mut self {
            Self::Resolve { attempts, .. }
            | Self::Network { attempts, .. }
            | Self::Timeout { attempts, .. }
            | Self::Server { attempts, .. } => *attempts = made,
            _ => {}
        }
        self
    }
}

/// The URL of a blob of the studio, as [`Fetcher::fetch`] understands it: `blob:brand/a/source.pdf`.
pub fn blob_url(key: &Key) -> String {
    format!("blob:{key}")
}

/// Gets documents by URL.
#[derive(Debug, Clone)]
pub struct Fetcher {
    blobs: BlobStore,
    limits: FetchLimits,
    allowed: Vec<Origin>,
}

impl Fetcher {
    /// Fetches blobs from `blobs` and everything else from the public network.
    pub fn new(blobs: BlobStore, limits: FetchLimits) -> Self {
        Self {
            blobs,
            limits,
            allowed: Vec::new(),
        }
    }

    /// Also fetches from these origins, wherever they are. The first [`ALLOWED_ORIGINS_MAX`] count.
    #[must_use]
    pub fn allowing(mut self, origins: impl IntoIterator<Item = Origin>) -> Self {
        self.allowed.extend(origins);
        self.allowed.truncate(ALLOWED_ORIGINS_MAX);
        self
    }

    /// The document at a URL, within the limits.
    pub async fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        let refused = |refusal| FetchError::Refused {
            url: shown_url(url),
            refusal,
        };
        if url.len() > URL_BYTES_MAX {
            return Err(refused(Refusal::TooLong));
        }
        let parsed = Url::parse(url).map_err(|_| refused(Refusal::NotUrl))?;
        match parsed.scheme() {
            "blob" => self.fetch_blob(&parsed).await,
            "http" | "https" => self.fetch_http(parsed).await,
            scheme => Err(refused(Refusal::Scheme {
                scheme: scheme.to_owned(),
            })),
        }
    }

    async fn fetch_blob(&self, url: &Url) -> Result<Fetched, FetchError> {
        let shown = || shown(url);
        let key = Key::parse(url.path()).map_err(|source| FetchError::BlobKey {
            url: shown(),
            source,
        })?;
        match self.blobs.get(&key, self.limits.bytes_max).await {
            Ok(blob) => {
                let content_type = blob.meta.content_type.as_str().to_owned();
                self.check_content_type(url, &content_type)?;
                Ok(Fetched {
                    bytes: blob.bytes,
                    content_type: Some(content_type),
                    url: shown(),
                })
            }
            Err(BlobError::TooLarge { limit_bytes, .. }) => Err(FetchError::TooLarge {
                url: shown(),
                limit_bytes,
            }),
            Err(error) => Err(FetchError::Blob {
                url: shown(),
                source: Box::new(error),
            }),
        }
    }

    async fn fetch_http(&self, url: Url) -> Result<Fetched, FetchError> {
        let mut wait = self.limits.wait_first;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = tokio::time::timeout(self.limits.timeout, self.follow(url.clone())).await;
            let error = match attempt {
                Ok(Ok(fetched)) => return Ok(fetched),
                Ok(Err(error)) => error,
                Err(_) => FetchError::Timeout {
                    url: shown(&url),
                    seconds: self.limits.timeout.as_secs(),
                    attempts,
                },
            };
            if !error.is_worth_retrying() || attempts > self.limits.retries_max {
                return Err(error.after_attempts(attempts));
            }
            tracing::debug!(url = shown(&url), attempts, %error, "download failed, trying again");
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    fn check_content_type(&self, url: &Url, content_type: &str) -> Result<(), FetchError> {
        if self
            .limits
            .content_types
            .iter()
            .any(|accepted| match accepted.strip_suffix('*') {
                Some(kind) => content_type.starts_with(kind),
                None => accepted == content_type,
            })
        {
            return Ok(());
        }
        Err(FetchError::ContentType {
            url: shown(url),
            content_type: content_type.to_owned(),
            expected: self.limits.content_types.join(", "),
        })
    }
}

/// A URL as it may be logged: queries carry signatures, credentials are secret.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Opaque URLs have no credentials to remove; then these fail, rightly.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}

/// A URL as it may be logged and told to others: without credentials, query (which may carry a signature) and
/// fragment. What is not a URL of this crate's kinds is shortened, too, and shown on one line.
///
/// ```
/// use studio233_rag::shown_url;
/// assert_eq!(shown_url("https://me:pw@host/doc.pdf?signature=x"), "https://host/doc.pdf");
/// ```
pub fn shown_url(text: &str) -> String {
    if let Ok(url) = Url::parse(text)
        && text.len() <= URL_BYTES_MAX
        && (url.has_host() || url.scheme() == "blob")
    {
        return shown(&url);
    }
    // Nothing says where its parts end, so whatever may be a password goes.
    let after_slashes = text.find("//").map_or(0, |at| at + 2);
    let (scheme, rest) = text.split_at(after_slashes);
    let (hidden, rest) = match rest.rfind('@') {
        Some(at) => ("…", &rest[at..]),
        None => ("", rest),
    };
    let until_query = rest.split(['?', '#']).next().unwrap_or("");
    let parts = [scheme, hidden, until_query];
    let characters = parts.iter().flat_map(|part| part.chars());
    characters
        .map(|character| match character.is_control() {
            true => ' ',
            false => character,
        })
        .take(SHOWN_CHARACTERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests;
