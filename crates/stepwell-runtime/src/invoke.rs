//! How functions are called.

mod endpoint;
pub(crate) mod http;

use futures::future::BoxFuture;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::call::{CallRequest, DISCOVERY};
use stepwell_protocol::headers;
use stepwell_protocol::otlp::trace_ref;
use stepwell_protocol::reply::RawReply;
use stepwell_protocol::{RunId, SharedJson, StepId};
use stepwell_store::history::{root_id, trace_id};

/// A call on its way out.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Where the function is called.
    pub url: Arc<str>,
    /// The function's public id.
    pub slug: Arc<str>,
    /// The run.
    pub run: RunId,
    /// The body.
    pub request: CallRequest,
    /// For a durable endpoint, the event of the request that started the run: that request is made again, and the body
    /// carries neither events nor steps.
    pub endpoint: Option<SharedJson>,
}

impl Invocation {
    /// The headers by which an app's own spans are told to be of the run and the step (W3C trace context).
    #[must_use]
    pub fn trace_headers(&self) -> [(&'static str, String); 2] {
        let ctx = &self.request.ctx;
        let target = (ctx.step_id != DISCOVERY).then(|| StepId::parse(&ctx.step_id));
        let parent = format!("00-{}-{}-01", trace_id(self.run), root_id(self.run));
        let state = format!(
            "inngest@traceref={},inngest@fn={}",
            trace_ref(self.run, target.as_ref()),
            ctx.fn_id
        );
        [(headers::TRACEPARENT, parent), (headers::TRACESTATE, state)]
    }
}

/// A call that got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The app could not be reached, or broke off; counts as an attempt.
    #[error("{0}")]
    Unreachable(String),
    /// What carries calls to the app has failed, under a name that SDKs and users know; counts as an attempt.
    #[error("{message}")]
    Carrier {
        /// The error's name, e.g. `connect_no_healthy_connection`.
        name: &'static str,
        /// What happened, for people.
        message: String,
    },
    /// The answer was over the limit; counts as an attempt.
    #[error(
        "the answer is larger than {} bytes",
        stepwell_protocol::limits::REPLY_BYTES_MAX
    )]
    TooLarge,
    /// The call cannot be made, now or later; counts as the last attempt.
    #[error("{0}")]
    Impossible(String),
    /// Nobody can take the call now; it does not count as an attempt.
    #[error("nobody can take the call now")]
    NotMade,
    /// The same, and asking again before this time has passed is in vain; a minute at most.
    #[error("nobody can take the call for a while")]
    NotFor(Duration),
}

/// Calls functions.
///
/// Dropping the future gives the call up. Several calls run at once. A call may come twice for one attempt when
/// the program was stopped between them.
pub trait Invoker: Send + Sync + fmt::Debug + 'static {
    /// Makes a call and waits for its answer.
    fn call(&self, invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>>;
}

/// Invokers by the scheme of the URLs that they serve.
#[derive(Debug, Clone, Default)]
pub struct Invokers(HashMap<String, Arc<dyn Invoker>>);

impl Invokers {
    /// No invokers: every call fails as unreachable.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Serves URLs of this scheme (without `://`) with this invoker.
    #[must_use]
    pub fn with(mut self, scheme: impl Into<String>, invoker: Arc<dyn Invoker>) -> Self {
        self.0.insert(scheme.into(), invoker);
        self
    }

    pub(crate) fn of(&self, url: &str) -> Result<&Arc<dyn Invoker>, CallError> {
        let scheme = url.split("://").next().unwrap_or("");
        self.0.get(scheme).ok_or_else(|| {
            CallError::Unreachable(format!(
                "this program cannot call URLs of the scheme '{scheme}'"
            ))
        })
    }
}
