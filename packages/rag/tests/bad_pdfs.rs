//! Files that are not readable documents, and what is said about them.

use bytes::Bytes;
use studio233_blob::{BlobStore, Key};
use studio233_rag::pdf::{PdfError, PdfLimits, PdfReader};
use studio233_rag::{FetchError, FetchLimits, Fetcher, blob_url};

fn pdf_of(contents: &[&str], trailer: &str) -> Bytes {
    testbed::pdf::pages((300, 200), contents, trailer).into()
}

const TEXT: &str = "BT /F1 12 Tf 20 100 Td (Hello brand) Tj ET";
const PICTURE: &str = "1 0 0 rg 10 10 100 100 re f";

async fn read(file: Bytes) -> Result<studio233_ai::Document, PdfError> {
    PdfReader::default().read("brand.pdf", file).await
}

/// The message for a file that cannot be read.
async fn refusal(file: impl Into<Bytes>) -> String {
    read(file.into()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_plain_file_is_read_and_its_font_is_named() {
    let mixed = format!("{TEXT} BT /F2 20 Tf 20 50 Td [(Bi) -20 (g N) 10 (ews)] TJ ET");
    let document = read(pdf_of(&[&mixed, PICTURE], "")).await.unwrap();
    assert_eq!(document.pages.len(), 2);
    let block = &document.pages[0].blocks[0];
    assert_eq!(
        (block.text.as_str(), block.font.family.as_str()),
        ("Hello brand", "Helvetica")
    );
    assert!((block.size - 12.0).abs() < 0.01);
    let heading = &document.pages[0].blocks[1];
    assert_eq!(
        (heading.text.as_str(), heading.font.family.as_str()),
        ("Big News", "Times")
    );
    assert!(heading.font.bold);
    assert!(document.pages[1].blocks.is_empty());
    let fill = document.pages[1].fills[0];
    assert_eq!(
        (fill.color.hex().as_str(), fill.area),
        ("#FF0000", 10_000.0)
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_what_to_do() {
    assert_eq!(
        refusal(Bytes::new()).await,
        "brand.pdf is empty; upload the file again"
    );
    let not_pdf =
        "brand.pdf is not a PDF: it does not start with %PDF-; export the document as PDF";
    assert_eq!(refusal("<html>404</html>").await, not_pdf);
    let damaged = "brand.pdf is damaged: its pages cannot be found; export it again";
    assert_eq!(refusal("%PDF-1.7\nand then nothing").await, damaged);
}

#[tokio::test]
async fn a_file_of_pictures_is_a_document_without_text() {
    let document = read(pdf_of(&[PICTURE], "")).await.unwrap();
    assert!(!document.has_text());
    let image = &document.images[0];
    assert_eq!((image.width, image.height), (1024, 682));
}

/// A page is 300 by 200 points; the picture covers it, or half of that.
#[tokio::test]
async fn a_stamped_scan_is_a_document_without_text() {
    let stamp = "BT /F1 8 Tf 20 100 Td (Scanned with Marram Scan on 12 March) Tj ET";
    let page = |picture: &str, text: &str| format!("q {picture} cm /I Do Q {text}");
    let whole = page("300 0 0 200 0 0", stamp);
    let document = read(pdf_of(&[&whole, &whole], "")).await.unwrap();
    assert!(!document.has_text());
    assert_eq!(document.pages[0].pictures, 60_000.0);
    let strips = page("300 0 0 60 0 0", &page("300 0 0 60 0 60", stamp));
    let document = read(pdf_of(&[&strips], "")).await.unwrap();
    assert!(!document.has_text());
    let outside = page("300 0 0 400 0 -320", stamp);
    let document = read(pdf_of(&[&outside], "")).await.unwrap();
    assert_eq!(document.pages[0].pictures, 24_000.0);
    assert!(document.has_text());
    let sentence = "BT /F1 8 Tf 20 100 Td (Every board stands on a grid of six columns, and the horizon runs through all.) Tj ET";
    let background = page("300 0 0 200 0 0", sentence);
    assert!(read(pdf_of(&[&background], "")).await.unwrap().has_text());
}

#[tokio::test]
async fn an_encrypted_file_is_recognised() {
    let (owner, user) = ("11".repeat(32), "22".repeat(32));
    let encrypt = format!(
        "/ID [<00112233445566778899AABBCCDDEEFF> <00112233445566778899AABBCCDDEEFF>] \
         /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{owner}> /U <{user}> >>"
    );
    let message = refusal(pdf_of(&[TEXT], &encrypt)).await;
    assert_eq!(
        message,
        "brand.pdf is encrypted; save it without a password"
    );
}

#[tokio::test]
async fn a_file_of_200_megabytes_is_refused_by_its_size() {
    let mut file = b"%PDF-1.7\n".to_vec();
    file.resize(200 * 1024 * 1024, 0);
    let error = read(file.into()).await.unwrap_err();
    assert!(
        matches!(
            error,
            PdfError::TooLarge {
                size_bytes: 209_715_200,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_blob_of_200_megabytes_is_refused_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(folder.path()).await.unwrap();
    let key = Key::parse("huge.pdf").unwrap();
    // Sparse: it takes no room on the disk.
    std::fs::File::create(folder.path().join("huge.pdf"))
        .unwrap()
        .set_len(200 * 1024 * 1024)
        .unwrap();
    let fetcher = Fetcher::new(blobs, FetchLimits::default());
    let error = fetcher.fetch(&blob_url(&key)).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn limits_on_pages_and_on_what_is_drawn_hold() {
    let pages = PdfLimits {
        pages_max: 2,
        ..PdfLimits::default()
    };
    let error = PdfReader::new(pages)
        .read("brand.pdf", pdf_of(&[TEXT; 3], ""))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "brand.pdf has 3 pages; at most 2 are read: split it"
    );

    let items = PdfLimits {
        items_max: 15,
        ..PdfLimits::default()
    };
    let error = PdfReader::new(items)
        .read("brand.pdf", pdf_of(&[TEXT; 2], ""))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "brand.pdf draws more than 15 letters and shapes; simplify it"
    );
}

/// Cut and scratched files end in a document or an error, never in a crash.
#[tokio::test]
async fn damaged_files_do_no_harm() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../samples/brand-guidelines.pdf"
    );
    let sample = std::fs::read(path).unwrap();
    let limits = PdfLimits {
        images_max: 0,
        ..PdfLimits::default()
    };
    let mut outcomes = 0;
    for part in 1..12 {
        let cut = sample[..sample.len() * part / 12].to_vec();
        let mut scratched = sample.clone();
        for at in (part..scratched.len()).step_by(997) {
            scratched[at] ^= 0x55;
        }
        for file in [cut, scratched] {
            match PdfReader::new(limits.clone())
                .read("brand.pdf", file.into())
                .await
            {
                Ok(document) => assert!(!document.pages.is_empty()),
                Err(error) => assert!(error.to_string().starts_with("brand.pdf"), "{error}"),
            }
            outcomes += 1;
        }
    }
    assert_eq!(outcomes, 22);
}
