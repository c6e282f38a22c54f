//! AI providers: requests that the server makes to them, and calls of their libraries as steps.
//!
//! ```
//! use stepwell::ai::openai::{Message, OpenAi};
//! # use stepwell::{Context, Error};
//!
//! async fn summarise(ctx: Context) -> Result<String, Error> {
//!     let text = ctx.data()["text"].as_str().unwrap_or_default();
//!     let model = OpenAi::new("gpt-4o-mini");
//!     let prompt = [Message::system("Summarise in one sentence."), Message::user(text)];
//!     let answer = ctx.step().ai().infer("summarise", &model, prompt.into()).await?;
//!     Ok(answer.text().to_owned())
//! }
//! ```
//!
//! With [`Ai::infer`] the server makes the request: the app waits for nothing, and may be gone meanwhile. The key goes along
//! with each request to the server, which keeps it in memory only. With [`Ai::wrap`] the app calls a library of its own.

pub mod anthropic;
mod custom;
pub mod gemini;
pub mod openai;

pub use custom::Custom;

use super::{RunStep, Slot, Step, decode};
use crate::Error;
use crate::error::StepError;
use crate::execution::StepSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use stepwell_protocol::op::Opcode;

/// A model of a provider: where it is, and what it takes and gives.
pub trait Model {
    /// What it is asked.
    type Request;
    /// What it answers.
    type Answer: DeserializeOwned;

    /// The request to the provider.
    ///
    /// # Errors
    /// Why there is none, e.g. for want of a key. No other attempt comes.
    fn inference(&self, request: Self::Request) -> Result<Inference, Error>;
}

/// A request to a provider. `Debug` shows neither key nor body.
#[derive(Clone)]
pub struct Inference {
    /// Where it goes.
    pub url: String,
    /// Whose dialect it is, so that the server puts the key where the provider looks for it: `openai-chat`, `anthropic`,
    /// `gemini`, …
    pub format: String,
    /// The key; empty for none.
    pub key: String,
    /// Headers besides.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Value,
}

impl fmt::Debug for Inference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inference")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Makes steps of AI providers; see [the module](self).
#[derive(Debug, Clone)]
pub struct Ai {
    step: Step,
}

impl Step {
    /// Steps of AI providers.
    #[must_use]
    pub fn ai(&self) -> Ai {
        Ai { step: self.clone() }
    }
}

impl Ai {
    /// Has the server ask a model, and records its answer.
    ///
    /// # Errors
    /// [`StepError`] when the provider refused, could not be reached, or answered something else than the model's
    /// answers are.
    pub fn infer<M: Model>(
        &self,
        id: impl Into<String>,
        model: &M,
        request: M::Request,
    ) -> Infer<M::Answer> {
        let mut spec = StepSpec::new(id, Opcode::AiGateway);
        match model.inference(request) {
            Ok(inference) => {
                let headers = inference.headers.into_iter();
                let headers: Map<String, Value> =
                    headers.map(|(name, value)| (name, value.into())).collect();
                spec.opts = Map::from_iter([
                    ("type".to_owned(), "step.ai.infer".into()),
                    ("url".to_owned(), inference.url.into()),
                    ("headers".to_owned(), headers.into()),
                    ("auth_key".to_owned(), inference.key.into()),
                    ("format".to_owned(), inference.format.into()),
                    ("body".to_owned(), inference.body),
                ]);
            }
            Err(problem) => spec.problem = Some(problem),
        }
        Infer {
            slot: self.step.slot(spec),
            answer: PhantomData,
        }
    }

