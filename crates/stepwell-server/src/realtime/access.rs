//! Who may subscribe and who may publish.

use crate::access::{bearer, opens};
use crate::answer::ApiError;
use crate::state::Shared;
use axum::http::{HeaderMap, StatusCode};
use stepwell_protocol::realtime::Topic;
use stepwell_protocol::token::{Grant, TokenError};

/// The topics that whoever asks may subscribe to. The token is in the query or, where headers can be set, a bearer's.
pub(super) fn subscriber(
    shared: &Shared,
    sent: &HeaderMap,
    in_query: Option<&str>,
) -> Result<Vec<Topic>, ApiError> {
    let token = in_query.filter(|token| !token.is_empty());
    match grant(shared, token.unwrap_or_else(|| bearer(sent))) {
        Ok(Grant::Subscribe(topics)) => Ok(topics),
        Ok(Grant::Publish { .. }) => Err(refused(SUBSCRIBING, TokenError::Other)),
        Err(why) => Err(refused(SUBSCRIBING, why)),
    }
}

/// Lets those pass who may publish to the channel: with a token for it, with the signing key or, where there is none, with
/// anything but a token for something else.
pub(super) fn publisher(
    shared: &Shared,
    sent: &HeaderMap,
    in_query: Option<&str>,
    channel: &str,
) -> Result<(), ApiError> {
    let bearer = bearer(sent);
    let token = in_query.filter(|token| !token.is_empty());
    match grant(shared, token.unwrap_or(bearer)) {
        Ok(Grant::Publish { channel: None }) => Ok(()),
        Ok(Grant::Publish { channel: Some(its) }) if its == channel => Ok(()),
        Ok(_) => Err(refused(PUBLISHING, TokenError::Other)),
        // What is no token of ours may be a key, or nothing where nothing is asked for.
        Err(TokenError::Invalid) if opens(&shared.options, bearer) => Ok(()),
        Err(why) => Err(refused(PUBLISHING, why)),
    }
}

const SUBSCRIBING: &str = "Not authenticated for subscribing";
const PUBLISHING: &str = "Not authenticated for publishing";

fn grant(shared: &Shared, token: &str) -> Result<Grant, TokenError> {
    let now_s = shared.handle.now().ms() / 1_000;
    shared.tokens.check_realtime(token, now_s)
}

fn refused(what: &str, why: TokenError) -> ApiError {
    let mut error = ApiError::new(StatusCode::UNAUTHORIZED, what);
    error.details.push(why.to_string());
    error
}
