//! The messages. Numbers are the protocol's; fields that we do not name are skipped when read.

use prost::{Enumeration, Message};

/// What every WebSocket frame holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Frame {
    /// What `payload` is.
    #[prost(enumeration = "FrameKind", tag = "1")]
    pub kind: i32,
    /// The message of that kind; empty for many.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// The kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum FrameKind {
    /// Server: go on.
    GatewayHello = 0,
    /// Worker: [`WorkerConnect`].
    WorkerConnect = 1,
    /// Server: [`ReadyData`].
    GatewayConnectionReady = 2,
    /// Server: [`ExecutorRequest`].
    GatewayExecutorRequest = 3,
    /// Worker: calls may come.
    WorkerReady = 4,
    /// Worker: [`RequestAck`].
    WorkerRequestAck = 5,
    /// Worker: [`SdkResponse`].
    WorkerReply = 6,
    /// Server: [`ReplyAck`].
    WorkerReplyAck = 7,
    /// Worker: no more calls; it finishes those that it has.
    WorkerPause = 8,
    /// Worker: still there.
    WorkerHeartbeat = 9,
    /// Server: still there, too.
    GatewayHeartbeat = 10,
    /// Server: it is going away, connect anew.
    GatewayClosing = 11,
    /// Worker: [`ExtendLease`].
    WorkerRequestExtendLease = 12,
    /// Server: [`ExtendLeaseAck`].
    WorkerRequestExtendLeaseAck = 13,
    /// Server: [`SystemError`], before it closes.
    SyncFailed = 14,
    /// Worker: [`WorkerStatus`].
    WorkerStatus = 15,
}

/// An app of a worker.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AppConfiguration {
    /// The app's name, which identifies it.
    #[prost(string, tag = "1")]
    pub app_name: String,
    /// The app's own version.
    #[prost(string, optional, tag = "2")]
    pub app_version: Option<String>,
    /// Its functions: a JSON array of [`crate::config::FunctionConfig`].
    #[prost(bytes = "vec", tag = "4")]
    pub functions: Vec<u8>,
}

/// What a worker has from [`StartResponse`].
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct AuthData {
    /// Opens the gateway.
    #[prost(string, tag = "1")]
    pub session_token: String,
    /// Opens registration.
    #[prost(string, tag = "2")]
    pub sync_token: String,
}

impl std::fmt::Debug for AuthData {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AuthData(…)")
    }
}

/// Who connects, with what apps.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkerConnect {
    /// The id from [`StartResponse`].
    #[prost(string, tag = "1")]
    pub connection_id: String,
    /// The worker's own name, the same after a restart.
    #[prost(string, tag = "2")]
    pub instance_id: String,
    /// The tokens.
    #[prost(message, optional, tag = "3")]
    pub auth_data: Option<AuthData>,
    /// What the SDK can do, as a JSON object.
    #[prost(bytes = "vec", tag = "4")]
    pub capabilities: Vec<u8>,
    /// At least one.
    #[prost(message, repeated, tag = "5")]
    pub apps: Vec<AppConfiguration>,
    /// Whether calls have to wait for [`FrameKind::WorkerReady`].
    #[prost(bool, tag = "6")]
    pub worker_manual_readiness_ack: bool,
    /// The machine.
    #[prost(message, optional, tag = "7")]
    pub system_attributes: Option<SystemAttributes>,
    /// The environment's name.
    #[prost(string, optional, tag = "8")]
    pub environment: Option<String>,
    /// `connect`.
    #[prost(string, tag = "9")]
    pub framework: String,
    /// Where it is hosted.
    #[prost(string, optional, tag = "10")]
    pub platform: Option<String>,
    /// The SDK's version.
    #[prost(string, tag = "11")]
    pub sdk_version: String,
    /// The SDK's language.
    #[prost(string, tag = "12")]
    pub sdk_language: String,
    /// When the worker began to connect.
    #[prost(message, optional, tag = "13")]
    pub started_at: Option<Timestamp>,
    /// How many calls it takes at once; 0 or nothing for any number.
    #[prost(int64, optional, tag = "14")]
    pub max_worker_concurrency: Option<i64>,
}

/// The machine of a worker.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SystemAttributes {
    /// Its processors.
    #[prost(int32, tag = "1")]
    pub cpu_cores: i32,
    /// Its memory, in bytes.
    #[prost(int64, tag = "2")]
    pub mem_bytes: i64,
    /// Its operating system.
    #[prost(string, tag = "3")]
    pub os: String,
}

/// A moment, as Protocol Buffers write it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// How often the worker is to be heard; spans of whole seconds, e.g. `10s`, which every SDK can read.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReadyData {
    /// Time between two heartbeats.
    #[prost(string, tag = "1")]
    pub heartbeat_interval: String,
    /// Time between two extensions of a lease.
    #[prost(string, tag = "2")]
    pub extend_lease_interval: String,
    /// Time between two [`WorkerStatus`]; `0s` for none.
    #[prost(string, tag = "3")]
    pub status_interval: String,
}

/// What a worker says of itself.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkerStatus {
    /// The calls that it has.
    #[prost(string, repeated, tag = "1")]
    pub in_flight_request_ids: Vec<String>,
    /// Whether it is shutting down.
    #[prost(bool, tag = "2")]
    pub shutdown_requested: bool,
}

