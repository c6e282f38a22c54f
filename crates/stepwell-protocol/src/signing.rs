//! Signing and verifying of calls and answers with a shared key.
//!
//! A signing key reads `signkey-<environment>-<hex>`. The MAC is HMAC-SHA256 over the body's bytes followed by
//! the Unix time in decimal, keyed with the *text* of the hex part; the header is `t=<seconds>&s=<hex mac>`.
//! For the API a key travels as a bearer token, in its hashed form.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// How far a signature's time may be from now, in seconds.
pub const TOLERANCE_S: u64 = 5 * 60;

/// A signing key. Its text never appears in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(String);

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No signature header.
    #[error("the request carries no signature")]
    Missing,
    /// The header is not `t=<seconds>&s=<hex>`.
    #[error("the signature header is malformed")]
    Malformed,
    /// The signature's time is more than [`TOLERANCE_S`] away.
    #[error("the signature has expired; check both clocks")]
    Expired,
    /// The MAC does not match the body under any given key.
    #[error("the signature does not match")]
    Mismatch,
}

/// Why a text is no signing key. The text itself is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An odd number of hex digits, or none.
    #[error(
        "must be hex string with even number of chars, after signkey-<environment>- if it begins so"
    )]
    Odd,
    /// Something else than hex digits.
    #[error("must be valid hex string, after signkey-<environment>- if it begins so")]
    NotHex,
}

impl SigningKey {
    /// Reads a key, with or without its `signkey-…-` prefix, whose secret must be hex: SDKs take no other.
    ///
    /// # Errors
    /// [`KeyError`], which does not show the key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let (_, secret) = split_prefix(text);
        if secret.is_empty() || !secret.len().is_multiple_of(2) {
            return Err(KeyError::Odd);
        }
        match hex::decode(secret) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(KeyError::NotHex),
        }
    }

    /// Wraps the key's text, with or without its `signkey-…-` prefix.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn prefix_and_secret(&self) -> (&str, &str) {
        split_prefix(&self.0)
    }

    /// The key's hashed form, `<prefix><hex SHA-256 of the hex-decoded secret>`: what travels as a bearer token.
    /// A secret that is not hex is hashed as text.
    #[must_use]
    pub fn hashed(&self) -> String {
        let (prefix, secret) = self.prefix_and_secret();
        format!("{prefix}{}", hash_secret(secret))
    }

    /// Whether a bearer token is this key, plain or hashed, with or without prefix. Takes the same time
    /// wherever they differ.
    #[must_use]
    pub fn accepts_bearer(&self, token: &str) -> bool {
        let (_, secret) = self.prefix_and_secret();
        let (_, offered) = split_prefix(token.trim());
        let plain = secret.as_bytes().ct_eq(offered.as_bytes());
        let hashed = hash_secret(secret).as_bytes().ct_eq(offered.as_bytes());
        (plain | hashed).into()
    }

    /// The signature header for a body at a time in Unix seconds.
    #[must_use]
    pub fn sign(&self, body: &[u8], unix_s: u64) -> String {
        format!("t={unix_s}&s={}", hex::encode(self.mac(body, unix_s)))
    }

    fn mac(&self, body: &[u8], unix_s: u64) -> [u8; 32] {
        let (_, secret) = self.prefix_and_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(body);
        mac.update(unix_s.to_string().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Verifies a signature header against the body and each of `keys`; returns the key that matched.
///
/// # Errors
/// [`VerifyError`]; the body is not to be looked at then.
pub fn verify<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey>,
    header: Option<&str>,
    body: &[u8],
    now_s: u64,
) -> Result<&'k SigningKey, VerifyError> {
    let header = header.ok_or(VerifyError::Missing)?;
    let (mut time, mut mac) = (None, None);
    for part in header.split('&') {
        match part.split_once('=') {
            Some(("t", value)) => time = value.parse::<u64>().ok(),
            Some(("s", value)) => mac = hex::decode(value).ok(),
            _ => {}
        }
    }
    let (Some(time), Some(mac)) = (time, mac) else {
        return Err(VerifyError::Malformed);
    };
    if now_s.abs_diff(time) > TOLERANCE_S {
        return Err(VerifyError::Expired);
    }
    let mut matched = None;
    for key in keys {
        if bool::from(key.mac(body, time).as_slice().ct_eq(&mac)) {
            matched = Some(key);
        }
    }
    matched.ok_or(VerifyError::Mismatch)
}