    /// Runs code that asks a provider through a library of its own; what it asks is recorded along with the answer.
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// # async fn complete(prompt: &str) -> Result<String, std::io::Error> { Ok(prompt.to_owned()) }
    /// # async fn handler(ctx: Context) -> Result<String, Error> {
    /// let ai = ctx.step().ai();
    /// let text = ai.wrap("joke", "tell me a joke".to_owned(), |prompt| async move { Ok(complete(&prompt).await?) }).await?;
    /// # Ok(text)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] once no attempt is left, and when the recorded value is not a `T`.
    pub fn wrap<'a, I, F, Fut, T>(&self, id: impl Into<String>, input: I, code: F) -> RunStep<'a, T>
    where
        I: Serialize + DeserializeOwned + Send + 'a,
        F: FnOnce(I) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned,
    {
        let mut spec = StepSpec::new(id, Opcode::StepPlanned);
        spec.opts.insert("type".to_owned(), "step.ai.wrap".into());
        self.step.input_step(spec, input, code)
    }
}

/// The future of [`Ai::infer`].
#[must_use = "a step does nothing until it is awaited"]
pub struct Infer<A> {
    slot: Slot,
    answer: PhantomData<fn() -> A>,
}

impl<A> fmt::Debug for Infer<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Infer").finish_non_exhaustive()
    }
}

super::step_options! {
    impl[A] Infer<A>;
}

impl<A> Infer<A> {
    /// Subscribers of this topic get the answer, too.
    pub fn publish_to<T: ?Sized>(mut self, topic: &super::Topic<T>) -> Self {
        if let Some(spec) = self.slot.spec_mut() {
            let to = json!({"channel": topic.channel(), "topic": topic.name()});
            spec.opts.insert("publish".to_owned(), to);
        }
        self
    }
}

impl<A: DeserializeOwned> Future for Infer<A> {
    type Output = Result<A, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.slot.poll_recorded(cx).map(|recorded| {
            let answer = recorded?;
            decode(this.slot.info().id, &answer)
        })
    }
}

/// A key: as given, else of the environment.
#[derive(Clone)]
struct Key {
    given: Option<String>,
    variable: &'static str,
}

impl Key {
    fn of(variable: &'static str) -> Self {
        Self {
            given: None,
            variable,
        }
    }

    fn read(&self) -> Result<String, Error> {
        let given = self.given.clone();
        let key = given.or_else(|| std::env::var(self.variable).ok());
        key.filter(|key| !key.is_empty()).ok_or_else(|| {
            let message = format!(
                "there is no key: set {}, or give the model one with api_key(..)",
                self.variable
            );
            Error::new("NoApiKey", message).non_retriable()
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.variable)
    }
}

/// Where a model is, and what opens it.
#[derive(Debug, Clone)]
struct Provider {
    model: String,
    /// Without a slash at its end.
    base_url: String,
    key: Key,
}

impl Provider {
    fn new(base_url: &str, model: impl Into<String>, variable: &'static str) -> Self {
        Self {
            model: model.into(),
            base_url: base_url.to_owned(),
            key: Key::of(variable),
        }
    }

    /// A request to this path, which names the model.
    fn inference<T: Serialize>(
        &self,
        path: &str,
        format: &str,
        key: String,
        request: &T,
    ) -> Result<Inference, Error> {
        let mut body = body_of(request)?;
        if let Value::Object(fields) = &mut body {
            fields.insert("model".to_owned(), self.model.as_str().into());
        }
        Ok(Inference {
            url: format!("{}{path}", self.base_url),
            format: format.to_owned(),
            key,
            headers: Vec::new(),
            body,
        })
    }
}

fn body_of<T: Serialize>(request: &T) -> Result<Value, Error> {
    super::json_of("the request", request)
}

/// What every provider lets one set, on its field `provider`.
macro_rules! provider_options {
    (impl $name:ty; #[doc = $key:literal] #[doc = $url:literal]) => {
        impl $name {
            #[doc = $key]
            #[must_use]
            pub fn api_key(mut self, key: impl Into<String>) -> Self {
                self.provider.key.given = Some(key.into());
                self
            }

            #[doc = $url]
            #[must_use]
            pub fn base_url(mut self, url: impl Into<String>) -> Self {
                let url: String = url.into();
                self.provider.base_url = url.trim_end_matches('/').to_owned();
                self
            }
        }
    };
}

use provider_options;
