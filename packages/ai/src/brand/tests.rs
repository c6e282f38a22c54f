use super::*;
use crate::document::{Block, Page};
use studio233_brand::{CoreIdentity, SemanticDna};

/// Answers a profile of a given quality, or fails.
struct Reader(&'static str, Option<BrandDna>);

#[async_trait]
impl BrandReader for Reader {
    fn provider(&self) -> &str {
        self.0
    }

    async fn read(&self, _: &Document) -> Result<BrandReading, ReadError> {
        let provider = self.0.to_owned();
        match self.1.clone() {
            Some(dna) => Ok(BrandReading {
                dna,
                summary: BrandSummary::default(),
                provider,
                usage: vec![call(self.0)],
            }),
            None => Err(ReadError::Provider {
                provider,
                transient: true,
                source: "down".into(),
                usage: vec![call(self.0)],
            }),
        }
    }
}

fn call(provider: &str) -> Usage {
    Usage {
        provider: provider.to_owned(),
        ..Usage::default()
    }
}

fn dna(score_tenths: usize) -> BrandDna {
    let list = || vec!["something".to_owned()];
    let mut dna = BrandDna::default();
    let mut identity = CoreIdentity {
        colors: list(),
        ..CoreIdentity::default()
    };
    if score_tenths >= 2 {
        identity.logos = list();
    }
    if score_tenths >= 3 {
        identity.slogans = list();
    }
    dna.core_identity = identity;
    if score_tenths >= 6 {
        dna.semantic_dna = SemanticDna {
            tone_of_voice: "plain and kind".into(),
            copywriting_guidelines: list(),
        };
    }
    dna
}

/// Who is taken, given what the parser and the vision model answer.
async fn taken(parser: Option<Option<BrandDna>>, vision: Option<BrandDna>) -> String {
    let mut extraction = BrandExtraction::new(Arc::new(Reader("vision", vision)));
    if let Some(answer) = parser {
        extraction = extraction.with_parser(Arc::new(Reader("parser", answer)));
    }
    let block = Block {
        text: "Hello brand".to_owned(),
        ..Block::default()
    };
    let page = Page {
        blocks: vec![block],
        ..Page::default()
    };
    let document = Document {
        pages: vec![page],
        ..Document::default()
    };
    match extraction.extract(&document).await {
        Ok(accepted) => format!("{} {}", accepted.path, accepted.score),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn the_parser_comes_first_when_it_is_good_enough() {
    assert_eq!(
        taken(Some(Some(dna(6))), Some(dna(3))).await,
        "high-fidelity 0.600"
    );
    assert_eq!(
        taken(Some(Some(dna(3))), Some(dna(3))).await,
        "vision 0.300"
    );
    assert_eq!(taken(Some(None), Some(dna(6))).await, "vision 0.600");
    assert_eq!(taken(None, Some(dna(6))).await, "vision 0.600");
}

#[tokio::test]
async fn what_is_not_good_enough_is_an_error() {
    let too_little =
        "the document says too little about a brand: vision scored 0.200, which is not above 0.2";
    assert_eq!(taken(None, Some(dna(2))).await, too_little);
    assert_eq!(
        taken(Some(Some(dna(3))), None).await,
        "no provider could read the brand; asked before, parser: it read too little: it scored 0.300, which is not above 0.5"
    );
    assert_eq!(
        taken(Some(None), Some(dna(2))).await,
        format!("{too_little}; asked before, parser: parser could not read the document: down")
    );
}

#[tokio::test]
async fn all_readings_are_paid_for_whatever_came_of_them() {
    for (parser, vision, is_read) in [
        (Some(dna(3)), Some(dna(3)), true),
        (None, Some(dna(3)), true),
        (Some(dna(3)), Some(dna(2)), false),
        (None, Some(dna(2)), false),
        (Some(dna(3)), None, false),
        (None, None, false),
    ] {
        let extraction = BrandExtraction::new(Arc::new(Reader("vision", vision)));
        let extraction = extraction.with_parser(Arc::new(Reader("parser", parser)));
        let extracted = extraction.extract(&Document::default()).await;
        assert_eq!(extracted.is_ok(), is_read);
        let usage = match &extracted {
            Ok(accepted) => &accepted.reading.usage,
            Err(error) => error.usage(),
        };
        assert_eq!(usage, [call("parser"), call("vision")]);
    }
}
