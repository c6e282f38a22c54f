//! Any other provider.

use super::{Inference, Model, body_of};
use crate::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;

/// A model that takes `Q` and gives `A` as JSON, wherever it is.
///
/// ```
/// use stepwell::ai::Custom;
///
/// #[derive(serde::Serialize)]
/// struct Embed { input: String }
/// #[derive(serde::Deserialize)]
/// struct Embedding { vector: Vec<f32> }
///
/// let model: Custom<Embed, Embedding> = Custom::new("https://ai.example.com/embed").api_key("key");
/// ```
#[derive(Clone)]
pub struct Custom<Q = Value, A = Value> {
    url: String,
    format: String,
    key: String,
    headers: Vec<(String, String)>,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> fmt::Debug for Custom<Q, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Custom")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<Q, A> Custom<Q, A> {
    /// A model at this URL, which gets a `POST`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            format: "openai-chat".to_owned(),
            key: String::new(),
            headers: Vec::new(),
            types: PhantomData,
        }
    }

    /// The key: sent as `Authorization: Bearer …`, unless the [format](Custom::format) has another place for it.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Whose dialect it is: `anthropic` (the key is `x-api-key`), `gemini` (it is in the query), `bedrock` (it is all of
    /// `Authorization`), or any other name.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = format.into();
        self
    }

    /// Another header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl<Q: Serialize, A: DeserializeOwned> Model for Custom<Q, A> {
    type Request = Q;
    type Answer = A;

    fn inference(&self, request: Q) -> Result<Inference, Error> {
        Ok(Inference {
            url: self.url.clone(),
            format: self.format.clone(),
            key: self.key.clone(),
            headers: self.headers.clone(),
            body: body_of(&request)?,
        })
    }
}
