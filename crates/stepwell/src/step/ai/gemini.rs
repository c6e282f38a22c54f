//! Google's Gemini.

use super::{Inference, Model, Provider, body_of, provider_options};
use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model of Google's.
#[derive(Debug, Clone)]
pub struct Gemini {
    provider: Provider,
}

impl Gemini {
    /// A model; its key is `GEMINI_API_KEY` of the environment when none is given.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            provider: Provider::new(
                "https://generativelanguage.googleapis.com/v1beta",
                model,
                "GEMINI_API_KEY",
            ),
        }
    }
}

provider_options! {
    impl Gemini;
    /// The key.
    /// Another provider with the same API.
}

impl Model for Gemini {
    type Request = Contents;
    type Answer = Answer;

    fn inference(&self, request: Contents) -> Result<Inference, Error> {
        let Provider {
            model,
            base_url,
            key,
        } = &self.provider;
        Ok(Inference {
            url: format!("{base_url}/models/{model}:generateContent"),
            format: "gemini".to_owned(),
            key: key.read()?,
            headers: Vec::new(),
            // The model is named by the URL.
            body: body_of(&request)?,
        })
    }
}

/// A conversation to go on with.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// What was said so far.
    pub contents: Vec<Content>,
    /// What the model is to keep to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content>,
    /// How the answer is made: `temperature`, `maxOutputTokens`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_config: Option<Value>,
    /// Anything else that the provider takes, e.g. `tools`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Content {
    /// Who said it: `user` or `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What was said.
    #[serde(default)]
    pub parts: Vec<Part>,
}

/// A part of what was said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Part {
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Anything else, e.g. `functionCall`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Content {
    fn of(role: Option<&str>, text: impl Into<String>) -> Self {
        Self {
            role: role.map(str::to_owned),
            parts: vec![Part {
                text: Some(text.into()),
                other: Map::new(),
            }],
        }
    }

    /// What the user said.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of(Some("user"), text)
    }

    /// What the model said.
    pub fn model(text: impl Into<String>) -> Self {
        Self::of(Some("model"), text)
    }

    /// What the model is to keep to.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of(None, text)
    }
}

impl From<Vec<Content>> for Contents {
    fn from(contents: Vec<Content>) -> Self {
        Self {
            contents,
            ..Self::default()
        }
    }
}

impl<const N: usize> From<[Content; N]> for Contents {
    fn from(contents: [Content; N]) -> Self {
        Vec::from(contents).into()
    }
}

/// What the model answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The answers: one, unless more were asked for.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// What it cost.
    #[serde(default)]
    pub usage_metadata: Usage,
    /// Anything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// What the model said.
    #[serde(default)]
    pub content: Content,
    /// Why it stopped: `STOP`, `MAX_TOKENS`, `SAFETY`, …
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Usage {
    /// Of the conversation.
    pub prompt_token_count: u64,
    /// Of the answers.
    pub candidates_token_count: u64,
    /// Of both.
    pub total_token_count: u64,
}

impl Answer {
    /// All text of the first answer.
    #[must_use]
    pub fn text(&self) -> String {
        let parts = self.candidates.first().map(|first| &first.content.parts);
        let texts = parts
            .into_iter()
            .flatten()
            .filter_map(|part| part.text.as_deref());
        texts.collect()
    }
}
