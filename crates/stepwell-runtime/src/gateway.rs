//! Makes the requests that functions ask for with `step.fetch` and `step.ai.infer`.
//!
//! Whoever may write a function decides where these requests go, and they leave from where the server stands: inside a
//! network that trusts it, often. So addresses that are not public are refused unless [`PrivateAddresses::Allow`] is
//! chosen; the check is made on the addresses that are connected to, after resolving names and after every redirect.
//!
//! What a function gets is what is recorded as its step's value, so no part of it exceeds a step's size. Keys and other
//! secrets of a request are in no error and no log.

mod address;
mod answer;
mod guard;
mod hop;
mod on_demand;
mod problem;
mod resolver;

pub(crate) use self::guard::Guard;
pub(crate) use self::on_demand::OnDemand;
pub use self::on_demand::Preparation;
pub(crate) use self::resolver::Refused;

use self::hop::Hop;
use self::problem::Problem;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderValue};
use reqwest::{Client, Response};
use std::net::IpAddr;
use std::time::Duration;
use stepwell_protocol::gateway::{Kind, Request};
use stepwell_protocol::reply::RetryAfter;
use stepwell_protocol::{SharedJson, UserError};

/// How long a request may take from its first byte to its answer's last: as long as a call.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// How long resolving a name and connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects that a request follows; browsers stop at 20, and real chains are shorter than 5.
const REDIRECTS_MAX: usize = 10;

/// How long an idle connection is kept, and how many to one host: requests to a provider come in bursts.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_MAX: usize = 64;

/// Whether requests may go to addresses that are not public: this machine, its network, its cloud's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateAddresses {
    /// They fail. Proxies of the environment are not used either: where they connect to is not seen from here.
    #[default]
    Refuse,
    /// They go out.
    Allow,
}

/// Makes requests. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Gateway {
    client: Client,
    guard: Guard,
    timeout: Duration,
}

/// What kind of address this is, if it is refused.
pub(crate) type Rule = fn(IpAddr) -> Option<&'static str>;

/// A request that gave no result.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What the function gets once nothing is left to try.
    pub error: UserError,
    /// When a retry may come, if the other side said so.
    pub retry_after: Option<RetryAfter>,
    /// Whether another try may help.
    pub retriable: bool,
}

impl Gateway {
    /// A gateway with this rule for addresses.
    ///
    /// # Errors
    /// The client's error when TLS cannot be set up.
    pub fn new(private: PrivateAddresses) -> Result<Self, reqwest::Error> {
        Self::guarded_by(Guard::of(private), REQUEST_TIMEOUT)
    }

    #[cfg(test)]
    fn build(
        rule: Option<Rule>,
        lookup: resolver::Lookup,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        Self::guarded_by(Guard::new(rule, lookup), timeout)
    }

    fn guarded_by(guard: Guard, timeout: Duration) -> Result<Self, reqwest::Error> {
        // An error means that the program has chosen a provider already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder()
            .user_agent(concat!("Stepwell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            client: guard.watch(builder).build()?,
            guard,
            timeout,
        })
    }

    /// Makes a request and waits for its answer. Dropping the future gives it up.
    ///
    /// The result is the value to record for the step: for a fetch `{"data":{"url","headers","body","status_code"}}`,
    /// whatever the status; for an inference `{"data": <the provider's JSON>}`.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer, when it is too large, when an address is refused, or when a provider
    /// answers anything but JSON with a 2xx status.
    pub async fn perform(&self, request: &Request) -> Result<SharedJson, Failure> {
        let outcome = tokio::time::timeout(self.timeout, self.attempt(request)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(Problem::Timeout {
                origin: problem::origin(&request.url),
                after: self.timeout,
            })
        });
        outcome.map_err(|problem| problem.into_failure(request.kind))
    }

    async fn attempt(&self, request: &Request) -> Result<SharedJson, Problem> {
        let mut hop = Hop::first(request);
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(&hop, request).await?;
            if let Some(next) = hop.next(&response)? {
                hop = next;
                continue;
            }
            return match request.kind {
                Kind::Fetch => answer::fetched(&hop.url, response).await,
                Kind::Ai => answer::inferred(&hop.url, request, response).await,
            };
        }
        Err(Problem::TooManyRedirects {
            origin: problem::origin(&request.url),
            limit: REDIRECTS_MAX,
        })
    }

    async fn send(&self, hop: &Hop, request: &Request) -> Result<Response, Problem> {
        self.guard.check(&hop.url).map_err(Problem::Refused)?;
        let (url, mut headers) = hop.with_auth(request.auth.as_ref());
        let mut builder = self.client.request(hop.method.clone(), url);
        if !hop.body.is_empty() {
            builder = builder.body(hop.body.clone());
        } else if [Method::POST, Method::PUT, Method::PATCH].contains(&hop.method) {
            // Servers ask how much such a request carries, even if it is nothing (RFC 9110, 8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let sent = builder.headers(headers).send().await;
        sent.map_err(|error| Problem::network(&hop.url, error))
    }
}

#[cfg(test)]
mod tests;
