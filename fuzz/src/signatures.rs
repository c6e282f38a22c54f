//! Signed requests and answers, and the tokens of endpoints.

use stepwell_protocol::signing::{SigningKey, canonical_json, verify};

const NOW_S: u64 = 1_767_225_600;

/// Only what was signed with the key passes, and JSON has one canonical form. The first line is the header.
///
/// # Panics
/// When it is not so.
pub fn check(data: &[u8]) {
    let key = SigningKey::new("signkey-test-0123456789abcdef");
    let at = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (header, body) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    if let Ok(header) = std::str::from_utf8(header) {
        let passed = verify([&key], Some(header), body, NOW_S).is_ok();
        assert!(!passed || header.contains(key.sign(body, NOW_S).rsplit('=').next().unwrap_or("")));
        assert!(
            !key.accepts_bearer(header) || header == key.hashed() || header.starts_with("signkey-")
        );
    }
    let signed = key.sign(body, NOW_S);
    assert!(verify([&key], Some(&signed), body, NOW_S).is_ok());
    let other = SigningKey::new("signkey-test-fedcba9876543210");
    assert!(verify([&other], Some(&signed), body, NOW_S).is_err());
    if let Ok(canonical) = canonical_json(body) {
        assert_eq!(canonical_json(&canonical).expect("it is JSON"), canonical);
    }
}