/// The RFC 8785 form of a JSON text: what is signed and sent.
///
/// # Errors
/// The parser's error when `json` is not JSON.
pub fn canonical_json(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_slice(json)?;
    serde_json_canonicalizer::to_vec(&value)
}

fn hash_secret(secret: &str) -> String {
    let bytes = hex::decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec());
    hex::encode(Sha256::digest(bytes))
}

/// Splits `signkey-<environment>-` off a key.
fn split_prefix(text: &str) -> (&str, &str) {
    let Some(rest) = text.strip_prefix("signkey-") else {
        return ("", text);
    };
    let environment = rest.find('-').unwrap_or(0);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if environment == 0 || !rest[..environment].chars().all(is_word) {
        return ("", text);
    }
    text.split_at("signkey-".len() + environment + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";
    const BODY: &[u8] = br#"{"a":1,"b":"x"}"#;
    const HEADER: &str =
        "t=1700000000&s=9228741986a6ce2b7f88c71af477282bf13e6595b859ff59d89db77720006311";

    #[test]
    fn the_documented_vectors_hold() {
        let key = SigningKey::new(KEY);
        assert_eq!(key.sign(BODY, 1_700_000_000), HEADER);
        assert_eq!(
            key.hashed(),
            "signkey-test-a8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"
        );
        assert_eq!(
            SigningKey::new("signkey-prod-12345678").hashed(),
            "signkey-prod-b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c"
        );
    }

    #[test]
    fn a_signature_is_accepted_only_for_its_body_key_and_time() {
        let (key, other) = (SigningKey::new(KEY), SigningKey::new("signkey-test-ff"));
        let verify = |keys: &[&SigningKey], header, body: &[u8], now| {
            verify(keys.iter().copied(), header, body, now).map(|_| ())
        };
        assert_eq!(verify(&[&key], Some(HEADER), BODY, 1_700_000_000), Ok(()));
        assert_eq!(
            verify(&[&other, &key], Some(HEADER), BODY, 1_700_000_300),
            Ok(())
        );
        assert_eq!(
            verify(&[&key], Some(HEADER), BODY, 1_700_000_301),
            Err(VerifyError::Expired)
        );
        assert_eq!(
            verify(&[&other], Some(HEADER), BODY, 1_700_000_000),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(
            verify(&[&key], Some(HEADER), b"{}", 1_700_000_000),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(
            verify(&[&key], None, BODY, 1_700_000_000),
            Err(VerifyError::Missing)
        );
        assert_eq!(
            verify(&[&key], Some("t=x&s=zz"), BODY, 1_700_000_000),
            Err(VerifyError::Malformed)
        );
    }

    #[test]
    fn bearers_match_plain_or_hashed_with_or_without_prefix() {
        let key = SigningKey::new(KEY);
        let hashed = key.hashed();
        for token in [
            KEY,
            &KEY["signkey-test-".len()..],
            &hashed,
            &hashed["signkey-test-".len()..],
        ] {
            assert!(key.accepts_bearer(token), "{token}");
        }
        assert!(!key.accepts_bearer("signkey-test-00112233445566778899aabbccddeefe"));
        assert!(!key.accepts_bearer(""));
    }

    #[test]
    fn a_key_is_hex_with_or_without_prefix() {
        for good in [KEY, "00ff", "signkey-prod-00FF", " 00ff\n"] {
            SigningKey::parse(good).expect(good);
        }
        for (bad, error) in [
            ("", KeyError::Odd),
            ("signkey-prod-", KeyError::Odd),
            ("00f", KeyError::Odd),
            ("signkey-prod-0", KeyError::Odd),
            ("secrets!", KeyError::NotHex),
            ("signkey-00", KeyError::NotHex),
        ] {
            assert_eq!(SigningKey::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn debug_output_keeps_the_key_secret() {
        assert!(!format!("{:?}", SigningKey::new(KEY)).contains("0011"));
    }

    #[test]
    fn canonical_json_sorts_keys() {
        assert_eq!(
            canonical_json(r#"{ "b": 1.0, "a": "é" }"#.as_bytes()).unwrap(),
            r#"{"a":"é","b":1}"#.as_bytes()
        );
    }
}
