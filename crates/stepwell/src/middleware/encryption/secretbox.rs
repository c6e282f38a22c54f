//! Values in envelopes: `XSalsa20-Poly1305` under hashed keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use crypto_secretbox::aead::{Aead, AeadCore, KeyInit, OsRng};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde_json::{Value, json};

/// Marks an envelope.
pub(super) const MARKER: &str = "__ENCRYPTED__";
/// Names how it was made.
const STRATEGY: &str = "__STRATEGY__";
const LIBSODIUM: &str = "inngest/libsodium";
const NONCE_BYTES: usize = 24;

/// A key is unusable, or a value cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// The key is empty.
    #[error("the encryption key is empty: give a long random text")]
    EmptyKey,
    /// The value was made in another way.
    #[error("a value was encrypted by '{strategy}', which is not supported; '{LIBSODIUM}' is")]
    Strategy {
        /// What the envelope says.
        strategy: String,
    },
    /// No key fits, or the value was changed.
    #[error(
        "a value cannot be decrypted: none of the {keys} keys fits, or it was changed; is the key of the program that encrypted it missing?"
    )]
    NoKey {
        /// How many were tried.
        keys: usize,
    },
}

/// The key that encrypts, then those that only decrypt.
#[derive(Clone)]
pub(super) struct Keys(Vec<XSalsa20Poly1305>);

impl Keys {
    pub(super) fn new(text: &str) -> Result<Self, EncryptionError> {
        let mut keys = Self(Vec::new());
        keys.add(text)?;
        Ok(keys)
    }

    pub(super) fn add(&mut self, text: &str) -> Result<(), EncryptionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EncryptionError::EmptyKey);
        }
        let hash: [u8; 32] = Blake2b::<U32>::digest(text).into();
        self.0.push(XSalsa20Poly1305::new(&Key::from(hash)));
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// An envelope with this JSON text.
    pub(super) fn encrypt(&self, text: &str) -> Value {
        self.seal(&XSalsa20Poly1305::generate_nonce(&mut OsRng), text)
    }

    fn seal(&self, nonce: &Nonce, text: &str) -> Value {
        let sealed = self.0[0]
            .encrypt(nonce, text.as_bytes())
            .expect("a text in memory is within the cipher's limit");
        let data = STANDARD.encode([nonce.as_slice(), &sealed].concat());
        json!({MARKER: true, STRATEGY: LIBSODIUM, "data": data})
    }

    /// What is in an envelope.
    pub(super) fn decrypt(&self, envelope: &Value) -> Result<Value, EncryptionError> {
        let strategy = envelope[STRATEGY].as_str().unwrap_or("a version before 1");
        if strategy != LIBSODIUM {
            let strategy = strategy.chars().take(64).collect();
            return Err(EncryptionError::Strategy { strategy });
        }
        let no_key = EncryptionError::NoKey { keys: self.len() };
        let data = envelope["data"].as_str().unwrap_or_default();
        let Ok(data) = STANDARD.decode(data) else {
            return Err(no_key);
        };
        let Some((nonce, sealed)) = data.split_at_checked(NONCE_BYTES) else {
            return Err(no_key);
        };
        let nonce = Nonce::from_slice(nonce);
        let opened = self
            .0
            .iter()
            .find_map(|key| key.decrypt(nonce, sealed).ok());
        opened
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or(no_key)
    }
}

/// Whether a value is an envelope.
pub(super) fn is_encrypted(value: &Value) -> bool {
    value[MARKER] == true && value["data"].is_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, values and the envelopes that `@inngest/middleware-encryption` 2.0.0 made of them.
    const OFFICIAL: &str = include_str!("official.json");

    #[test]
    fn the_official_middlewares_envelopes_are_read_and_written() {
        let cases: Vec<Value> = serde_json::from_str(OFFICIAL).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let keys = Keys::new(case["key"].as_str().unwrap()).unwrap();
            let (value, envelope) = (&case["value"], &case["envelope"]);
            assert!(is_encrypted(envelope));
            assert_eq!(keys.decrypt(envelope).as_ref(), Ok(value));

            let sealed = STANDARD.decode(envelope["data"].as_str().unwrap()).unwrap();
            let nonce = Nonce::from_slice(&sealed[..NONCE_BYTES]);
            let text = keys.0[0].decrypt(nonce, &sealed[NONCE_BYTES..]).unwrap();
            let again = keys.seal(nonce, std::str::from_utf8(&text).unwrap());
            assert_eq!(again, *envelope);
        }
    }

    #[test]
    fn what_no_key_fits_is_refused_without_telling_it() {
        let keys = Keys::new("right").unwrap();
        let envelope = keys.encrypt("\"secret\"");
        assert_ne!(envelope, keys.encrypt("\"secret\""));
        let mut changed = envelope.clone();
        let data = changed["data"].as_str().unwrap().replacen(
            |letter: char| letter.is_ascii_lowercase(),
            "Z",
            1,
        );
        changed["data"] = data.into();
        let mut short = envelope.clone();
        short["data"] = "AAAA".into();
        let mut foreign = envelope.clone();
        foreign[STRATEGY] = "own/aes".into();
        let mut legacy = envelope.clone();
        legacy.as_object_mut().unwrap().remove(STRATEGY);
        let no_key = "a value cannot be decrypted: none of the 1 keys fits, or it was changed; is the key of the program that encrypted it missing?";
        let strategy = |name: &str| {
            format!(
                "a value was encrypted by '{name}', which is not supported; 'inngest/libsodium' is"
            )
        };
        for (keys, envelope, expected) in [
            (&Keys::new("wrong").unwrap(), &envelope, no_key.to_owned()),
            (&keys, &changed, no_key.to_owned()),
            (&keys, &short, no_key.to_owned()),
            (&keys, &foreign, strategy("own/aes")),
            (&keys, &legacy, strategy("a version before 1")),
        ] {
            assert_eq!(keys.decrypt(envelope).unwrap_err().to_string(), expected);
        }
        assert_eq!(Keys::new(" \n").err(), Some(EncryptionError::EmptyKey));
    }
}
