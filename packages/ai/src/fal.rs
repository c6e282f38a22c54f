//! fal.ai's queue (<https://docs.fal.ai/model-apis/model-endpoints/queue>): a request is submitted, its status polled,
//! its result fetched. Used to remove backgrounds.

use crate::background::{BackgroundRemover, Cutout};
use crate::http::Service;
pub use crate::http::SetupError;
pub use crate::polling::Polling;
use crate::{Answer, ApiKey, EncodedImage, ImageError, ImageSource, ProviderError, Usage};
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// How the provider calls itself.
pub const PROVIDER: &str = "fal";

/// Largest image that is sent along, in base64, with the request.
pub const IMAGE_BYTES_MAX: usize = 14 * 1024 * 1024;

/// A result names its images, or carries them in base64.
const ANSWER_BYTES_MAX: usize = 48 * 1024 * 1024;

/// What a rejection for its content is called (<https://docs.fal.ai/errors>).
const CONTENT_POLICY: &str = "content_policy_violation";

/// Where the queue is and which endpoint removes backgrounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalSettings {
    pub base_url: String,
    /// An endpoint that takes `{image_url}` and answers `{image: {url}}`.
    pub background_removal: String,
    /// How long one request may take.
    pub request_timeout: Duration,
    pub polling: Polling,
}

impl Default for FalSettings {
    fn default() -> Self {
        Self {
            base_url: "https://queue.fal.run".to_owned(),
            background_removal: "fal-ai/imageutils/rembg".to_owned(),
            request_timeout: Duration::from_secs(60),
            polling: Polling {
                timeout: Duration::from_secs(120),
                ..Polling::default()
            },
        }
    }
}

/// The provider: a [`BackgroundRemover`]. Clones share connections.
#[derive(Clone)]
pub struct Fal {
    service: Service,
    settings: FalSettings,
    results: Arc<dyn ImageSource>,
    shown: String,
}

impl Fal {
    /// Results are images at addresses that the service names; `results` fetches them, without the key.
    pub fn new(
        key: ApiKey,
        settings: FalSettings,
        results: Arc<dyn ImageSource>,
    ) -> Result<Self, SetupError> {
        let service = Service::new(&settings.base_url, key, AUTHORIZATION, "Key ")?;
        let shown = format!("{PROVIDER} ({})", settings.background_removal);
        Ok(Self {
            service,
            settings,
            results,
            shown,
        })
    }

    /// Runs an endpoint to its end: its result, and the seconds that its runner says it took.
    async fn run(&self, endpoint: &str, input: &Value) -> Result<(Value, Option<f64>), Failed> {
        let url = self.service.url(endpoint)?;
        let submitted: Submitted = self.call(self.service.post(url).json(input)).await?;
        let status_url = self.service.named_url(&submitted.status_url)?;
        let result_url = self.service.named_url(&submitted.response_url)?;
        let waiting = self
            .settings
            .polling
            .wait_for(|| self.status(&submitted.request_id, status_url.clone()));
        let seconds = match waiting.await {
            Ok(seconds) => seconds,
            Err(error) => {
                if matches!(error, ProviderError::Timeout { .. }) {
                    self.cancel(&submitted).await;
                }
                return Err(error.into());
            }
        };
        let result = self.call(self.service.get(result_url)).await?;
        Ok((result, seconds))
    }

    /// The seconds the runner took, once it has ended.
    async fn status(&self, job: &str, url: Url) -> Result<Option<Option<f64>>, ProviderError> {
        let status: Status = match self.call(self.service.get(url)).await {
            Ok(status) => status,
            Err(Failed::Call(error)) => return Err(error),
            Err(Failed::Blocked(message)) => {
                return Err(ProviderError::Job {
                    job: job.to_owned(),
                    message,
                    transient: false,
                });
            }
        };
        match status.status.as_str() {
            "IN_QUEUE" | "IN_PROGRESS" => Ok(None),
            // What went wrong in the runner, the result says better than the status.
            "COMPLETED" => Ok(Some(status.metrics.inference_time)),
            other => Err(ProviderError::Job {
                job: job.to_owned(),
                message: self.service.shown(other),
                transient: false,
            }),
        }
    }