/// A call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExecutorRequest {
    /// Names the call; a call that is made again has the same.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// The account.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// The environment.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// The app.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// The app's name.
    #[prost(string, tag = "5")]
    pub app_name: String,
    /// The function.
    #[prost(string, tag = "6")]
    pub function_id: String,
    /// The function's public id, `<app>-<function>`.
    #[prost(string, tag = "7")]
    pub function_slug: String,
    /// The target step, or `step`.
    #[prost(string, optional, tag = "8")]
    pub step_id: Option<String>,
    /// The body of the call as over HTTP: [`crate::call::CallRequest`].
    #[prost(bytes = "vec", tag = "9")]
    pub request_payload: Vec<u8>,
    /// The server's trace: a JSON object of W3C headers.
    #[prost(bytes = "vec", tag = "10")]
    pub system_trace_ctx: Vec<u8>,
    /// The user's trace: the same.
    #[prost(bytes = "vec", tag = "11")]
    pub user_trace_ctx: Vec<u8>,
    /// The run.
    #[prost(string, tag = "12")]
    pub run_id: String,
    /// The lease, which the worker extends while it has the call.
    #[prost(string, tag = "13")]
    pub lease_id: String,
    /// The queue item.
    #[prost(string, tag = "14")]
    pub job_id: String,
}

/// A worker has taken a call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestAck {
    /// The call.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// As in the call.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// As in the call.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// As in the call.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// As in the call.
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// As in the call.
    #[prost(string, optional, tag = "6")]
    pub step_id: Option<String>,
    /// As in the call.
    #[prost(bytes = "vec", tag = "7")]
    pub system_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(bytes = "vec", tag = "8")]
    pub user_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(string, tag = "9")]
    pub run_id: String,
}

/// A worker still has a call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExtendLease {
    /// The call.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// As in the call.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// As in the call.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// As in the call; some SDKs leave it out.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// As in the call.
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// As in the call.
    #[prost(string, optional, tag = "6")]
    pub step_id: Option<String>,
    /// As in the call.
    #[prost(bytes = "vec", tag = "7")]
    pub system_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(bytes = "vec", tag = "8")]
    pub user_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(string, tag = "9")]
    pub run_id: String,
    /// The lease as the worker knows it.
    #[prost(string, tag = "10")]
    pub lease_id: String,
}

/// What becomes of a lease.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExtendLeaseAck {
    /// The call.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// As in the call.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// As in the call.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// As in the call.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// As in the call.
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// The lease from now on; nothing when it is lost.
    #[prost(string, optional, tag = "6")]
    pub new_lease_id: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ResponseStatus {
    /// Steps ran or are asked for: HTTP 206.
    NotCompleted = 0,
    /// The function returned: HTTP 200.
    Done = 1,
    /// It failed: HTTP 500.
    Error = 2,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SdkResponse {
    /// The call.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// As in the call.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// As in the call.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// As in the call.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// How it ended.
    #[prost(enumeration = "ResponseStatus", tag = "5")]
    pub status: i32,
    /// The body as over HTTP.
    #[prost(bytes = "vec", tag = "6")]
    pub body: Vec<u8>,
    /// Whether a failure must not be retried.
    #[prost(bool, tag = "7")]
    pub no_retry: bool,
    /// When a retry may come, as in the header.
    #[prost(string, optional, tag = "8")]
    pub retry_after: Option<String>,
    /// The SDK.
    #[prost(string, tag = "9")]
    pub sdk_version: String,
    /// The request version that the SDK speaks; 0 when it does not say.
    #[prost(uint32, tag = "10")]
    pub request_version: u32,
    /// As in the call.
    #[prost(bytes = "vec", tag = "11")]
    pub system_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(bytes = "vec", tag = "12")]
    pub user_trace_ctx: Vec<u8>,
    /// As in the call.
    #[prost(string, tag = "13")]
    pub run_id: String,
}

/// The server has an answer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReplyAck {
    /// The call.
    #[prost(string, tag = "1")]
    pub request_id: String,
}

/// The body of `POST /v0/connect/start`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StartRequest {
    /// Groups of gateways that the worker has just failed to use.
    #[prost(string, repeated, tag = "1")]
    pub exclude_gateways: Vec<String>,
}

/// Where and how to connect.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct StartResponse {
    /// A new id for the connection: a ULID.
    #[prost(string, tag = "1")]
    pub connection_id: String,
    /// The WebSocket's URL.
    #[prost(string, tag = "2")]
    pub gateway_endpoint: String,
    /// The gateway's group.
    #[prost(string, tag = "3")]
    pub gateway_group: String,
    /// Opens the gateway.
    #[prost(string, tag = "4")]
    pub session_token: String,
    /// Opens registration: what the worker gave as its bearer token.
    #[prost(string, tag = "5")]
    pub sync_token: String,
}

impl std::fmt::Debug for StartResponse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StartResponse")
            .field("connection_id", &self.connection_id)
            .field("gateway_endpoint", &self.gateway_endpoint)
            .field("gateway_group", &self.gateway_group)
            .finish_non_exhaustive()
    }
}

/// What `POST /v0/connect/flush` answers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FlushResponse {
    /// The call whose answer was taken.
    #[prost(string, tag = "1")]
    pub request_id: String,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SystemError {
    /// A stable name.
    #[prost(string, tag = "1")]
    pub code: String,
    /// More, as JSON.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub data: Option<Vec<u8>>,
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
}
