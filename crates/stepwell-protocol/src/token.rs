//! Tokens: what a server hands out so that whoever has one may read a run's end, or subscribe to topics or publish, without
//! its keys.
//!
//! They are JSON Web Tokens (RFC 7519) with HMAC-SHA256, the only algorithm that is accepted.

use crate::RunId;
use crate::realtime::{STREAM_TOPIC, Topic};
use crate::signing::SigningKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Who issues the tokens that open a run's output.
const RUN_ISSUER: &str = "api.inngest.com";
/// Who issues the tokens for subscribing and publishing.
const REALTIME_ISSUER: &str = "rt.inngest.com";
/// Who issues the tokens that open the gateway of connect.
const CONNECT_ISSUER: &str = "connect.inngest.com";
/// How long a token for a connection is good, in seconds.
pub const CONNECTION_TOKEN_S: u64 = 5 * 60;
/// How long a token for a run is good, in seconds: longer than anyone waits for a response.
pub const RUN_TOKEN_S: u64 = 60 * 60;
/// The secret of servers without a signing key, which are open to everyone anyway.
const DEV_SECRET: &[u8] = b"dev-mode-is-not-secret";
/// How long a token for subscribing or publishing is good, in seconds: it is used at once, and says nothing afterwards.
pub const REALTIME_TOKEN_S: u64 = 60;
/// A token is at most this long; most have about 300 bytes. It is part of a URL, of which servers take some 64 KiB.
pub const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// Issues and verifies tokens. Its secrets never appear in `Debug`.
#[derive(Clone)]
pub struct TokenKey {
    secret: [u8; 32],
    /// Verifies as well, and issues nothing.
    fallback: Option<[u8; 32]>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(…)")
    }
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token of this server's, or was changed.
    #[error("the token is not one of this server's")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It is for something else.
    #[error("the token is for something else")]
    Other,
}

/// What a token for subscribing or publishing is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// To subscribe to these topics.
    Subscribe(Vec<Topic>),
    /// To publish.
    Publish {
        /// To this channel only.
        channel: Option<String>,
    },
}

/// What a token for subscribing or publishing says besides what it grants.
#[derive(Debug, Clone)]
pub struct RealtimeClaims<'a> {
    /// Tells it from others.
    pub id: String,
    /// The server's account.
    pub account: &'a str,
    /// The server's environment.
    pub environment: &'a str,
    /// When it is issued, in seconds since 1970.
    pub now_s: u64,
}

#[derive(Serialize, Deserialize)]
struct RunClaims {
    iss: String,
    iat: u64,
    exp: u64,
    jti: String,
    run_id: RunId,
}

#[derive(Serialize, Deserialize)]
struct ConnectionClaims {
    iss: String,
    iat: u64,
    exp: u64,
    /// The connection's id.
    jti: String,
}

