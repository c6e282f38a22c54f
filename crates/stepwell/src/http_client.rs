//! The one place from which HTTP requests leave.

use crate::BoxFuture;
use bytes::Bytes;
use http::{Request, Response};

/// Sends HTTP requests. [`Reqwest`] does, with the feature `client`; a program may bring its own.
pub trait HttpClient: Send + Sync + 'static {
    /// Sends a request and reads the whole answer, whatever its status. Redirects need not be followed.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>>;
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct HttpError {
    /// What went wrong, with its causes; without the URL, which may hold a key.
    pub reason: String,
}

/// For programs without an HTTP client: every request fails and says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHttp;

impl HttpClient for NoHttp {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        let reason = "there is no HTTP client: enable the feature `client` of the crate `stepwell`, or give the client one";
        let reason = reason.to_owned();
        Box::pin(std::future::ready(Err(HttpError { reason })))
    }
}

/// Has TLS use ring, unless the program has chosen a provider already, which is just as well.
#[cfg(feature = "client")]
pub(crate) fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(feature = "client")]
pub use with_reqwest::Reqwest;

#[cfg(feature = "client")]
mod with_reqwest {
    use super::{Bytes, HttpClient, HttpError, Request, Response};
    use crate::BoxFuture;
    use std::error::Error as StdError;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    /// A larger answer is not read: no endpoint that is called gives one.
    const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
    const CONNECT_MAX: Duration = Duration::from_secs(10);
    const REQUEST_MAX: Duration = Duration::from_secs(60);

    /// An HTTP client over reqwest, with rustls and ring.
    #[derive(Debug, Clone)]
    pub struct Reqwest(Arc<LazyLock<reqwest::Client>>);

    impl Default for Reqwest {
        /// Made with its first request: reading the TLS roots takes a while, and many programs make none.
        fn default() -> Self {
            super::use_ring();
            Self(Arc::new(LazyLock::new(make)))
        }
    }

    fn make() -> reqwest::Client {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX);
        builder
            .build()
            .expect("a TLS provider is installed and the options are constant")
    }

    impl HttpClient for Reqwest {
        fn send(
            &self,
            request: Request<Bytes>,
        ) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
            Box::pin(async move {
                let request = reqwest::Request::try_from(request).map_err(failed)?;
                let mut answer = self.0.execute(request).await.map_err(failed)?;
                let mut response = Response::builder().status(answer.status());
                if let Some(headers) = response.headers_mut() {
                    headers.clone_from(answer.headers());
                }
                let mut body = Vec::new();
                while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                    if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                        let reason = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
                        return Err(HttpError { reason });
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(response
                    .body(body.into())
                    .expect("status and headers come from a response"))
            })
        }
    }

    /// Without the URL: its path may hold an event key, and the caller knows where it asked.
    fn failed(error: reqwest::Error) -> HttpError {
        let error = error.without_url();
        let first: &(dyn StdError + 'static) = &error;
        let chain = std::iter::successors(Some(first), |error| (*error).source());
        let texts: Vec<String> = chain.take(8).map(ToString::to_string).collect();
        HttpError {
            reason: texts.join(": "),
        }
    }
}

#[cfg(all(test, feature = "client"))]
mod tests;
