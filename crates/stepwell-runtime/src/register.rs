//! Registration: an app's functions are checked and handed to the engine.

use sha2::{Digest, Sha256};
use stepwell_engine::function::{ConfigError, compile_all};
use stepwell_engine::{AppRow, AppSync, Timestamp};
use stepwell_protocol::AppId;
use stepwell_protocol::register::{Registration, normalize_url};

/// JavaScript SDKs in this range lose data by a bug of theirs.
const BLOCKED_JS: [(u64, u64, u64); 2] = [(3, 22, 0), (3, 53, 1)];

/// Why an app was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The app has no name.
    #[error("App ID required")]
    NoName,
    /// The app's URL is none.
    #[error("the app's url '{0}' is not an absolute URL")]
    Url(String),
    /// The SDK's version must not be used.
    #[error("App sync was blocked because {0} has a bug that can lose data; use a newer version")]
    Blocked(String),
    /// Functions cannot be used.
    #[error("At least one function is invalid")]
    Functions(Vec<ConfigError>),
}

/// Checks a registration and puts it in the engine's terms.
///
/// # Errors
/// [`RegisterError`]; with every error of every function at once.
pub fn check_registration(registration: &Registration) -> Result<AppSync, RegisterError> {
    if registration.app_name.is_empty() {
        return Err(RegisterError::NoName);
    }
    if is_blocked(&registration.sdk) {
        return Err(RegisterError::Blocked(registration.sdk.clone()));
    }
    let url = normalize_url(&registration.url)
        .ok_or_else(|| RegisterError::Url(registration.url.clone()))?;
    let functions = compile_all(registration).map_err(RegisterError::Functions)?;
    let text = serde_json::to_vec(registration).expect("a registration has only string keys");
    let app = AppRow {
        id: AppId::of(&registration.app_name),
        name: registration.app_name.clone(),
        url,
        sdk: registration.sdk.clone(),
        framework: registration.framework.clone(),
        checksum: hex::encode(Sha256::digest(text)),
        synced_at: Timestamp::default(),
    };
    Ok(AppSync { app, functions })
}

fn is_blocked(sdk: &str) -> bool {
    let Some(version) = sdk.strip_prefix("js:v") else {
        return false;
    };
    let mut parts = version.split(['.', '-', '+']).map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (BLOCKED_JS[0]..=BLOCKED_JS[1]).contains(&(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_data_are_blocked() {
        for (sdk, blocked) in [
            ("js:v3.21.9", false),
            ("js:v3.22.0", true),
            ("js:v3.40.1-beta.1", true),
            ("js:v3.53.1", true),
            ("js:v3.53.2", false),
            ("js:v4.0.0", false),
            ("py:v3.30.0", false),
            ("js:vx", false),
        ] {
            assert_eq!(is_blocked(sdk), blocked, "{sdk}");
        }
    }
}
