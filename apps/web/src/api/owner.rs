//! Who calls, and what is theirs.

use super::Shared;
use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use studio233_db::{Workspace, WorkspaceId};

const HEADER: &str = "x-user-id";
/// Who calls without saying so.
const LOCAL: &str = "local";
const CHARS_MAX: usize = 100;

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User(pub(crate) String);

impl User {
    /// Whoever calls without saying who it is runs the studio: proxies for others say so.
    pub(crate) fn is_operator(&self) -> bool {
        self.0 == LOCAL
    }
}

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(HEADER) else {
            return Ok(Self(LOCAL.to_owned()));
        };
        let text = value.to_str().unwrap_or("").trim();
        if text == LOCAL {
            let message =
                format!("X-User-Id: {LOCAL:?} is the studio's operator, who calls without it");
            return Err(ApiError::bad("bad_user", message));
        }
        let usable = !text.is_empty() && text.len() <= CHARS_MAX;
        usable.then(|| Self(text.to_owned())).ok_or_else(|| {
            ApiError::bad(
                "bad_user",
                format!("X-User-Id is not 1 to {CHARS_MAX} printable ASCII characters"),
            )
        })
    }
}

/// Whether something can have this id. PostgreSQL fails a query for text with NUL in it.
pub(crate) fn storable(id: &str) -> bool {
    !id.contains('\0')
}

impl Shared {
    /// The workspace, if it is the caller's.
    pub(crate) async fn own_workspace(&self, id: &str, user: &User) -> Result<Workspace, ApiError> {
        let found = match storable(id) {
            true => self.database.workspace(&WorkspaceId::new(id)).await?,
            false => None,
        };
        found
            .filter(|workspace| workspace.user_id == user.0)
            .ok_or_else(|| ApiError::absent("workspace", id))
    }
}
