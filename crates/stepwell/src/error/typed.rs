//! Errors that keep their values on the way through the record.

use super::{Error, Marker, StepError, short_type_name};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::error::Error as StdError;
use std::sync::Arc;

/// An error with its values beside it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Typed {
    message: String,
    #[source]
    marker: Marker,
}

impl Error {
    /// An error whose values are recorded, so that a function can take them out of the [`StepError`] again, with
    /// [`StepError::downcast`].
    ///
    /// ```
    /// use stepwell::{Context, Error, NonRetriable};
    ///
    /// #[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
    /// #[error("the card was declined: {reason}")]
    /// struct Declined { reason: String }
    ///
    /// async fn checkout(ctx: Context) -> Result<String, Error> {
    ///     let charged = ctx.step().run("charge", || async {
    ///         let declined = Declined { reason: "no funds".into() };
    ///         Err::<String, _>(Error::typed(declined).non_retriable())
    ///     });
    ///     match charged.await {
    ///         Ok(receipt) => Ok(receipt),
    ///         Err(error) => match error.downcast::<Declined>() {
    ///             Some(declined) => Ok(format!("ask for another card: {}", declined.reason)),
    ///             None => Err(error.into()),
    ///         },
    ///     }
    /// }
    /// ```
    pub fn typed<E: StdError + Serialize + Send + Sync + 'static>(error: E) -> Self {
        let name = short_type_name(std::any::type_name::<E>());
        // What does not serialise is an error all the same, with its message only.
        let data = serde_json::to_value(&error).unwrap_or_default();
        let message = error.to_string();
        let data = json!({"type": name, "value": data});
        let marker = Marker::Typed(Arc::new(data), Arc::new(error.into()));
        Self {
            name: name.into(),
            source: Typed { message, marker }.into(),
        }
    }

    /// The values of the outermost typed error in the chain.
    pub(super) fn typed_data(&self) -> Option<Value> {
        super::chain(self.as_std()).find_map(|error| match error.downcast_ref::<Marker>()? {
            Marker::Typed(data, _) => Some((**data).clone()),
            Marker::NonRetriable(Some(wrapped)) | Marker::RetryAfter(_, Some(wrapped)) => {
                match wrapped.downcast_ref::<Typed>()?.marker {
                    Marker::Typed(ref data, _) => Some((**data).clone()),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

impl StepError {
    /// The error that the step's code made with [`Error::typed`], if it was an `E`.
    #[must_use]
    pub fn downcast<E: DeserializeOwned>(&self) -> Option<E> {
        let name = short_type_name(std::any::type_name::<E>());
        let data = self.data()?;
        // A server may have put another object around it.
        let candidates = [Some(data), data.get("data")];
        candidates.into_iter().flatten().find_map(|data| {
            let is_it = data.get("type").and_then(Value::as_str) == Some(name);
            is_it
                .then(|| E::deserialize(data.get("value")?).ok())
                .flatten()
        })
    }
}
