//! Real files of different makers: what is read in them.

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use studio233_ai::local::LocalBrandReader;
use studio233_ai::{AcceptedReading, BrandExtraction, Document};
use studio233_rag::pdf::PdfReader;
use studio233_rag::{Chunk, Chunker};

async fn document(name: &str) -> Document {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name);
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    PdfReader::default()
        .read(name, Bytes::from(file))
        .await
        .unwrap()
}

async fn brand(document: &Document) -> AcceptedReading {
    let extraction = BrandExtraction::new(Arc::new(LocalBrandReader));
    extraction.extract(document).await.unwrap()
}

fn chunks(document: &Document) -> Vec<Chunk> {
    Chunker::new(300, 50).unwrap().chunks(document)
}

/// Asserts that these stand in the text one after the other.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("{part:?} is due in {rest:?}, in:\n{text}"));
        rest = after;
    }
}

#[tokio::test]
async fn what_a_browser_printed_is_read() {
    let document = document("printed.pdf").await;
    assert_eq!(document.title.as_deref(), Some("Marram brand guide"));
    assert_eq!((document.pages.len(), document.images.len()), (2, 2));
    let accepted = brand(&document).await;
    let dna = accepted.reading.dna;
    assert_eq!(dna.core_identity.colors, ["#0B6E4F", "#C8553D"]);
    assert_eq!(
        accepted.reading.summary.palette[0].name.as_deref(),
        Some("Dune Green")
    );
    assert_eq!(
        dna.visual_style.photography_guidelines,
        [
            "Shoot at low tide, in flat light.",
            "Never stage people on the path."
        ]
    );
    assert!(
        dna.semantic_dna
            .tone_of_voice
            .starts_with("Our voice is calm, brief and dry.")
    );
}

#[tokio::test]
async fn columns_are_read_one_after_the_other() {
    let document = document("two-columns.pdf").await;
    assert_in_order(
        &document.pages[0].text(),
        &[
            "Layout",
            "Every board stands on a grid of six columns. Keep the outer columns empty, and let the horizon run through all six.",
            "and are set in one size.",
            "Logo",
            "Keep a clear space of one blade around the logo. The logo must never be tilted",
            "Typography",
            "Signs are set in Libertinus. Headlines stand alone on their line and end without a full stop.",
            "Writing",
            "Write short sentences. Say what is closed before you say what is open, and name the nearest other path.",
        ],
    );
    // A piece speaks of one column.
    let (left, right) = (
        ["board", "horizon", "blade"],
        ["Libertinus", "posts", "nearest"],
    );
    let chunks = chunks(&document);
    for chunk in &chunks {
        let of = |words: [&str; 3]| words.iter().any(|word| chunk.text.contains(word));
        let [left, right] = [of(left), of(right)];
        assert!(!(left && right), "{}", chunk.text);
    }
    assert!(chunks.len() >= 3, "{chunks:?}");
    let dna = brand(&document).await.reading.dna;
    assert!(
        dna.core_identity
            .logos
            .iter()
            .any(|rule| rule.contains("one blade around the logo")),
        "{dna:?}"
    );
}

#[tokio::test]
async fn frames_of_a_report_are_read_one_after_the_other() {
    let document = document("generated.pdf").await;
    assert_in_order(
        &document.pages[0].text(),
        &[
            "Bags and tags",
            "Bags are made of sailcloth that has been at sea. The tag shows Dune Green (#0B6E4F) and nothing else.",
            "Do not iron the tags flat.",
            "Tone of voice in shops",
            "Our voice in shops is quick, friendly and exact.",
        ],
    );
    let dna = brand(&document).await.reading.dna;
    assert_eq!(dna.core_identity.colors[0], "#0B6E4F");
    let fonts: Vec<&str> = dna
        .core_identity
        .fonts
        .iter()
        .map(|font| font.family.as_str())
        .collect();
    assert_eq!(fonts, ["Helvetica", "Times"]);
}

#[tokio::test]
async fn what_was_scanned_has_pictures_and_no_text() {
    let document = document("scanned.pdf").await;
    assert!(!document.has_text());
    assert_eq!((document.pages.len(), document.images.len()), (2, 2));
    assert!(chunks(&document).is_empty());
    let accepted = brand(&document).await;
    let near = |color: &str, (r, g, b): (i32, i32, i32)| {
        let part = |at: usize| i32::from_str_radix(&color[at..at + 2], 16).unwrap();
        [part(1) - r, part(3) - g, part(5) - b]
            .iter()
            .all(|off| off.abs() < 12)
    };
    let colors = &accepted.reading.dna.core_identity.colors;
    assert!(near(&colors[0], (0x0B, 0x6E, 0x4F)), "{colors:?}");
    assert!(near(&colors[1], (0xC8, 0x55, 0x3D)), "{colors:?}");
}
