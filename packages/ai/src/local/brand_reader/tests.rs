use super::*;
use crate::document::{Block, Fill, FontFace, Page, PageImage};

fn block(text: &str, size: f32, family: &str) -> Block {
    let font = FontFace {
        family: family.to_owned(),
        ..FontFace::default()
    };
    Block {
        text: text.to_owned(),
        size,
        letters: vec![(font.clone(), text.len() as u32)],
        font,
        ..Block::default()
    }
}

fn document(blocks: Vec<Block>) -> Document {
    let page = Page {
        number: 1,
        width: 600.0,
        height: 800.0,
        blocks,
        ..Page::default()
    };
    Document {
        filename: "a.pdf".into(),
        pages: vec![page],
        ..Document::default()
    }
}

async fn read(document: &Document) -> BrandReading {
    LocalBrandReader.read(document).await.unwrap()
}

#[tokio::test]
async fn rules_go_where_their_heading_says() {
    let reading = read(&document(vec![
        block("Photography", 24.0, "Head"),
        block(
            "Shoot outside, in the rain. Never use flash at night.",
            10.0,
            "Text",
        ),
        block("Tone of voice", 24.0, "Head"),
        block(
            "Our voice is dry, short and kind. We never shout at anybody.",
            10.0,
            "Text",
        ),
        block("Layout", 24.0, "Head"),
        block("• Keep the left column empty.", 10.0, "Text"),
        block("Taglines", 24.0, "Head"),
        block("Rain or shine", 10.0, "Text"),
    ]))
    .await;
    let dna = &reading.dna;
    assert_eq!(
        dna.visual_style.photography_guidelines,
        ["Shoot outside, in the rain.", "Never use flash at night."]
    );
    assert_eq!(
        dna.semantic_dna.tone_of_voice,
        "Our voice is dry, short and kind. We never shout at anybody."
    );
    assert_eq!(
        dna.visual_style.layout_principles,
        ["Keep the left column empty."]
    );
    assert_eq!(dna.core_identity.slogans, ["Rain or shine"]);
    assert_eq!(reading.summary.voice, ["dry", "short", "kind"]);
    assert!(reading.summary.generated_by.starts_with("local provider"));
    assert_eq!(reading.provider, "local");
}

#[tokio::test]
async fn rules_without_headings_go_by_their_words_and_statements_stay_out() {
    let reading = read(&document(vec![block(
        "The company was founded in 1990. The logo must never be stretched. Photographs should show rain. It rains often here.",
        10.0,
        "Text",
    )]))
    .await;
    assert_eq!(
        reading.dna.core_identity.logos,
        ["The logo must never be stretched."]
    );
    assert_eq!(
        reading.dna.visual_style.photography_guidelines,
        ["Photographs should show rain."]
    );
    assert!(
        reading.dna.semantic_dna.tone_of_voice.is_empty(),
        "nothing is made up"
    );
}

#[tokio::test]
async fn typefaces_are_named_with_what_they_are_for() {
    let reading = read(&document(vec![
        block("A headline here", 40.0, "Grotesk"),
        block(&"Reading text goes on and on. ".repeat(20), 10.0, "Antiqua"),
        block("Mono is for code and tables.", 10.0, "Antiqua"),
        block("x = 1", 9.0, "Mono"),
        block("→", 9.0, "Zapf Dingbats"),
    ]))
    .await;
    let fonts: Vec<_> = reading
        .dna
        .core_identity
        .fonts
        .iter()
        .map(|f| (f.family.as_str(), f.usage.as_str()))
        .collect();
    assert_eq!(
        fonts,
        [
            ("Grotesk", "headlines (up to 40 pt)"),
            ("Antiqua", "body text (mostly 10 pt)"),
            ("Mono", "code and tables")
        ]
    );
}

#[tokio::test]
async fn drawn_and_measured_colours_stand_in_for_unwritten_ones() {
    let mut document = document(vec![block("Nothing about it in words.", 10.0, "Text")]);
    let fill = |color, area| Fill { color, area };
    document.pages[0].fills = vec![
        fill(Rgb::new(255, 255, 255), 480_000.0),
        fill(Rgb::new(20, 90, 200), 30_000.0),
        fill(Rgb::new(240, 180, 20), 90_000.0),
        fill(Rgb::new(1, 200, 1), 10.0),
    ];
    document.images = vec![PageImage {
        page: 1,
        width: 4,
        height: 1,
        rgb: vec![200, 30, 60, 200, 30, 60, 255, 255, 255, 20, 90, 200].into(),
    }];
    let reading = read(&document).await;
    assert_eq!(
        reading.dna.core_identity.colors,
        ["#C81E3C", "#F0B414", "#145AC8"]
    );
    assert!(
        reading.dna.visual_style.vibe.ends_with("(measured)."),
        "{}",
        reading.dna.visual_style.vibe
    );
}

/// A landscape page that was scanned: cream, with a red bar on the left.
fn scanned() -> Document {
    let mut document = document(Vec::new());
    let row = |_: u32| [[200_u8, 30, 60].repeat(4), [246, 239, 227].repeat(12)].concat();
    document.images = vec![PageImage {
        page: 1,
        width: 16,
        height: 9,
        rgb: (0..9).flat_map(row).collect::<Vec<u8>>().into(),
    }];
    document
}

#[tokio::test]
async fn pages_that_are_pictures_are_measured() {
    let reading = read(&scanned()).await;
    let dna = &reading.dna;
    assert_eq!(dna.core_identity.colors, ["#C81E3C"]);
    assert_eq!(
        dna.visual_style.layout_principles,
        [
            "The pages are landscape 16:9 (measured).",
            "75 % of the pages is #F6EFE3 (measured)."
        ]
    );
    assert_eq!(
        dna.visual_style.vibe,
        "The pages are warm, bright and vivid (measured)."
    );
    assert_eq!(
        dna.fields_extracted().len(),
        3,
        "nothing is made up: {dna:?}"
    );
    assert!(dna.quality_score().exceeds(crate::VISION_ACCEPTED_ABOVE));
    let said_by = &reading.summary.generated_by;
    assert!(said_by.contains("cannot read the words"), "{said_by}");
}

#[tokio::test]
async fn a_scan_of_black_on_white_is_no_profile() {
    let mut document = scanned();
    let white = vec![255; 16 * 9 * 3];
    document.images[0].rgb = white.into();
    let extraction = crate::BrandExtraction::new(std::sync::Arc::new(LocalBrandReader));
    let error = extraction.extract(&document).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "the document says too little about a brand: local scored 0.150, which is not above 0.2; it has no text, only \
         pictures: export it with text, run text recognition first, or use another vision model"
    );
}

#[tokio::test]
async fn a_document_without_text_and_pictures_is_unreadable() {
    let error = LocalBrandReader
        .read(&document(Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "local needs text or page images, which the document does not have"
    );
}
