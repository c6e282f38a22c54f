//! How providers are called over HTTP: bounded in time and size, and never with the key where it does not belong.

use crate::{ApiKey, ProviderError};
use bytes::{Bytes, BytesMut};
use http::header::{HeaderName, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, RequestBuilder};
use std::sync::Once;
use std::time::{Duration, SystemTime};
use url::Url;

/// Longest excerpt of what a service said in an error.
const MESSAGE_CHARS_MAX: usize = 300;

/// An error's body is read up to here; what services say is far shorter.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// A service that asks to wait longer is waited for this long.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a service cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    #[error("the service's base URL is not an http: or https: URL")]
    NotHttp,
    #[error("the service's base URL must not carry credentials, a query or a fragment")]
    Extras,
    #[error("cannot set up the connection to the service")]
    Client { source: reqwest::Error },
}

/// A service's address and the key for it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    client: Client,
    base: Url,
    key: ApiKey,
    key_header: HeaderName,
    /// Stands before the key in its header: `Bearer `, `Key ` or nothing.
    key_scheme: &'static str,
}

/// A whole answer of a service.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Service {
    pub(crate) fn new(
        base: &str,
        key: ApiKey,
        key_header: HeaderName,
        key_scheme: &'static str,
    ) -> Result<Self, SetupError> {
        let mut base = Url::parse(base).map_err(|_| SetupError::NotHttp)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(SetupError::NotHttp);
        }
        let plain = base.query().is_none()
            && base.fragment().is_none()
            && base.username().is_empty()
            && base.password().is_none();
        if !plain {
            return Err(SetupError::Extras);
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self {
            client: client()?,
            base,
            key,
            key_header,
            key_scheme,
        })
    }

    /// An address below the base URL.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ProviderError> {
        self.base
            .join(path)
            .ok()
            .filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| ProviderError::Malformed {
                problem: format!("{path:?} is no path"),
            })
    }

    /// An address that the service itself named. The key goes to the service and to nobody else.
    pub(crate) fn named_url(&self, url: &str) -> Result<Url, ProviderError> {
        Url::parse(url)
            .ok()
            .filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| ProviderError::Malformed {
                problem: "it named an address that is not its own".to_owned(),
            })
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.with_key(self.client.get(url))
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.with_key(self.client.post(url))
    }

    pub(crate) fn put(&self, url: Url) -> RequestBuilder {
        self.with_key(self.client.put(url))
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header(USER_AGENT, concat!("studio233/", env!("CARGO_PKG_VERSION")))
            .header(&self.key_header, self.key.header(self.key_scheme))
    }

    /// Sends the request and reads the answer to its end, whatever its status.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Reply, ProviderError> {
        let exchange = exchange(request, bytes_max);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(ProviderError::Timeout { after: timeout }),
        }
    }

    /// The error that an answer without success is. `said` is what the service's own error format says,
    /// `wait` the retry time in it.
    pub(crate) fn refusal(
        &self,
        reply: &Reply,
        said: Option<String>,
        wait: Option<Duration>,
    ) -> ProviderError {
        let status = reply.status;
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&reply.body).into_owned());
        let header = retry_after(&reply.headers, SystemTime::now());
        let transient = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::CONFLICT
                    | StatusCode::TOO_EARLY
                    | StatusCode::TOO_MANY_REQUESTS
            );
        ProviderError::Status {
            status: status.as_u16(),
            message: self.shown(&said),
            transient,
            retry_after: header.max(wait).map(|wait| wait.min(RETRY_AFTER_MAX)),
        }
    }

    /// What a service said, as it may be shown: without the key, on one line, not too long.
    pub(crate) fn shown(&self, text: &str) -> String {
        let text = self.key.redact(text);
        let mut words = text.split_whitespace();
        let mut shown = String::new();
        for word in words.by_ref() {
            if !shown.is_empty() {
                shown.push(' ');
            }
            shown.extend(word.chars().filter(|letter| !letter.is_control()));
            if shown.chars().count() > MESSAGE_CHARS_MAX {
                shown = shown.chars().take(MESSAGE_CHARS_MAX).collect();
                shown.push('…');
                break;
            }
        }
        if shown.is_empty() {
            shown.push_str("(no message)");
        }
        shown
    }
}

impl Reply {
    /// The body as JSON. An error says where it stops being what the interface promises.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ProviderError> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (at, problem) = (error.path().to_string(), error.into_inner());
            ProviderError::Malformed {
                problem: format!("at {at}: {problem}"),
            }
        })
    }
}

async fn exchange(request: RequestBuilder, bytes_max: usize) -> Result<Reply, ProviderError> {
    let network = |source: reqwest::Error| ProviderError::Network {
        source: source.without_url(),
    };
    let mut response = request.send().await.map_err(network)?;
    let status = response.status();
    let limit_bytes = if status.is_success() {
        bytes_max
    } else {
        ERROR_BYTES_MAX
    };
    let mut body = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(network)? {
        let room = limit_bytes - body.len();
        if part.len() > room {
            if !status.is_success() {
                body.extend_from_slice(&part[..room]);
                break;
            }
            return Err(ProviderError::TooLarge { limit_bytes });
        }
        body.extend_from_slice(&part);
    }
    Ok(Reply {
        status,
        headers: response.headers().clone(),
        body: body.freeze(),
    })
}

/// Redirects are not followed: they would take the key along to wherever they lead.
fn client() -> Result<Client, SetupError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|source| SetupError::Client { source })
}

/// `Retry-After` in both its forms (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(base: &str) -> Result<Service, SetupError> {
        let key = ApiKey::new("s3cret").unwrap();
        Service::new(base, key, HeaderName::from_static("x-key"), "")
    }

    #[test]
    fn a_base_url_is_an_address_and_nothing_more() {
        for bad in ["", "ftp://a.test", "nonsense", "http:"] {
            let error = service(bad).unwrap_err();
            assert!(matches!(error, SetupError::NotHttp), "{bad}");
        }
        for bad in [
            "https://me:pw@a.test",
            "https://a.test/?key=x",
            "https://a.test/#x",
        ] {
            let error = service(bad).unwrap_err();
            assert!(matches!(error, SetupError::Extras), "{bad}");
        }
        let service = service("https://a.test/v1").unwrap();
        assert_eq!(
            service.url("jobs/1").unwrap().as_str(),
            "https://a.test/v1/jobs/1"
        );
        assert!(service.url("https://b.test/").is_err());
    }

    #[test]
    fn the_key_goes_nowhere_but_to_the_service() {
        let service = service("https://a.test").unwrap();
        assert!(service.named_url("https://a.test/jobs/1").is_ok());
        for other in ["https://b.test/jobs/1", "http://a.test/jobs/1", "jobs/1"] {
            let error = service.named_url(other).unwrap_err();
            assert!(matches!(error, ProviderError::Malformed { .. }), "{other}");
        }
        assert_eq!(service.shown("key s3cret\n\n is bad\u{7}"), "key … is bad");
        assert!(!format!("{service:?}").contains("s3cret"));
    }

    #[test]
    fn what_a_service_says_is_shortened() {
        let service = service("https://a.test").unwrap();
        let shown = service.shown(&"word ".repeat(1000));
        assert_eq!(shown.chars().count(), MESSAGE_CHARS_MAX + 1);
        assert_eq!(service.shown(" "), "(no message)");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Mon, 23 Nov 2026 10:00:00 GMT").unwrap();
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("37"), Some(37));
        assert_eq!(wait("Mon, 23 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(wait("Mon, 23 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
    }
}
