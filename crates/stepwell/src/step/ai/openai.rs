//! OpenAI's chat completions, and providers that speak the same: xAI's Grok, DeepSeek, Ollama and others.

use super::{Inference, Model, Provider, provider_options};
use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A chat model.
#[derive(Debug, Clone)]
pub struct OpenAi {
    provider: Provider,
    format: &'static str,
}

impl OpenAi {
    /// A model of OpenAI's; its key is `OPENAI_API_KEY` of the environment when none is given.
    pub fn new(model: impl Into<String>) -> Self {
        Self::at("https://api.openai.com/v1", model, "OPENAI_API_KEY")
    }

    /// A model of xAI's; its key is `XAI_API_KEY` of the environment when none is given.
    pub fn grok(model: impl Into<String>) -> Self {
        let grok = Self::at("https://api.x.ai/v1", model, "XAI_API_KEY");
        Self {
            format: "grok",
            ..grok
        }
    }

    /// A model of DeepSeek's; its key is `DEEPSEEK_API_KEY` of the environment when none is given.
    pub fn deepseek(model: impl Into<String>) -> Self {
        Self::at("https://api.deepseek.com/v1", model, "DEEPSEEK_API_KEY")
    }

    fn at(base_url: &str, model: impl Into<String>, variable: &'static str) -> Self {
        Self {
            provider: Provider::new(base_url, model, variable),
            format: "openai-chat",
        }
    }
}

provider_options! {
    impl OpenAi;
    /// The key; empty for a provider that wants none.
    /// Another provider with the same API, e.g. `http://localhost:11434/v1`.
}

impl Model for OpenAi {
    type Request = Chat;
    type Answer = Completion;

    fn inference(&self, request: Chat) -> Result<Inference, Error> {
        let key = match self.provider.key.given.as_deref() {
            Some("") => String::new(),
            _ => self.provider.key.read()?,
        };
        self.provider
            .inference("/chat/completions", self.format, key, &request)
    }
}

/// A conversation to go on with.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Chat {
    /// What was said so far.
    pub messages: Vec<Message>,
    /// How daring the answer is: 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How long it may be, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Anything else that the provider takes.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it: `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What was said: text, or parts of several kinds.
    #[serde(default)]
    pub content: Value,
    /// Anything else, e.g. `tool_calls`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Message {
    fn of(role: &str, text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self {
            role: role.to_owned(),
            content: text.into(),
            other: Map::new(),
        }
    }

    /// What the model is to keep to.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of("system", text)
    }

    /// What the user said.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of("user", text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::of("assistant", text)
    }
}

impl From<Vec<Message>> for Chat {
    fn from(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}

impl<const N: usize> From<[Message; N]> for Chat {
    fn from(messages: [Message; N]) -> Self {
        Vec::from(messages).into()
    }
}

/// What a chat model answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Completion {
    /// The answers: one, unless more were asked for.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// What it cost.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Anything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Choice {
    /// What the model said.
    pub message: Message,
    /// Why it stopped: `stop`, `length`, `tool_calls`, …
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the conversation.
    pub prompt_tokens: u64,
    /// Of the answer.
    pub completion_tokens: u64,
    /// Of both.
    pub total_tokens: u64,
}

impl Completion {
    /// The text of the first answer; empty when it has none, e.g. because the model calls a tool.
    #[must_use]
    pub fn text(&self) -> &str {
        let first = self.choices.first();
        first
            .and_then(|choice| choice.message.content.as_str())
            .unwrap_or_default()
    }
}
