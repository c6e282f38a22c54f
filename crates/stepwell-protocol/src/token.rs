//! Tokens: what a server hands out so that whoever has one may read a run's end, or follow its stream, without its keys.
//!
//! They are JSON Web Tokens (RFC 7519) with HMAC-SHA256, the only algorithm that is accepted.

use crate::RunId;
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
/// Who issues the tokens that open streams.
const STREAM_ISSUER: &str = "rt.inngest.com";
/// Who issues the tokens that open the gateway of connect.
const CONNECT_ISSUER: &str = "connect.inngest.com";
/// How long a token for a connection is good, in seconds.
pub const CONNECTION_TOKEN_S: u64 = 5 * 60;
/// How long a token for a run is good, in seconds: longer than anyone waits for a response.
pub const RUN_TOKEN_S: u64 = 60 * 60;
/// The secret of servers without a signing key, which are open to everyone anyway.
const DEV_SECRET: &[u8] = b"dev-mode-is-not-secret";
/// A token is at most this long; ours have about 300 bytes.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Issues and verifies tokens. Its secret never appears in `Debug`.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

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
        Self(secret)
    }

    /// The key of a server: tokens are good across restarts, and on all servers with the same signing key. Without one the
    /// secret is known to all, as everything else on such a server is.
    #[must_use]
    pub fn of(signing_key: Option<&SigningKey>) -> Self {
        // Derived, so that no token says anything about the signing key's other uses.
        let derived = match signing_key {
            Some(key) => mac(key.hashed().as_bytes(), b"tokens"),
            None => mac(DEV_SECRET, b"tokens"),
        };
        Self(derived)
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

    /// A token that lets a browser follow what a run streams: the topic `$stream` of the channel that is the run's id.
    #[must_use]
    pub fn for_stream(&self, run: RunId, id: String, environment: &str, now_s: u64) -> String {
        let topic = json!({
            "kind": "run", "env_id": environment, "channel": run, "name": "$stream",
        });
        self.issue(&json!({
            "iss": STREAM_ISSUER, "iat": now_s, "exp": now_s + RUN_TOKEN_S, "jti": id, "env": environment,
            "topics": [topic],
        }))
    }

    fn issue(&self, claims: &Value) -> String {
        let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = BASE64.encode(mac(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The claims of a token that this key has signed.
    fn claims(&self, token: &str) -> Result<Value, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Invalid)?;
        let expected = mac(&self.0, signed.as_bytes());
        if !bool::from(expected.as_slice().ct_eq(&signature)) {
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

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn run(byte: u8) -> RunId {
        RunId::from_bytes([byte; 16])
    }

    fn key() -> TokenKey {
        TokenKey::of(Some(&SigningKey::new("signkey-test-00112233")))
    }

    #[test]
    fn a_token_opens_its_run_for_its_time() {
        let token = key().for_run(run(1), "t".to_owned(), NOW);
        let check = |run, now| key().check_for_run(&token, run, now);
        assert_eq!(check(run(1), NOW + RUN_TOKEN_S - 1), Ok(()));
        assert_eq!(check(run(1), NOW + RUN_TOKEN_S), Err(TokenError::Expired));
        assert_eq!(check(run(2), NOW), Err(TokenError::Other));
        let claims = token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iss"], "api.inngest.com");
        assert_eq!(claims["exp"], NOW + 3_600);
    }

    #[test]
    fn what_another_key_signed_or_someone_changed_opens_nothing() {
        let check = |token: &str| key().check_for_run(token, run(1), NOW);
        let others = [
            TokenKey::of(None),
            TokenKey::of(Some(&SigningKey::new("signkey-test-ff"))),
        ];
        for other in others {
            let token = other.for_run(run(1), String::new(), NOW);
            assert_eq!(check(&token), Err(TokenError::Invalid));
        }
        let token = key().for_run(run(1), String::new(), NOW);
        let parts: Vec<&str> = token.split('.').collect();
        let later =
            json!({"iss": RUN_ISSUER, "iat": 1, "exp": NOW * 2, "jti": "", "run_id": run(1)});
        let later = BASE64.encode(later.to_string());
        let none = BASE64.encode(r#"{"alg":"none"}"#);
        for forged in [
            format!("{}.{later}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            token[..token.len() - 2].to_owned(),
            "x".repeat(10_000),
            "..".to_owned(),
            String::new(),
        ] {
            assert_eq!(check(&forged), Err(TokenError::Invalid), "{forged}");
        }
    }

    #[test]
    fn an_algorithm_that_we_do_not_use_is_refused_even_with_a_good_signature() {
        let claims = BASE64.encode(json!({"iss": RUN_ISSUER}).to_string());
        let signed = format!("{}.{claims}", BASE64.encode(r#"{"alg":"HS512"}"#));
        let signature = BASE64.encode(mac(&key().0, signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        assert_eq!(
            key().check_for_run(&token, run(1), NOW),
            Err(TokenError::Invalid)
        );
    }

    #[test]
    fn a_token_for_a_stream_opens_no_output() {
        let token = key().for_stream(run(1), String::new(), "env", NOW);
        assert_eq!(
            key().check_for_run(&token, run(1), NOW),
            Err(TokenError::Other)
        );
    }

    #[test]
    fn a_token_for_a_connection_opens_that_connection_for_its_time() {
        let token = key().for_connection("01C", NOW);
        let check = |connection, now| key().check_for_connection(&token, connection, now);
        assert_eq!(check("01C", NOW + CONNECTION_TOKEN_S - 1), Ok(()));
        assert_eq!(
            check("01C", NOW + CONNECTION_TOKEN_S),
            Err(TokenError::Expired)
        );
        assert_eq!(check("01D", NOW), Err(TokenError::Other));
        let own = TokenKey::from_secret([7; 32]);
        assert_eq!(
            own.check_for_connection(&token, "01C", NOW),
            Err(TokenError::Invalid)
        );
        assert_eq!(
            key().check_for_run(&token, run(1), NOW),
            Err(TokenError::Other)
        );
        let of_a_run = key().for_run(run(1), "01C".to_owned(), NOW);
        assert_eq!(
            key().check_for_connection(&of_a_run, "01C", NOW),
            Err(TokenError::Other)
        );
    }

    #[test]
    fn debug_output_keeps_the_key_secret() {
        assert_eq!(format!("{:?}", key()), "TokenKey(…)");
    }
}
