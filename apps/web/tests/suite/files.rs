//! Documents, good and bad.

use std::path::PathBuf;

/// The sample of the repository.
pub(crate) fn sample() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../samples/brand-guidelines.pdf"
    ))
}

/// Two pages that were scanned.
pub(crate) fn scanned() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packages/rag/tests/files/scanned.pdf"
    ))
}

pub(crate) const TEXT: &str = "BT /F1 12 Tf 20 100 Td (Hello brand) Tj ET";
pub(crate) const PICTURE: &str = "1 0 0 rg 10 10 100 100 re f";

/// A PDF of one page.
pub(crate) fn pdf(content: &str, trailer: &str) -> Vec<u8> {
    testbed::pdf::pages((300, 200), &[content], trailer)
}

/// One that asks for a password.
pub(crate) fn encrypted() -> Vec<u8> {
    let (owner, user) = ("11".repeat(32), "22".repeat(32));
    let id = "00112233445566778899AABBCCDDEEFF";
    let trailer = format!(
        "/ID [<{id}> <{id}>] /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{owner}> /U <{user}> >>"
    );
    pdf(TEXT, &trailer)
}