    /// What nobody waits for any more need not be done. Best effort: what is running goes on.
    async fn cancel(&self, submitted: &Submitted) {
        let Some(url) = &submitted.cancel_url else {
            return;
        };
        if let Ok(url) = self.service.named_url(url) {
            let request = self.service.put(url);
            let timeout = self.settings.request_timeout;
            let _ = self.service.send(request, timeout, ANSWER_BYTES_MAX).await;
        }
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Failed> {
        let timeout = self.settings.request_timeout;
        let reply = self
            .service
            .send(request, timeout, ANSWER_BYTES_MAX)
            .await?;
        if reply.status.is_success() {
            return Ok(reply.json()?);
        }
        let problems = Problems::of(reply.json().unwrap_or_default());
        if problems.is_content_policy {
            return Err(Failed::Blocked(self.service.shown(&problems.said())));
        }
        let retryable = reply
            .headers
            .get("x-fal-retryable")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<bool>().ok());
        let said = (!problems.messages.is_empty()).then(|| problems.said());
        let mut error = self.service.refusal(&reply, said, None);
        if let (ProviderError::Status { transient, .. }, Some(retryable)) = (&mut error, retryable)
        {
            *transient = retryable;
        }
        Err(Failed::Call(error))
    }
}

impl fmt::Debug for Fal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fal")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

enum Failed {
    Blocked(String),
    Call(ProviderError),
}

impl From<ProviderError> for Failed {
    fn from(error: ProviderError) -> Self {
        Self::Call(error)
    }
}

#[derive(Deserialize)]
struct Submitted {
    request_id: String,
    status_url: String,
    response_url: String,
    #[serde(default)]
    cancel_url: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    metrics: Metrics,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics {
    inference_time: Option<f64>,
}

#[derive(Deserialize)]
struct Removed {
    image: File,
}

#[derive(Deserialize)]
struct File {
    url: String,
}

/// What an error's body says: a list of problems, at the top or under `detail`, or a sentence.
#[derive(Default)]
struct Problems {
    messages: Vec<String>,
    is_content_policy: bool,
}

impl Problems {
    fn of(body: Value) -> Self {
        let detail = match body {
            Value::Object(mut object) => object.remove("detail").unwrap_or_default(),
            other => other,
        };
        let items = match detail {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        let mut problems = Self::default();
        for item in items {
            problems.is_content_policy |= item["type"] == CONTENT_POLICY;
            let message = item.as_str().or_else(|| item["msg"].as_str());
            let field = item["loc"]
                .as_array()
                .and_then(|path| path.last()?.as_str());
            problems.messages.extend(message.map(|message| match field {
                Some(field) => format!("{field}: {message}"),
                None => message.to_owned(),
            }));
        }
        problems
    }

    fn said(&self) -> String {
        self.messages.join("; ")
    }
}

#[async_trait]
impl BackgroundRemover for Fal {
    fn provider(&self) -> &str {
        &self.shown
    }

    async fn remove_background(&self, image: &EncodedImage) -> Result<Answer<Cutout>, ImageError> {
        let bytes = image.bytes().len();
        if bytes > IMAGE_BYTES_MAX {
            return Err(ImageError::TooLarge {
                provider: self.shown.clone(),
                bytes,
                limit_bytes: IMAGE_BYTES_MAX,
            });
        }
        let started = Instant::now();
        let endpoint = &self.settings.background_removal;
        let mut usage = Usage {
            provider: PROVIDER.to_owned(),
            model: endpoint.clone(),
            ..Usage::default()
        };
        let call = |source| ImageError::Call {
            provider: self.shown.clone(),
            source,
        };
        let input = json!({ "image_url": image.to_data_url() });
        let (result, seconds) = match self.run(endpoint, &input).await {
            Ok(ended) => ended,
            Err(Failed::Call(error)) => return Err(call(error)),
            Err(Failed::Blocked(reason)) => {
                usage.seconds = started.elapsed().as_secs_f64();
                return Err(ImageError::Blocked {
                    provider: self.shown.clone(),
                    reason,
                    usage: Box::new(usage),
                });
            }
        };
        usage.seconds = seconds.unwrap_or_else(|| started.elapsed().as_secs_f64());
        let Ok(removed) = serde_json::from_value::<Removed>(result) else {
            return Err(ImageError::NoImage {
                provider: self.shown.clone(),
                said: None,
                usage: Box::new(usage),
            });
        };
        let url = &removed.image.url;
        let cutout = if url.starts_with("data:") {
            let problem = |error| ProviderError::Malformed {
                problem: format!("at image.url: {error}"),
            };
            EncodedImage::from_data_url(url).map_err(|error| call(problem(error)))?
        } else {
            let fetched = self.results.fetch(url).await;
            fetched.map_err(|source| {
                call(ProviderError::Result {
                    job: format!("the request to {endpoint}"),
                    source,
                })
            })?
        };
        usage.images = 1;
        let cutout = Cutout::measured(&self.shown, cutout, None, &usage).await?;
        Ok(Answer::new(cutout, usage))
    }
}
