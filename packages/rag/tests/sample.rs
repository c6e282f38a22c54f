//! The sample brand guideline, from the file to the answer.

use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use studio233_ai::local::{LocalBrandReader, LocalEmbedder};
use studio233_ai::{AcceptedReading, BrandExtraction, Document, ReadingPath};
use studio233_blob::{BlobStore, ContentType, Key, Put};
use studio233_db::{AssetId, Database, NewWorkspace, WorkspaceId};
use studio233_rag::pdf::PdfReader;
use studio233_rag::{
    Chunker, DocumentSource, FetchLimits, Fetcher, Indexed, Indexer, Retriever, blob_url,
};

fn sample() -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples/brand-guidelines.pdf");
    std::fs::read(path)
        .expect("the sample is part of the repository")
        .into()
}

async fn document() -> Document {
    PdfReader::default()
        .read("brand-guidelines.pdf", sample())
        .await
        .unwrap()
}

async fn extracted() -> AcceptedReading {
    let extraction = BrandExtraction::new(Arc::new(LocalBrandReader));
    extraction.extract(&document().await).await.unwrap()
}

#[tokio::test]
async fn pages_keep_their_numbers_texts_and_pictures() {
    let document = document().await;
    assert_eq!(document.title.as_deref(), Some("Solvane Brand Guidelines"));
    assert_eq!(
        document
            .pages
            .iter()
            .map(|page| page.number)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    let colour = document.pages[3].text();
    assert!(
        colour.contains("Ember is our primary colour. It leads every piece"),
        "{colour}"
    );
    assert!(colour.contains("HEX #E4572E"), "{colour}");
    assert_eq!(document.images.len(), 5);
    let cover = &document.images[0];
    assert_eq!(cover.rgb.len(), (cover.width * cover.height * 3) as usize);
    assert_eq!(
        cover.rgb[..3],
        [0xE4, 0x57, 0x2E],
        "the cover is Ember to its corner"
    );
}

#[tokio::test]
async fn the_profile_is_what_a_person_sees() {
    let accepted = extracted().await;
    let dna = &accepted.reading.dna;
    assert_eq!(
        (accepted.path, accepted.score.get()),
        (ReadingPath::Vision, 1.0)
    );
    assert_eq!(
        dna.core_identity.colors,
        ["#E4572E", "#17263C", "#7FA08A", "#F2B134", "#F6EFE3"]
    );
    let fonts: Vec<_> = dna
        .core_identity
        .fonts
        .iter()
        .map(|font| (font.family.as_str(), font.usage.as_str()))
        .collect();
    assert_eq!(
        fonts,
        [
            ("Sora", "headlines, slogans and numbers on posters"),
            ("EB Garamond", "body text, letters and long reading"),
            (
                "Inter",
                "captions, tables and interface labels, in Regular and SemiBold, from 7 points"
            ),
        ]
    );
    assert_eq!(
        dna.core_identity.slogans,
        [
            "Power, shared.",
            "The sun has neighbours.",
            "Own your light."
        ]
    );
    insta::assert_json_snapshot!("brand_dna", dna);
    insta::assert_json_snapshot!("brand_summary", accepted.reading.summary);
}

struct Studio {
    _folder: tempfile::TempDir,
    database: Database,
    workspace: WorkspaceId,
}

impl Studio {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open_sqlite(folder.path().join("studio.db"))
            .await
            .unwrap();
        let new = NewWorkspace {
            id: WorkspaceId::new("w"),
            name: "Solvane".into(),
            slug: "solvane".into(),
            user_id: "u".into(),
        };
        let workspace = database.create_workspace(&new, 1).await.unwrap().id;
        Self {
            _folder: folder,
            database,
            workspace,
        }
    }

    async fn index(&self, document: &Document) -> Indexed {
        let indexer = Indexer::new(
            Arc::new(LocalEmbedder),
            self.database.clone(),
            Chunker::default(),
        );
        let source = DocumentSource {
            workspace_id: self.workspace.clone(),
            asset_id: AssetId::new("a"),
            url: "blob:brand/a/source.pdf".into(),
            filename: "brand-guidelines.pdf".into(),
        };
        indexer.index(document, &source, 2).await.unwrap()
    }
}

#[tokio::test]
async fn questions_find_their_page() {
    let studio = Studio::new().await;
    let indexed = studio.index(&document().await).await;
    assert_eq!(
        (indexed.page_count, indexed.provider.as_str()),
        (8, "local")
    );
    assert!(indexed.chunk_count >= 8, "{indexed:?}");
    let retriever = Retriever::new(Arc::new(LocalEmbedder), studio.database.clone());
    for (question, page) in [
        ("primary colour", 4),
        ("primary color", 4),
        ("What are the slogans?", 2),
        ("clear space around the logo", 3),
        ("headlines in Sora", 5),
        ("columns of the grid", 6),
        ("how do we photograph people", 7),
        ("tone of voice", 8),
    ] {
        let found = retriever
            .search(&studio.workspace, question, 5)
            .await
            .unwrap();
        assert_eq!(found.usage.provider, "local");
        let found = found.found;
        assert_eq!(found[0].page, Some(page), "{question}: {found:#?}");
        assert_eq!(found[0].filename.as_deref(), Some("brand-guidelines.pdf"));
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    }
    assert!(retriever.search(&studio.workspace, "  ", 5).await.is_err());
}

#[tokio::test]
async fn indexing_again_leaves_one_set() {
    let studio = Studio::new().await;
    let document = document().await;
    let first = studio.index(&document).await;
    let again = studio.index(&document).await;
    assert_eq!(again.chunk_count, first.chunk_count);
    assert!(!again.usage.is_empty());
    let count = studio
        .database
        .knowledge_count(&studio.workspace, None)
        .await
        .unwrap();
    assert_eq!(count, first.chunk_count);
}

#[tokio::test]
async fn a_blob_of_the_studio_is_fetched_by_its_url() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(folder.path()).await.unwrap();
    let key = Key::parse("brand/a/source.pdf").unwrap();
    blobs
        .put(&key, sample(), &ContentType::pdf(), Put::Overwrite)
        .await
        .unwrap();
    let fetcher = Fetcher::new(blobs, FetchLimits::default());
    let fetched = fetcher.fetch(&blob_url(&key)).await.unwrap();
    assert_eq!(fetched.bytes, sample());
    assert_eq!(fetched.content_type.as_deref(), Some("application/pdf"));

    let missing = fetcher.fetch("blob:brand/none.pdf").await.unwrap_err();
    assert!(!missing.is_transient());
    let outside = fetcher.fetch("blob:../../etc/passwd").await.unwrap_err();
    assert_eq!(
        outside.to_string(),
        "blob:../../etc/passwd is no blob of the studio"
    );
}
