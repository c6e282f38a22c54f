//! Connect: a worker calls out to a server over a WebSocket and gets its calls there.
//!
//! Every frame is a binary [`Frame`], a kind and the message of that kind, in Protocol Buffers (package `connect.v1`).
//! The conversation: `GatewayHello`, `WorkerConnect`, `GatewayConnectionReady`, `WorkerReady`; then calls
//! (`GatewayExecutorRequest`), each acknowledged, kept by extending its lease, and replied to.

mod messages;

pub use messages::{
    AppConfiguration, AuthData, ExecutorRequest, ExtendLease, ExtendLeaseAck, FlushResponse, Frame,
    FrameKind, ReadyData, ReplyAck, RequestAck, ResponseStatus, SdkResponse, StartRequest,
    StartResponse, SystemAttributes, SystemError, Timestamp, WorkerConnect, WorkerStatus,
};
pub use prost::{DecodeError, Message};

use crate::reply::{RawReply, ReplyHeaders};

/// The WebSocket sub-protocol, which both sides insist on.
pub const SUBPROTOCOL: &str = "v0.connect.inngest.com";
/// Where an app that is reached by connect registers, in place of a URL of its own.
pub const APP_URL: &str = "ws://connect";
/// The content type of requests and responses over HTTP.
pub const CONTENT_TYPE: &str = "application/protobuf";

/// Why a server closes a connection; the text is the reason in the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Nothing came in the time for the first message.
    HelloTimeout,
    /// The first message was not the one expected.
    HelloInvalidMessage,
    /// The first message cannot be used.
    HelloInvalidPayload,
    /// The session token is not good.
    AuthenticationFailed,
    /// More apps than a connection may have.
    TooManyApps,
    /// More connections than the server takes.
    TooManyConnections,
    /// An acknowledgement cannot be read.
    RequestAckInvalid,
    /// The extension of a lease cannot be read.
    ExtendLeaseInvalid,
    /// Any other message cannot be read.
    InvalidMessage,
    /// An app's functions cannot be used.
    InvalidFunctionConfig,
    /// Something went wrong in the server.
    Internal,
    /// The server is shutting down.
    GatewayClosing,
    /// The worker has sent no heartbeats.
    HeartbeatsMissed,
    /// A frame was larger than the server reads.
    MessageTooLarge,
    /// Frames do not go out: the worker does not read.
    NotReading,
}

impl CloseCode {
    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HelloTimeout => "connect_worker_hello_timeout",
            Self::HelloInvalidMessage => "connect_worker_hello_invalid_msg",
            Self::HelloInvalidPayload => "connect_worker_hello_invalid_payload",
            Self::AuthenticationFailed => "connect_authentication_failed",
            Self::TooManyApps => "connect_too_many_apps_per_connection",
            Self::TooManyConnections => "connect_too_many_connections",
            Self::RequestAckInvalid => "connect_worker_request_ack_invalid_payload",
            Self::ExtendLeaseInvalid => "connect_worker_request_extend_lease_invalid_payload",
            Self::InvalidMessage => "connect_run_invalid_message",
            Self::InvalidFunctionConfig => "connect_invalid_function_config",
            Self::Internal => "connect_internal_error",
            Self::GatewayClosing => "connect_gateway_closing",
            Self::HeartbeatsMissed => "CONSECUTIVE_HEARTBEATS_MISSED",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::NotReading => "UNEXPECTED",
        }
    }

    /// The WebSocket status that goes with it (RFC 6455, section 7.4.1).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Internal => 1011,
            Self::GatewayClosing => 1001,
            Self::MessageTooLarge => 1009,
            Self::TooManyConnections => 1013,
            _ => 1008,
        }
    }
}

impl Frame {
    /// A frame without a message.
    #[must_use]
    pub fn bare(kind: FrameKind) -> Self {
        Self {
            kind: kind.into(),
            payload: Vec::new(),
        }
    }

    /// A frame with a message of its kind.
    #[must_use]
    pub fn of(kind: FrameKind, message: &impl Message) -> Self {
        Self {
            kind: kind.into(),
            payload: message.encode_to_vec(),
        }
    }
}

impl SdkResponse {
    /// The answer as it would have come over HTTP.
    ///
    /// An SDK sends a failure that must not be retried as `Done` where it has no status for it; only `no_retry` tells.
    #[must_use]
    pub fn into_raw_reply(self) -> RawReply {
        let status = match self.status() {
            ResponseStatus::NotCompleted => 206,
            ResponseStatus::Error => 500,
            ResponseStatus::Done if self.no_retry => 400,
            ResponseStatus::Done => 200,
        };
        let sdk = match self.sdk_version {
            // A minimal answer to an error names none, and is an SDK's all the same.
            version if version.is_empty() => "connect".to_owned(),
            version => version,
        };
        RawReply {
            status,
            headers: ReplyHeaders {
                sdk: Some(sdk),
                no_retry: Some(self.no_retry),
                retry_after: self.retry_after.filter(|text| !text.is_empty()),
                request_version: i32::try_from(self.request_version)
                    .ok()
                    .filter(|version| *version > 0),
            },
            body: self.body,
        }
    }
}

#[cfg(test)]
mod tests;
