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
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [4 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push(file.len());
        file.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let start = file.len();
    file.push_str("xref\n0 6\n0000000000 65535 f \n");
    for offset in offsets {
        file.push_str(&format!("{offset:010} 00000 n \n"));
    }
    file.push_str(&format!(
        "trailer\n<< /Size 6 /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    ));
    file.into_bytes()
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
