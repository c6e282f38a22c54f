//! Who may do what.

use crate::answer::ApiError;
use crate::state::{ServerOptions, Shared};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt;
use subtle::ConstantTimeEq;

/// Who may send events. Keys never appear in `Debug`.
#[derive(Clone)]
pub enum EventKeys {
    /// Whoever gives some key.
    Any,
    /// Whoever gives one of these.
    These(Vec<String>),
}

impl fmt::Debug for EventKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("Any"),
            Self::These(keys) => write!(formatter, "These({} keys)", keys.len()),
        }
    }
}

impl EventKeys {
    /// Checks a key, in a time that does not depend on where it differs.
    pub(crate) fn check(&self, key: &str) -> Result<(), ApiError> {
        if key.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "Event key is required",
            ));
        }
        match self {
            Self::Any => Ok(()),
            Self::These(keys) if keys.is_empty() => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Event keys are required to process events securely",
            )),
            Self::These(keys) => {
                let mut known = subtle::Choice::from(0);
                for candidate in keys {
                    known |= candidate.as_bytes().ct_eq(key.as_bytes());
                }
                if bool::from(known) {
                    Ok(())
                } else {
                    Err(ApiError::new(
                        StatusCode::UNAUTHORIZED,
                        "Event key not found",
                    ))
                }
            }
        }
    }
}

/// Lets a request pass whose bearer token is the signing key or the fallback, if there is a signing key.
pub(crate) async fn require_signing_key(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let token = bearer(request.headers()).unwrap_or("");
    if !is_key(&shared.options, token) {
        return (StatusCode::UNAUTHORIZED, "Authentication failed").into_response();
    }
    next.run(request).await
}

/// The bearer token of a request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    token.strip_prefix("Bearer ")
}

/// Whether a bearer token opens the server: every one does when there is no signing key.
pub(crate) fn is_key(options: &ServerOptions, token: &str) -> bool {
    let Some(key) = &options.signing_key else {
        return true;
    };
    let fallback = options.signing_key_fallback.as_ref();
    // Both are tried in any case: the time tells nothing.
    let by_fallback = fallback.is_some_and(|key| key.accepts_bearer(token));
    key.accepts_bearer(token) || by_fallback
}
