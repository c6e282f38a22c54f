use crate::http::shortened;
use crate::{Answer, EncodedImage, ProviderError, Usage};
use async_trait::async_trait;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// A call that says nothing else may take this long.
pub const MODEL_TIMEOUT: Duration = Duration::from_secs(120);

/// What a language model is asked.
#[derive(Debug, Clone)]
pub struct LanguageRequest {
    /// What to do, in words.
    pub prompt: String,
    /// The texts to do it with. They stand apart from the prompt because they are material and no
    /// orders, and because a provider without a model works with nothing else.
    pub material: Vec<String>,
    pub images: Vec<EncodedImage>,
    /// JSON Schema (2020-12) of the answer.
    pub schema: Value,
    /// How long one model may take.
    pub timeout: Duration,
}

impl LanguageRequest {
    /// Asks for a value of type `T`.
    pub fn new<T: JsonSchema>(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            material: Vec::new(),
            images: Vec::new(),
            schema: schema_of::<T>(),
            timeout: MODEL_TIMEOUT,
        }
    }

    #[must_use]
    pub fn material(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.material.extend(texts);
        self
    }

    #[must_use]
    pub fn images(mut self, images: impl IntoIterator<Item = EncodedImage>) -> Self {
        self.images.extend(images);
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Why a language model gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanguageError {
    #[error("{provider} refuses to answer: {reason}")]
    Blocked {
        provider: String,
        reason: String,
        usage: Box<Usage>,
    },
    #[error("{provider} answered what is not asked for, at {at}: {problem}")]
    InvalidJson {
        provider: String,
        /// The path in the answer, `principles[2].title`; `.` is the answer itself.
        at: String,
        problem: String,
        usage: Box<Usage>,
    },
    #[error("image {number} cannot be read")]
    Unreadable {
        /// From 1, in the order of the request.
        number: usize,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{provider} takes at most {limit_bytes} bytes of images at once, these are {bytes}")]
    TooLarge {
        provider: String,
        bytes: usize,
        limit_bytes: usize,
    },
    #[error("{provider} cannot decide {what}; {hint}")]
    Unavailable {
        provider: String,
        what: String,
        hint: &'static str,
    },
    #[error("{provider} did not answer")]
    Call {
        provider: String,
        source: ProviderError,
    },
}

impl LanguageError {
    /// Whether the same call may succeed later. A model that answered nonsense may answer better.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InvalidJson { .. } => true,
            Self::Call { source, .. } => source.is_transient(),
            Self::Blocked { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Unavailable { .. } => false,
        }
    }

    /// When the same call is worth making again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// What was consumed although there is no answer.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Blocked { usage, .. } | Self::InvalidJson { usage, .. } => Some(usage),
            Self::Call { source, .. } => source.usage(),
            _ => None,
        }
    }
}

/// Answers questions about texts and images with JSON.
///
/// Contract: the answer is JSON that the model made for the request's schema. It is not checked against it; reading it
/// into a type ([`ask`](trait.LanguageModel.html#method.ask)) is the check. A call has no effect but its cost, so
/// calling again is harmless; a dropped call is given up.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// Who answers, for people and metadata: `local`, `gemini (gemini-3.5-flash)`, …
    fn provider(&self) -> &str;

    async fn generate(&self, request: &LanguageRequest) -> Result<Answer<Value>, LanguageError>;
}

impl dyn LanguageModel + '_ {
    /// The answer as a type. [`LanguageRequest::new`] makes the schema of the same type.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        request: &LanguageRequest,
    ) -> Result<Answer<T>, LanguageError> {
        let Answer { value, usage } = self.generate(request).await?;
        match serde_path_to_error::deserialize(value) {
            Ok(value) => Ok(Answer { value, usage }),
            Err(error) => Err(LanguageError::InvalidJson {
                provider: self.provider().to_owned(),
                // Either may repeat what the model said, however long.
                at: shortened(&error.path().to_string()),
                problem: shortened(&error.into_inner().to_string()),
                usage: Box::new(usage),
            }),
        }
    }
}

/// The JSON Schema of a type as models take it: without references, and with every property required, because
/// models leave out what they may.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    require_all(&mut schema);
    schema
}

fn require_all(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // What a type falls back to is our business, not the model's.
            object.remove("default");
            let names: Option<Vec<Value>> = object
                .get("properties")
                .and_then(Value::as_object)
                .map(|properties| properties.keys().cloned().map(Value::String).collect());
            if let Some(names) = names {
                object.insert("required".to_owned(), Value::Array(names));
            }
            object.values_mut().for_each(require_all);
        }
        Value::Array(items) => items.iter_mut().for_each(require_all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Verdict {
        pass: bool,
        issues: Vec<Issue>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    struct Issue {
        #[serde(default)]
        #[expect(dead_code, reason = "it is read to be checked")]
        text: Option<String>,
    }

    struct Says(Value);

    #[async_trait]
    impl LanguageModel for Says {
        fn provider(&self) -> &str {
            "test"
        }

        async fn generate(&self, _: &LanguageRequest) -> Result<Answer<Value>, LanguageError> {
            let usage = Usage {
                output_tokens: 7,
                ..Usage::default()
            };
            Ok(Answer::new(self.0.clone(), usage))
        }
    }

    #[test]
    fn a_schema_has_no_references_and_requires_everything() {
        let schema = schema_of::<Verdict>();
        assert_eq!(schema["required"], json!(["pass", "issues"]));
        let issue = &schema["properties"]["issues"]["items"];
        assert_eq!(issue["required"], json!(["text"]));
        assert_eq!(
            issue["properties"]["text"]["type"],
            json!(["string", "null"])
        );
        assert!(!schema.to_string().contains("$ref"), "{schema}");
        assert!(!schema.to_string().contains("default"), "{schema}");
    }

    #[tokio::test]
    async fn an_answer_of_the_wrong_shape_says_where_and_what_it_cost() {
        let request = LanguageRequest::new::<Verdict>("Is it good?");
        let good: &dyn LanguageModel = &Says(json!({"pass": true, "issues": [{"text": null}]}));
        assert!(good.ask::<Verdict>(&request).await.unwrap().value.pass);
        let bad: &dyn LanguageModel = &Says(json!({"pass": true, "issues": [{}, {"text": 3}]}));
        let error = bad.ask::<Verdict>(&request).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("test answered what is not asked for, at issues[1].text: "),
            "{message}"
        );
        assert_eq!(error.usage().map(|usage| usage.output_tokens), Some(7));
        let long: &dyn LanguageModel = &Says(json!({"pass": "x".repeat(10_000), "issues": []}));
        let error = long.ask::<Verdict>(&request).await.unwrap_err();
        assert!(error.to_string().len() < 500, "{error}");
        assert!(error.is_transient());
    }
}
