//! Registration: how an app tells a server what functions it has.

use crate::config::{FunctionConfig, lower_keys};
use crate::{AppId, DecodeError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The body of `POST /fn/register`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Registration {
    /// Where the app is called.
    #[serde(default)]
    pub url: String,
    /// `ping`.
    #[serde(default, rename(serialize = "deployType", deserialize = "deploytype"))]
    pub deploy_type: String,
    /// The web framework under the SDK.
    #[serde(default)]
    pub framework: String,
    /// The app's name, which identifies it.
    #[serde(default, rename(serialize = "appName", deserialize = "appname"))]
    pub app_name: String,
    /// The app's own version.
    #[serde(
        default,
        rename(serialize = "appVersion", deserialize = "appversion"),
        skip_serializing_if = "Option::is_none"
    )]
    pub app_version: Option<String>,
    /// The SDK, e.g. `js:v4.1.2`.
    #[serde(default)]
    pub sdk: String,
    /// `0.1`.
    #[serde(default)]
    pub v: String,
    /// What the SDK can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Value>,
    /// All functions of the app; one that is missing is archived.
    #[serde(default)]
    pub functions: Vec<FunctionConfig>,
}

impl Registration {
    /// Decodes a body, with keys in any case.
    ///
    /// # Errors
    /// [`DecodeError`] with the path of what does not fit, in lower case.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let value: Value = crate::decode::from_slice(body)?;
        // A derived struct would also take an array of its fields.
        if !value.is_object() {
            return Err(DecodeError {
                path: String::new(),
                message: "expected a JSON object".to_owned(),
            });
        }
        crate::decode::from_value(lower_keys(value))
    }
}

/// What a server answers to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterAnswer {
    /// True.
    pub ok: bool,
    /// Whether anything changed.
    pub modified: bool,
    /// This registration.
    pub sync_id: Uuid,
    /// The app.
    pub app_id: AppId,
}

/// The form in which an SDK's URL is stored and compared: without `deployId` and `probe`, without a default
/// port, with `localhost` for a loopback address with a port. `None` when it is not an absolute URL.
#[must_use]
pub fn normalize_url(text: &str) -> Option<String> {
    // The scheme's own parser knows the default ports and escapes the query again.
    let (scheme, rest) = text.trim().split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path_and_query) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.is_empty() {
        return None;
    }
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let query = query.split('#').next().unwrap_or("");
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let key = pair.split('=').next().unwrap_or("");
            !key.is_empty() && key != "deployId" && key != "probe"
        })
        .collect();
    let authority = match authority.rsplit_once(':') {
        Some((host, "80")) if scheme == "http" || scheme == "ws" => host.to_owned(),
        Some((host, "443")) if scheme == "https" || scheme == "wss" => host.to_owned(),
        Some(("127.0.0.1" | "0.0.0.0", port)) => format!("localhost:{port}"),
        _ => authority.to_owned(),
    };
    let mut url = format!("{scheme}://{authority}{path}");
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_normalized() {
        for (text, expected) in [
            (
                "http://127.0.0.1:3000/api/inngest?deployId=x",
                "http://localhost:3000/api/inngest",
            ),
            (
                "http://0.0.0.0:3000/a?fnId=f&stepId=step&probe=trust",
                "http://localhost:3000/a?fnId=f&stepId=step",
            ),
            ("https://app.example:443/x", "https://app.example/x"),
            ("http://app.example:80", "http://app.example"),
            ("http://127.0.0.1/x", "http://127.0.0.1/x"),
        ] {
            assert_eq!(normalize_url(text).as_deref(), Some(expected));
        }
        assert_eq!(normalize_url("localhost:3000"), None);
        assert_eq!(normalize_url("http:///x"), None);
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let error =
            Registration::parse(br#"{"functions":[{"id":"a"},{"id":"b","retries":"many"}]}"#)
                .unwrap_err();
        assert_eq!(error.path, "functions[1].retries");
    }
}
