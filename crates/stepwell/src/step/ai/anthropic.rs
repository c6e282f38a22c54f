//! Anthropic's messages.

use super::{Inference, Model, Provider, provider_options};
use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model of Anthropic's.
#[derive(Debug, Clone)]
pub struct Anthropic {
    provider: Provider,
    beta: Vec<String>,
}

impl Anthropic {
    /// A model; its key is `ANTHROPIC_API_KEY` of the environment when none is given.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            provider: Provider::new("https://api.anthropic.com/v1", model, "ANTHROPIC_API_KEY"),
            beta: Vec::new(),
        }
    }

    /// Turns a feature on that is in trial (`anthropic-beta`).
    #[must_use]
    pub fn beta(mut self, feature: impl Into<String>) -> Self {
        self.beta.push(feature.into());
        self
    }
}

provider_options! {
    impl Anthropic;
    /// The key.
    /// Another provider with the same API.
}

impl Model for Anthropic {
    type Request = Messages;
    type Answer = Answer;

    fn inference(&self, request: Messages) -> Result<Inference, Error> {
        let beta =
            (!self.beta.is_empty()).then(|| ("anthropic-beta".to_owned(), self.beta.join(",")));
        let key = self.provider.key.read()?;
        let inference = self
            .provider
            .inference("/messages", "anthropic", key, &request)?;
        Ok(Inference {
            headers: beta.into_iter().collect(),
            ..inference
        })
    }
}

/// A conversation to go on with.
#[derive(Debug, Clone, Serialize)]
pub struct Messages {
    /// What was said so far; the user and the model take turns.
    pub messages: Vec<Message>,
    /// How long the answer may be, in tokens.
    pub max_tokens: u32,
    /// What the model is to keep to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// How daring the answer is: 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Anything else that the provider takes, e.g. `tools`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Messages {
    /// A conversation, and how long the answer may be.
    pub fn new(max_tokens: u32, messages: impl Into<Vec<Message>>) -> Self {
        Self {
            messages: messages.into(),
            max_tokens,
            system: None,
            temperature: None,
            other: Map::new(),
        }
    }
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Who said it: `user` or `assistant`.
    pub role: String,
    /// What was said: text, or blocks of several kinds.
    pub content: Value,
}

impl Message {
    /// What the user said.
    pub fn user(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self {
            role: "user".to_owned(),
            content: text.into(),
        }
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self {
            role: "assistant".to_owned(),
            content: text.into(),
        }
    }
}

/// What the model answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// Text, calls of tools and the like, in order.
    #[serde(default)]
    pub content: Vec<Block>,
    /// Why it stopped: `end_turn`, `max_tokens`, `tool_use`, …
    #[serde(default)]
    pub stop_reason: Option<String>,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
    /// Anything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A part of an answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Block {
    /// What it is: `text`, `tool_use`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a `text` block.
    #[serde(default)]
    pub text: String,
    /// Anything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the conversation.
    pub input_tokens: u64,
    /// Of the answer.
    pub output_tokens: u64,
}

impl Answer {
    /// All text of the answer.
    #[must_use]
    pub fn text(&self) -> String {
        self.content.iter().map(|block| &*block.text).collect()
    }
}
