//! `GET`: what the app is.

use super::{Handler, Verified};
use crate::config::{Config, Mode};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stepwell_protocol::signing::SigningKey;

const SCHEMA_VERSION: &str = "2024-05-24";

/// What the SDK can do.
pub(crate) fn capabilities() -> Value {
    json!({"trust_probe": "v1", "in_band_sync": "v1"})
}

impl Handler {
    /// To anyone: how much is configured. To the holder of the key: where and as what, too.
    pub(super) fn introspect(&self, request: &Verified) -> Response<Bytes> {
        let body = self.inspection(request.key.is_some());
        self.json(StatusCode::OK, &body)
    }

    pub(super) fn inspection(&self, authenticated: bool) -> Value {
        let client = self.runner.client();
        let config = client.config();
        let mut body = json!({
            "authentication_succeeded": match config.mode {
                Mode::Dev => Value::Null,
                Mode::Cloud => authenticated.into(),
            },
            "capabilities": capabilities(),
            "extra": {"native_crypto": true, "is_streaming": self.is_streaming},
            "function_count": self.runner.registration("").functions.len(),
            "has_event_key": config.event_key.is_some(),
            "has_signing_key": config.signing_key.is_some(),
            "has_signing_key_fallback": config.signing_key_fallback.is_some(),
            "mode": config.mode.as_str(),
            "schema_version": SCHEMA_VERSION,
        });
        if authenticated {
            let private = self.private_inspection(client.app_id(), config);
            let fields = body.as_object_mut().expect("the body is an object");
            fields.extend(private.as_object().cloned().unwrap_or_default());
        }
        body
    }

    fn private_inspection(&self, app_id: &str, config: &Config) -> Value {
        let event_key = config.event_key.as_deref();
        json!({
            "api_origin": config.api_url,
            "app_id": app_id,
            "env": config.environment,
            "event_api_origin": config.event_url,
            "event_key_hash": event_key.map(|key| hex::encode(Sha256::digest(key))),
            "framework": self.framework,
            "sdk_language": "rust",
            "sdk_version": crate::VERSION,
            "serve_origin": config.serve_origin,
            "serve_path": config.serve_path,
            "signing_key_hash": config.signing_key.as_ref().map(key_hash),
            "signing_key_fallback_hash": config.signing_key_fallback.as_ref().map(key_hash),
        })
    }
}

/// The first 12 digits of the hashed key, without its prefix.
fn key_hash(key: &SigningKey) -> String {
    let hashed = key.hashed();
    let digits = hashed.rsplit('-').next().unwrap_or(&hashed);
    digits.chars().take(12).collect()
}
