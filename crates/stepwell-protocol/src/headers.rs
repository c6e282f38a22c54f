//! Header names, in lower case as HTTP libraries store them.

/// Marks an answer as an SDK's and names it, e.g. `inngest-js:v4.1.2`.
pub const SDK: &str = "x-inngest-sdk";
/// `t=<unix seconds>&s=<hex>`; see [`crate::signing`].
pub const SIGNATURE: &str = "x-inngest-signature";
/// `dev` or `cloud`.
pub const SERVER_KIND: &str = "x-inngest-server-kind";
/// On registration: the kind of server that the SDK expects.
pub const EXPECTED_SERVER_KIND: &str = "x-inngest-expected-server-kind";
/// `in_band` or `out_of_band`.
pub const SYNC_KIND: &str = "x-inngest-sync-kind";
/// The request version that an SDK speaks, 1 or 2.
pub const REQUEST_VERSION: &str = "x-inngest-req-version";
/// `true` when an attempt must not be retried.
pub const NO_RETRY: &str = "x-inngest-no-retry";
/// Seconds or a date before which an attempt must not be retried.
pub const RETRY_AFTER: &str = "retry-after";
/// Seeds the internal ids of the events in a request; see [`crate::event::IdSeed`].
pub const EVENT_ID_SEED: &str = "x-inngest-event-id-seed";
/// The environment that a request is for.
pub const ENVIRONMENT: &str = "x-inngest-env";
/// The web framework under an SDK.
pub const FRAMEWORK: &str = "x-inngest-framework";
/// The run that a call belongs to.
pub const RUN_ID: &str = "x-run-id";
/// The target step of a call, or `step`.
pub const STEP_ID: &str = "x-inngest-step-id";
/// The dispatch number of a call.
pub const GENERATION_ID: &str = "x-inngest-generation-id";
/// The queue item of a call.
pub const JOB_ID: &str = "x-inngest-job-id";
/// The id of one request.
pub const REQUEST_ID: &str = "x-request-id";
/// The trace that a call is part of (W3C trace context).
pub const TRACEPARENT: &str = "traceparent";
/// What else goes along with it: `inngest@traceref`, `inngest@fn`, `inngest@app`.
pub const TRACESTATE: &str = "tracestate";
/// `true` when a re-entered endpoint is to plan steps rather than run them at once.
pub const FORCE_STEP_PLAN: &str = "x-inngest-force-step-plan";
