//! LlamaParse, a high-fidelity parser of documents (API v2: upload and parse in one request, poll, markdown by page).

use crate::brand::{BrandReader, BrandReading, ModelBrandReader, ReadError};
use crate::http::Service;
pub use crate::http::SetupError;
use crate::local::LocalBrandReader;
pub use crate::polling::Polling;
use crate::{ApiKey, Document, LanguageModel, ProviderError, Usage, document};
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the provider calls itself.
pub const PROVIDER: &str = "llama-parse";

/// The markdown of a document; a guideline of a hundred pages is a few hundred kilobytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Where the API is and how well it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlamaParseSettings {
    pub base_url: String,
    /// `cost_effective`, `agentic` or `agentic_plus`: from the cheapest to the best.
    pub tier: String,
    /// How long one request may take, the upload included.
    pub request_timeout: Duration,
    pub polling: Polling,
}

impl Default for LlamaParseSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.cloud.llamaindex.ai/api/v2".to_owned(),
            tier: "agentic".to_owned(),
            request_timeout: Duration::from_secs(120),
            polling: Polling::default(),
        }
    }
}

/// The client. Clones share connections.
#[derive(Clone)]
pub struct LlamaParse {
    service: Service,
    settings: LlamaParseSettings,
}

impl fmt::Debug for LlamaParse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LlamaParse")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A document in markdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// From page 1.
    pub pages: Vec<String>,
    pub usage: Usage,
}

impl LlamaParse {
    pub fn new(key: ApiKey, settings: LlamaParseSettings) -> Result<Self, SetupError> {
        let service = Service::new(&settings.base_url, key, AUTHORIZATION, "Bearer ")?;
        Ok(Self { service, settings })
    }

    /// Uploads a document and waits for its markdown.
    pub async fn parse(&self, document: &Document) -> Result<Parsed, ProviderError> {
        let started = Instant::now();
        let job = self.upload(document).await?;
        let url = self.service.url(&format!("parse/{job}?expand=markdown"))?;
        let polling = &self.settings.polling;
        let markdown: Markdown = polling.wait_for(|| self.result(&job, url.clone())).await?;
        let pages = markdown.pages.into_iter();
        Ok(Parsed {
            pages: pages
                .map(|page| page.markdown.unwrap_or_default())
                .collect(),
            usage: Usage {
                provider: PROVIDER.to_owned(),
                model: self.settings.tier.clone(),
                seconds: started.elapsed().as_secs_f64(),
                ..Usage::default()
            },
        })
    }

    async fn upload(&self, document: &Document) -> Result<String, ProviderError> {
        let configuration = json!({ "tier": self.settings.tier, "version": "latest" });
        let file = Part::stream(document.file.clone()).file_name(document.filename.clone());
        let form = Form::new()
            .text("configuration", configuration.to_string())
            .part("file", file);
        let url = self.service.url("parse/upload")?;
        let created: Created = self.call(self.service.post(url).multipart(form)).await?;
        let id = created.id.or_else(|| created.job.map(|job| job.id));
        // The id becomes part of an address.
        let plain = |id: &String| {
            !id.is_empty()
                && id
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        id.filter(plain).ok_or_else(|| ProviderError::Malformed {
            problem: "at id: it is no job's id".to_owned(),
        })
    }

    async fn result(&self, job: &str, url: url::Url) -> Result<Option<Markdown>, ProviderError> {
        let state: Expanded = self.call(self.service.get(url)).await?;
        let failed = |message: String| ProviderError::Job {
            job: job.to_owned(),
            message,
            transient: false,
        };
        match state.job.status.as_deref() {
            Some("PENDING" | "RUNNING") => Ok(None),
            Some("COMPLETED") => match state.markdown {
                Some(markdown) => Ok(Some(markdown)),
                None => Err(failed("it completed without markdown".to_owned())),
            },
            status => {
                let status = status.unwrap_or("no status");
                let message = state.job.error_message.unwrap_or_default();
                Err(failed(self.service.shown(&format!("{status} {message}"))))
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ProviderError> {
        let timeout = self.settings.request_timeout;
        let reply = self
            .service
            .send(request, timeout, ANSWER_BYTES_MAX)
            .await?;
        if reply.status.is_success() {
            return self.service.read(&reply);
        }
        let said = self
            .service
            .read::<Value>(&reply)
            .ok()
            .and_then(|body| match &body["detail"] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            });
        Err(self.service.refusal(&reply, said, None))
    }
}

/// The fields of the job, at the top or under `job`.
#[derive(Deserialize)]
struct Created {
    id: Option<String>,
    job: Option<JobId>,
}

#[derive(Deserialize)]
struct JobId {
    id: String,
}

#[derive(Deserialize)]
struct Expanded {
    job: Job,
    markdown: Option<Markdown>,
}

#[derive(Deserialize)]
struct Job {
    status: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize)]
struct Markdown {
    pages: Vec<MarkdownPage>,
}

/// A page that could not be parsed has no markdown.
#[derive(Deserialize)]
struct MarkdownPage {
    markdown: Option<String>,
}

/// The high-fidelity path of [`BrandExtraction`](crate::BrandExtraction): the parser reads the document, and a language
/// model, or the local provider, reads the brand out of the markdown.
#[derive(Debug, Clone)]
pub struct LlamaParseBrandReader {
    parser: LlamaParse,
    model: Option<ModelBrandReader>,
    shown: String,
}

impl LlamaParseBrandReader {
    /// Without a model the markdown is read by [`LocalBrandReader`].
    pub fn new(parser: LlamaParse, model: Option<Arc<dyn LanguageModel>>) -> Self {
        let reader = model
            .as_ref()
            .map_or(crate::local::PROVIDER, |model| model.provider());
        Self {
            shown: format!("{PROVIDER} + {reader}"),
            parser,
            model: model.map(ModelBrandReader::new),
        }
    }
}

#[async_trait]
impl BrandReader for LlamaParseBrandReader {
    fn provider(&self) -> &str {
        &self.shown
    }

    async fn read(&self, document: &Document) -> Result<BrandReading, ReadError> {
        let parsed = self.parser.parse(document).await;
        let Parsed { pages, usage } = parsed.map_err(|source| ReadError::Call {
            provider: PROVIDER.to_owned(),
            source,
            usage: Vec::new(),
        })?;
        if pages.iter().all(|page| page.trim().is_empty()) {
            return Err(ReadError::Unreadable {
                provider: PROVIDER.to_owned(),
                what: "text",
                usage: vec![usage],
            });
        }
        let reading = match &self.model {
            Some(model) => model.read_texts(pages).await,
            None => {
                let parsed = document::from_markdown(document, &pages);
                LocalBrandReader.read(&parsed).await
            }
        };
        let mut reading = reading.map_err(|error| error.after(slice::from_ref(&usage)))?;
        reading.provider.clone_from(&self.shown);
        reading.usage.insert(0, usage);
        Ok(reading)
    }
}
