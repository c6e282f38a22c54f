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

/// A token that opens one thing only, the metrics. It never appears in `Debug`.
#[derive(Clone)]
pub struct MetricsToken(String);

impl MetricsToken {
    /// The token, unless it is empty.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        (!token.is_empty()).then(|| Self(token.to_owned()))
    }

    /// Compares in a time that does not depend on where they differ.
    fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MetricsToken(…)")
    }
}

/// Whether this opens the metrics: the token for them, or whatever opens all. Open to anyone is only a server with neither.
pub(crate) fn opens_metrics(options: &ServerOptions, shown: &str) -> bool {
    let by_key = options.signing_key.is_some() && opens(options, shown);
    match &options.metrics_token {
        // Both are tried in any case: the time tells nothing.
        Some(token) => token.is(shown) | by_key,
        None => by_key | options.signing_key.is_none(),
    }
}

/// Lets a request pass whose bearer token is the signing key or the fallback, if there is a signing key.
pub(crate) async fn require_signing_key(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    if !opens(&shared.options, bearer(request.headers())) {
        return (StatusCode::UNAUTHORIZED, "Authentication failed").into_response();
    }
    next.run(request).await
}

/// Whether this is a signing key of the server, or it has none.
pub(crate) fn opens(options: &ServerOptions, key: &str) -> bool {
    let Some(signing_key) = &options.signing_key else {
        return true;
    };
    let fallback = options.signing_key_fallback.as_ref();
    // Both are tried in any case: the time tells nothing.
    let by_fallback = fallback.is_some_and(|fallback| fallback.accepts_bearer(key));
    signing_key.accepts_bearer(key) || by_fallback
}

/// What a request's sender shows to be let in; empty if nothing.
pub(crate) fn bearer(sent: &HeaderMap) -> &str {
    let value = sent.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or("")
}
