use super::{FetchError, Fetched, Fetcher, Origin, Refusal, address, shown};
use bytes::BytesMut;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT};
use reqwest::{Client, Response};
use std::net::SocketAddr;
use std::sync::Once;
use url::{Host, Url};

impl Fetcher {
    /// One attempt: the request, and the redirects it meets.
    pub(super) async fn follow(&self, mut url: Url) -> Result<Fetched, FetchError> {
        let asked = shown(&url);
        for _ in 0..=self.limits.redirects_max {
            let response = self.request(&url).await?;
            let status = response.status();
            if status.is_redirection() && status != http::StatusCode::NOT_MODIFIED {
                url = next_hop(&url, &response)?;
                continue;
            }
            if status.is_server_error() {
                let status = status.as_u16();
                return Err(FetchError::Server {
                    url: shown(&url),
                    status,
                    attempts: 1,
                });
            }
            if !status.is_success() {
                return Err(FetchError::Status {
                    url: shown(&url),
                    status: status.as_u16(),
                });
            }
            return self.body(&url, response).await;
        }
        Err(FetchError::TooManyRedirects {
            url: asked,
            limit: self.limits.redirects_max,
        })
    }

    async fn request(&self, url: &Url) -> Result<Response, FetchError> {
        let addresses = self.checked_addresses(url).await?;
        let client = client_to(url, &addresses).map_err(|source| FetchError::Client {
            url: shown(url),
            source,
        })?;
        client
            .get(url.clone())
            .header(USER_AGENT, concat!("studio233/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, self.limits.content_types.join(", "))
            .send()
            .await
            .map_err(|source| network(url, source))
    }

    /// The addresses of the URL's host, all of them allowed.
    async fn checked_addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let refused = |refusal| FetchError::Refused {
            url: shown(url),
            refusal,
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(Refusal::Scheme {
                scheme: url.scheme().to_owned(),
            }));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(Refusal::Credentials));
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let host = url.host().ok_or_else(|| refused(Refusal::NoHost))?;
        let addresses: Vec<SocketAddr> = match host {
            Host::Ipv4(ip) => vec![SocketAddr::from((ip, port))],
            Host::Ipv6(ip) => vec![SocketAddr::from((ip, port))],
            Host::Domain(name) => {
                let unresolved = |source| FetchError::Resolve {
                    url: shown(url),
                    attempts: 1,
                    source,
                };
                let found = tokio::net::lookup_host((name, port))
                    .await
                    .map_err(unresolved)?;
                found.collect()
            }
        };
        if self.allowed.contains(&Origin(url.origin())) {
            return Ok(addresses);
        }
        // One private address among public ones is how rebinding looks; none is fetched then.
        for address in &addresses {
            if let Some(kind) = address::not_public(address.ip()) {
                let host = host.to_string();
                return Err(refused(Refusal::Address {
                    host,
                    address: address.ip(),
                    kind,
                }));
            }
        }
        Ok(addresses)
    }

    async fn body(&self, url: &Url, mut response: Response) -> Result<Fetched, FetchError> {
        let limit_bytes = self.limits.bytes_max;
        let too_large = || FetchError::TooLarge {
            url: shown(url),
            limit_bytes,
        };
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type
            .map(|value| {
                value
                    .split(';')
                    .next()
                    .unwrap_or("")
                    .trim()
                    .to_ascii_lowercase()
            })
            .filter(|value| !value.is_empty());
        if let Some(content_type) = &content_type {
            self.check_content_type(url, content_type)?;
        }
        if response
            .content_length()
            .is_some_and(|length| length > limit_bytes)
        {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|source| network(url, source))?
        {
            if (bytes.len() + part.len()) as u64 > limit_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Fetched {
            bytes: bytes.freeze(),
            content_type,
            url: shown(url),
        })
    }
}

fn next_hop(url: &Url, response: &Response) -> Result<Url, FetchError> {
    let bad = || FetchError::BadRedirect { url: shown(url) };
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let next = url.join(location.ok_or_else(bad)?).map_err(|_| bad())?;
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(FetchError::Refused {
            url: shown(&next),
            refusal: Refusal::Downgrade,
        });
    }
    Ok(next)
}

/// A client that connects to these addresses and to nothing else: no proxy, no resolving again,
/// no redirects of its own.
fn client_to(url: &Url, addresses: &[SocketAddr]) -> Result<Client, reqwest::Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(Host::Domain(name)) = url.host() {
        builder = builder.resolve_to_addrs(name, addresses);
    }
    builder.build()
}

fn network(url: &Url, source: reqwest::Error) -> FetchError {
    // The message would repeat the URL with its query.
    FetchError::Network {
        url: shown(url),
        attempts: 1,
        source: source.without_url(),
    }
}
