//! The API's shapes: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>, and
//! errors as <https://cloud.google.com/apis/design/errors>.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerateRequest<'r> {
    pub(super) contents: [Content<'r>; 1],
    pub(super) generation_config: GenerationConfig<'r>,
}

#[derive(Serialize)]
pub(super) struct Content<'r> {
    pub(super) role: &'static str,
    pub(super) parts: Vec<Part<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Part<'r> {
    Text(&'r str),
    #[serde(rename_all = "camelCase")]
    InlineData {
        mime_type: &'static str,
        data: String,
    },
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_json_schema: Option<&'r Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_modalities: Option<[&'static str; 2]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GenerateResponse {
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: UsageMetadata,
    pub(super) model_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Candidate {
    pub(super) content: Option<AnsweredContent>,
    pub(super) finish_reason: Option<String>,
    pub(super) finish_message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnsweredContent {
    pub(super) parts: Vec<AnsweredPart>,
}

/// One of several things; what this program does not know is skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AnsweredPart {
    pub(super) text: Option<String>,
    /// A thought on the way and no part of the answer.
    pub(super) thought: bool,
    pub(super) inline_data: Option<InlineData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct InlineData {
    pub(super) data: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
    pub(super) block_reason_message: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    pub(super) prompt_token_count: u64,
    pub(super) candidates_token_count: u64,
    pub(super) thoughts_token_count: u64,
}

#[derive(Serialize)]
pub(super) struct BatchEmbedRequest<'r> {
    pub(super) requests: Vec<EmbedRequest<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedRequest<'r> {
    /// `models/gemini-embedding-001`: each request of a batch names it again.
    pub(super) model: &'r str,
    pub(super) content: EmbedContent<'r>,
    pub(super) task_type: &'static str,
    pub(super) output_dimensionality: usize,
}

#[derive(Serialize)]
pub(super) struct EmbedContent<'r> {
    pub(super) parts: [Part<'r>; 1],
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchEmbedResponse {
    pub(super) embeddings: Vec<EmbeddingValues>,
    pub(super) usage_metadata: Option<UsageMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EmbeddingValues {
    pub(super) values: Vec<f32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorResponse {
    pub(super) error: ErrorStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorStatus {
    pub(super) message: Option<String>,
    pub(super) status: Option<String>,
    pub(super) details: Vec<Value>,
}

impl ErrorStatus {
    /// `RESOURCE_EXHAUSTED: You exceeded …`
    pub(super) fn said(&self) -> Option<String> {
        match (&self.status, &self.message) {
            (Some(status), Some(message)) => Some(format!("{status}: {message}")),
            (one, other) => one.clone().or_else(|| other.clone()),
        }
    }

    /// `google.rpc.RetryInfo`: a protobuf duration in JSON, seconds with up to nine decimals and an `s`.
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        let info = self.details.iter().find(|detail| {
            detail["@type"]
                .as_str()
                .is_some_and(|name| name.ends_with("google.rpc.RetryInfo"))
        })?;
        let seconds: f64 = info["retryDelay"]
            .as_str()?
            .strip_suffix('s')?
            .parse()
            .ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_retry_delay_is_seconds_with_decimals() {
        let delay = |text: &str| {
            let status = ErrorStatus {
                details: vec![
                    json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure"}),
                    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text}),
                ],
                ..ErrorStatus::default()
            };
            status.retry_delay()
        };
        assert_eq!(delay("37s"), Some(Duration::from_secs(37)));
        assert_eq!(delay("45.837906927s"), Some(Duration::new(45, 837_906_927)));
        for bad in ["", "37", "-1s", "NaNs", "infs", "soon"] {
            assert_eq!(delay(bad), None, "{bad}");
        }
    }
}
