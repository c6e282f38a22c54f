//! One request of a chain of redirects.

use super::problem::{Problem, origin};
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, HeaderMap, HeaderName,
    LOCATION,
};
use http::{Method, StatusCode};
use reqwest::Response;
use stepwell_protocol::gateway::{Auth, Request};
use url::Url;

/// What describes a body, and goes when the body goes.
const OF_A_BODY: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];

#[derive(Debug)]
pub(super) struct Hop {
    /// Where it goes, without the key of [`Auth::QueryKey`].
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) body: Bytes,
    headers: HeaderMap,
    /// Whether every URL so far was of the origin that the function named. A chain that has left it does not get its
    /// secrets back by returning: whoever it went through chose where.
    at_home: bool,
}

impl Hop {
    pub(super) fn first(request: &Request) -> Self {
        Self {
            url: request.url.clone(),
            method: request.method.clone(),
            body: Bytes::from_owner(request.body.clone()),
            headers: request.headers.clone(),
            at_home: true,
        }
    }

    /// What is sent: with the proof of who asks where it may go.
    pub(super) fn with_auth(&self, auth: Option<&Auth>) -> (Url, HeaderMap) {
        let mut url = self.url.clone();
        let mut headers = self.headers.clone();
        match auth.filter(|_| self.at_home) {
            None => {}
            Some(Auth::QueryKey(key)) => {
                url.query_pairs_mut().append_pair("key", key);
            }
            Some(Auth::Header(name, value)) => {
                headers.insert(name.clone(), value.clone());
            }
        }
        (url, headers)
    }

    /// Where an answer redirects to, by the rules that browsers follow (fetch standard, HTTP-redirect fetch).
    pub(super) fn next(&self, response: &Response) -> Result<Option<Self>, Problem> {
        let status = response.status();
        let redirects = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(None);
        };
        if !redirects.contains(&status) {
            return Ok(None);
        }
        let bad = |reason: String| Problem::BadRedirect {
            origin: origin(&self.url),
            reason,
        };
        // Some servers send their letters as they are, in UTF-8.
        let location = std::str::from_utf8(location.as_bytes())
            .map_err(|_| bad("what is not text".to_owned()))?;
        let mut url = self
            .url
            .join(location)
            .map_err(|error| bad(format!("what is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(bad(format!(
                "the scheme '{scheme}'; requests go over http and https only"
            )));
        }
        url.set_fragment(None);
        // A user in a redirect is somebody else's idea of who asks.
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.expect("a URL over http has a host, so it may have a user");
        let mut next = Self {
            at_home: self.at_home && url.origin() == self.url.origin(),
            url,
            method: self.method.clone(),
            body: self.body.clone(),
            headers: self.headers.clone(),
        };
        let drops_body = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if drops_body {
            next.method = Method::GET;
            next.body = Bytes::new();
            for name in &OF_A_BODY {
                next.headers.remove(name);
            }
        }
        if !next.at_home {
            let secrets = self
                .headers
                .iter()
                .filter(|(_, value)| value.is_sensitive());
            for (name, _) in secrets {
                next.headers.remove(name);
            }
        }
        Ok(Some(next))
    }
}