impl TokenKey {
    /// A key of its own, for tokens that need not outlive the program.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self {
            secret,
            fallback: None,
        }
    }

    /// The key of a server: tokens are good across restarts, and on all servers with the same signing key. Without one the
    /// secret is known to all, as everything else on such a server is.
    #[must_use]
    pub fn of(signing_key: Option<&SigningKey>) -> Self {
        Self::from_secret(match signing_key {
            Some(key) => derived(key),
            None => mac(DEV_SECRET, b"tokens"),
        })
    }

    /// The same key, which also takes the tokens of servers that have this signing key: while keys are being changed, some
    /// have the one and some the other.
    #[must_use]
    pub fn or(self, fallback: Option<&SigningKey>) -> Self {
        Self {
            fallback: fallback.map(derived),
            ..self
        }
    }

    /// A token that opens the output of a run for [`RUN_TOKEN_S`]; `id` tells it from others.
    #[must_use]
    pub fn for_run(&self, run: RunId, id: String, now_s: u64) -> String {
        let claims = RunClaims {
            iss: RUN_ISSUER.to_owned(),
            iat: now_s,
            exp: now_s + RUN_TOKEN_S,
            jti: id,
            run_id: run,
        };
        self.issue(&serde_json::to_value(claims).expect("claims have only string keys"))
    }

    /// Checks a token for a run's output.
    ///
    /// # Errors
    /// [`TokenError`]; the output is not to be shown then.
    pub fn check_for_run(&self, token: &str, run: RunId, now_s: u64) -> Result<(), TokenError> {
        let claims: RunClaims =
            serde_json::from_value(self.claims(token)?).map_err(|_| TokenError::Other)?;
        if claims.iss != RUN_ISSUER || claims.run_id != run {
            return Err(TokenError::Other);
        }
        if claims.exp <= now_s {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// A token that opens the gateway for the connection of this id, for [`CONNECTION_TOKEN_S`].
    #[must_use]
    pub fn for_connection(&self, connection: &str, now_s: u64) -> String {
        let claims = ConnectionClaims {
            iss: CONNECT_ISSUER.to_owned(),
            iat: now_s,
            exp: now_s + CONNECTION_TOKEN_S,
            jti: connection.to_owned(),
        };
        self.issue(&serde_json::to_value(claims).expect("claims have only string keys"))
    }

    /// Checks a token for a connection.
    ///
    /// # Errors
    /// [`TokenError`]; the connection is not to be made then.
    pub fn check_for_connection(
        &self,
        token: &str,
        connection: &str,
        now_s: u64,
    ) -> Result<(), TokenError> {
        let claims: ConnectionClaims =
            serde_json::from_value(self.claims(token)?).map_err(|_| TokenError::Other)?;
        if claims.iss != CONNECT_ISSUER || claims.jti != connection {
            return Err(TokenError::Other);
        }
        if claims.exp <= now_s {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// A token that lets a browser follow what a run streams: the topic `$stream` of the channel that is the run's id. It
    /// is good for [`RUN_TOKEN_S`]: it is handed out when the run begins, and used when the app stops streaming by itself.
    #[must_use]
    pub fn for_stream(&self, run: RunId, claims: RealtimeClaims<'_>) -> String {
        let topics = vec![Topic::new(run.to_string(), STREAM_TOPIC)];
        self.issue_realtime(&Grant::Subscribe(topics), claims, RUN_TOKEN_S)
    }

    /// A token that grants this for [`REALTIME_TOKEN_S`].
    #[must_use]
    pub fn for_realtime(&self, grant: &Grant, claims: RealtimeClaims<'_>) -> String {
        self.issue_realtime(grant, claims, REALTIME_TOKEN_S)
    }

    fn issue_realtime(&self, grant: &Grant, claims: RealtimeClaims<'_>, lifetime_s: u64) -> String {
        let mut token = json!({
            "iss": REALTIME_ISSUER, "sub": claims.account, "env": claims.environment, "jti": claims.id,
            "iat": claims.now_s, "exp": claims.now_s + lifetime_s,
        });
        match grant {
            Grant::Subscribe(topics) => {
                let topics = topics.iter().map(|topic| Topic {
                    env_id: claims.environment.to_owned(),
                    ..topic.clone()
                });
                let topics: Vec<Topic> = topics.collect();
                token["topics"] = json!(topics);
            }
            Grant::Publish { channel } => {
                token["publish"] = true.into();
                if let Some(channel) = channel {
                    token["channel"] = channel.as_str().into();
                }
            }
        }
        self.issue(&token)
    }

    /// What a token for subscribing or publishing grants.
    ///
    /// # Errors
    /// [`TokenError`]; nothing is granted then.
    pub fn check_realtime(&self, token: &str, now_s: u64) -> Result<Grant, TokenError> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            exp: u64,
            #[serde(default)]
            topics: Vec<Topic>,
            #[serde(default)]
            publish: bool,
            channel: Option<String>,
        }
        let claims: Claims =
            serde_json::from_value(self.claims(token)?).map_err(|_| TokenError::Other)?;
        if claims.iss != REALTIME_ISSUER {
            return Err(TokenError::Other);
        }
        if claims.exp <= now_s {
            return Err(TokenError::Expired);
        }
        // One or the other: who may listen to something may not say it.
        match (claims.publish, claims.topics) {
            (true, topics) if topics.is_empty() => Ok(Grant::Publish {
                channel: claims.channel,
            }),
            (false, topics) if !topics.is_empty() => Ok(Grant::Subscribe(topics)),
            _ => Err(TokenError::Other),
        }
    }

    fn issue(&self, claims: &Value) -> String {
        let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = BASE64.encode(mac(&self.secret, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The claims of a token that this key or its fallback has signed.
    fn claims(&self, token: &str) -> Result<Value, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Invalid)?;
        let signed_by = |secret: &[u8; 32]| {
            let expected = mac(secret, signed.as_bytes());
            bool::from(expected.as_slice().ct_eq(&signature))
        };
        if !signed_by(&self.secret) && !self.fallback.as_ref().is_some_and(signed_by) {
            return Err(TokenError::Invalid);
        }
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Invalid)?;
        let read = |part: &str| -> Option<Value> {
            serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
        };
        let header = read(header).ok_or(TokenError::Invalid)?;
        if header["alg"] != "HS256" {
            return Err(TokenError::Invalid);
        }
        read(claims).ok_or(TokenError::Invalid)
    }
}

/// Derived, so that no token says anything about the signing key's other uses.
fn derived(key: &SigningKey) -> [u8; 32] {
    mac(key.hashed().as_bytes(), b"tokens")
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
