use serde::Serialize;
use std::sync::Arc;
use studio233_ai::{EmbedError, Embedder, Purpose, Usage};
use studio233_db::{AssetId, Database, DbError, Embedding, Fragment, WorkspaceId, WrongDimensions};

/// Longest question, in characters.
const QUERY_CHARS_MAX: usize = 2000;

/// A fragment that answers a question. JSON is camelCase.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub text: String,
    /// 1 − cosine distance to the question.
    pub score: f64,
    /// From 1; none for knowledge that has no pages.
    pub page: Option<u32>,
    pub filename: Option<String>,
    pub asset_id: AssetId,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieved {
    /// Nearest first.
    pub found: Vec<Found>,
    /// What embedding the question cost.
    pub usage: Usage,
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    #[error("the question is empty; ask with a few words")]
    EmptyQuery,
    #[error("the question has more than {QUERY_CHARS_MAX} characters; ask with a few words")]
    QueryTooLong,
    #[error("cannot embed the question")]
    Embed(#[source] EmbedError),
    #[error("{provider} answered a vector that cannot be searched with")]
    Vector {
        provider: String,
        source: WrongDimensions,
        usage: Box<Usage>,
    },
    #[error("{provider} answered no vector for the question")]
    NoVector { provider: String, usage: Box<Usage> },
    #[error("cannot search the knowledge of the workspace")]
    Search { source: DbError, usage: Box<Usage> },
}

impl RetrieveError {
    /// What embedding the question cost although nothing was searched.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Vector { usage, .. }
            | Self::NoVector { usage, .. }
            | Self::Search { usage, .. } => Some(usage),
            Self::EmptyQuery | Self::QueryTooLong | Self::Embed(_) => None,
        }
    }
}

/// Finds knowledge by meaning.
#[derive(Clone)]
pub struct Retriever {
    embedder: Arc<dyn Embedder>,
    database: Database,
}

impl std::fmt::Debug for Retriever {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retriever")
            .field("embedder", &self.embedder.provider())
            .finish_non_exhaustive()
    }
}

impl Retriever {
    /// The embedder must be the one that indexed: vectors of two do not compare.
    pub fn new(embedder: Arc<dyn Embedder>, database: Database) -> Self {
        Self { embedder, database }
    }

    /// The `limit` fragments of the workspace nearest to the question, nearest first.
    pub async fn search(
        &self,
        workspace: &WorkspaceId,
        query: &str,
        limit: u32,
    ) -> Result<Retrieved, RetrieveError> {
        let query = query.trim();
        if query.is_empty() {
            return Err(RetrieveError::EmptyQuery);
        }
        if query.chars().count() > QUERY_CHARS_MAX {
            return Err(RetrieveError::QueryTooLong);
        }
        let asked = [query.to_owned()];
        let embedded = self.embedder.embed(&asked, Purpose::Query).await;
        let answer = embedded.map_err(RetrieveError::Embed)?;
        let usage = answer.usage;
        let provider = || self.embedder.provider().to_owned();
        let Some(vector) = answer.value.into_iter().next() else {
            return Err(RetrieveError::NoVector {
                provider: provider(),
                usage: Box::new(usage),
            });
        };
        let query = match Embedding::new(vector) {
            Ok(query) => query,
            Err(source) => {
                return Err(RetrieveError::Vector {
                    provider: provider(),
                    source,
                    usage: Box::new(usage),
                });
            }
        };
        let fragments = self.database.search_knowledge(workspace, &query, limit);
        match fragments.await {
            Ok(fragments) => Ok(Retrieved {
                found: fragments.into_iter().map(Found::from).collect(),
                usage,
            }),
            Err(source) => Err(RetrieveError::Search {
                source,
                usage: Box::new(usage),
            }),
        }
    }
}

impl From<Fragment> for Found {
    fn from(fragment: Fragment) -> Self {
        let page = fragment
            .metadata
            .get("page")
            .and_then(serde_json::Value::as_u64);
        let filename = fragment
            .metadata
            .get("filename")
            .and_then(serde_json::Value::as_str);
        Self {
            page: page.and_then(|page| u32::try_from(page).ok()),
            filename: filename.map(str::to_owned),
            text: fragment.text,
            score: fragment.similarity,
            asset_id: fragment.asset_id,
        }
    }
}
