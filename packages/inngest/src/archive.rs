//! The vision archive as `studio233-ai` sees it: it asks for archiving and for what is archived through traits of its own.

use crate::events::vision::ArchiveRequested;
use crate::functions::vision::FOLDER;
use async_trait::async_trait;
use serde_json::Value;
use stepwell::{BoxError, Client, OutgoingEvent};
use studio233_ai::vision::{Archive, ArchiveRequest, ImageHash, KnownAnalysis, VisionCache};
use studio233_blob::{BlobError, BlobStore, Key};

/// An analysis is a few kilobytes; what is longer is none of ours.
const ANALYSIS_BYTES_MAX: u64 = 1024 * 1024;

/// Beside what was seen: who looked.
const PROVIDER: &str = "provider";

/// Asks for archiving by sending `vision.archive.requested`.
///
/// ```no_run
/// use std::sync::Arc;
/// use studio233_ai::vision::{AnalysisContext, AnalysisRequest, Analyzer};
/// use studio233_inngest::{Client, EventArchive};
///
/// # async fn tool(analyzer: Analyzer, client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// // The tool knows nothing of jobs: who calls it says who is told.
/// let context = AnalysisContext {
///     latest_image: Some("https://example.com/chair.png".to_owned()),
///     archive: Some(Arc::new(EventArchive::new(client, "message-17"))),
/// };
/// let seen = analyzer.analyse(&AnalysisRequest::default(), &context).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EventArchive {
    client: Client,
    scope: String,
}

impl EventArchive {
    /// Sends with this client. `scope` names what images are looked at for: a run, a message of a conversation. Of one scope an
    /// image is archived once, however often it is asked for within the 24 hours in which servers know an event's id.
    pub fn new(client: Client, scope: impl Into<String>) -> Self {
        Self {
            client,
            scope: scope.into(),
        }
    }
}

#[async_trait]
impl Archive for EventArchive {
    async fn archive_requested(&self, request: ArchiveRequest) -> Result<(), BoxError> {
        let Value::Object(mut metadata) = serde_json::to_value(&request.analysis)? else {
            unreachable!("an analysis is an object");
        };
        metadata.insert(PROVIDER.to_owned(), request.provider.into());
        let id = format!("vision-archive/{}/{}", self.scope, request.image_hash);
        let event = ArchiveRequested {
            image_url: request.image_url,
            image_hash: request.image_hash.to_string(),
            metadata,
        };
        self.client.send(OutgoingEvent::from(event).id(id)).await?;
        Ok(())
    }
}

/// Knows the analyses that `archive-vision-result` has kept.
#[derive(Debug, Clone)]
pub struct ArchivedAnalyses(BlobStore);

impl ArchivedAnalyses {
    /// Those in this store.
    #[must_use]
    pub fn new(blobs: BlobStore) -> Self {
        Self(blobs)
    }
}

#[async_trait]
impl VisionCache for ArchivedAnalyses {
    async fn lookup(&self, hash: &ImageHash) -> Result<Option<KnownAnalysis>, BoxError> {
        let key = Key::parse(&format!("{FOLDER}/metadata/{hash}/latest.json"))?;
        match self.0.get(&key, ANALYSIS_BYTES_MAX).await {
            Ok(blob) => {
                let metadata: Value = serde_json::from_slice(&blob.bytes)?;
                let provider = metadata.get(PROVIDER).and_then(Value::as_str);
                Ok(Some(KnownAnalysis {
                    provider: provider.map(str::to_owned),
                    analysis: serde_json::from_value(metadata)?,
                }))
            }
            Err(BlobError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::fixture::Fixture;
    use crate::functions::vision::archive;
    use serde_json::json;

    const URL: &str =
        "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==";

    fn request() -> ArchiveRequest {
        let seen = json!({"global_context": {"scene_description": "A red dot."}});
        ArchiveRequest {
            image_url: URL.to_owned(),
            image_hash: ImageHash::of_url(URL),
            analysis: serde_json::from_value(seen).unwrap(),
            provider: "gemini (eyes)".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_archived_is_known_and_asking_twice_is_asking_once() {
        let fixture = Fixture::new().await;
        let archived = ArchivedAnalyses::new(fixture.deps.blobs.clone());
        let hash = request().image_hash;
        assert_eq!(archived.lookup(&hash).await.unwrap(), None);

        let app = fixture.builder().start().await.unwrap();
        for (scope, runs) in [("run-1", 1), ("run-1", 1), ("run-2", 2)] {
            let asking = EventArchive::new(app.client().clone(), scope);
            asking.archive_requested(request()).await.unwrap();
            app.settle().await.unwrap();
            assert_eq!(app.runs_of(archive::ID).unwrap().len(), runs, "{scope}");
        }
        assert_eq!(
            archived.lookup(&hash).await.unwrap(),
            Some(KnownAnalysis {
                analysis: request().analysis,
                provider: Some("gemini (eyes)".to_owned()),
            })
        );
    }

    #[tokio::test]
    async fn what_was_archived_without_saying_who_looked_is_known() {
        let fixture = Fixture::new().await;
        let key = format!("vision/metadata/{}/latest.json", request().image_hash);
        let seen = serde_json::to_vec(&request().analysis).unwrap();
        fixture.put(&key, seen, "application/json").await;
        let archived = ArchivedAnalyses::new(fixture.deps.blobs.clone());
        let known = archived.lookup(&request().image_hash).await.unwrap();
        assert_eq!(
            known,
            Some(KnownAnalysis {
                analysis: request().analysis,
                provider: None,
            })
        );
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error_which_callers_take_for_not_known() {
        let fixture = Fixture::new().await;
        let hash = request().image_hash;
        let key = format!("vision/metadata/{hash}/latest.json");
        fixture
            .put(&key, "{\"objects\": 7}", "application/json")
            .await;
        let archived = ArchivedAnalyses::new(fixture.deps.blobs.clone());
        archived.lookup(&hash).await.unwrap_err();
    }
}
