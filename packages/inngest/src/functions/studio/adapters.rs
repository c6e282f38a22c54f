//! Plugins take what they need as traits of their own; here the studio's capabilities become those.

use crate::middleware::Spent;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use studio233_ai::{EncodedImage, ImageError, Usage};
use studio233_plugins::{
    BackgroundRemover, Cost, PassedOver, Provider, Removal, Removed, Secret, ServiceError, Source,
    Spending,
};
use studio233_rag::Fetcher;

/// Plugins get their files from where documents come from, under the same rules: the studio's blobs and the public
/// network.
#[derive(Debug, Clone)]
pub struct FetchedFiles(Fetcher);

impl FetchedFiles {
    /// Gets files with this fetcher, whose limits have to be for media
    /// ([`FetchLimits::photos`](studio233_rag::FetchLimits::photos)).
    #[must_use]
    pub fn new(fetcher: Fetcher) -> Self {
        Self(fetcher)
    }
}

#[async_trait]
impl Source for FetchedFiles {
    async fn fetch(&self, url: &str, bytes_max: u64) -> Result<Bytes, ServiceError> {
        let fetched = self.0.fetch(url).await.map_err(|error| ServiceError {
            retriable: error.is_transient(),
            ..ServiceError::permanent("it cannot be fetched").because(error)
        })?;
        let bytes = fetched.bytes.len() as u64;
        if bytes > bytes_max {
            let message = format!("it has {bytes} bytes; at most {bytes_max} are taken");
            return Err(ServiceError::permanent(message));
        }
        Ok(fetched.bytes)
    }
}

type Remover = Arc<dyn studio233_ai::BackgroundRemover>;

/// Makes a remover with a key. The error says nothing of the key.
type WithKey = Arc<dyn Fn(&str) -> Result<Remover, Unusable> + Send + Sync>;

/// Why there is no remover with a key.
type Unusable = Box<dyn std::error::Error + Send + Sync>;

/// A capability that removes backgrounds, as the provider that nodes know it by.
#[derive(Clone)]
pub struct RemovedBy {
    provider: Provider,
    /// With the app's key.
    remover: Option<Remover>,
    /// With a node's own.
    with_key: Option<WithKey>,
}

impl RemovedBy {
    /// Asks this one when a node asks for that provider.
    #[must_use]
    pub fn new(provider: Provider, remover: Remover) -> Self {
        Self {
            provider,
            remover: Some(remover),
            with_key: None,
        }
    }

    /// Asks for that provider with a node's own key, and not at all without one.
    #[must_use]
    pub fn with_keys_of_nodes(
        provider: Provider,
        with_key: impl Fn(&str) -> Result<Remover, Unusable> + Send + Sync + 'static,
    ) -> Self {
        Self {
            provider,
            remover: None,
            with_key: Some(Arc::new(with_key)),
        }
    }

    /// Asks this one where a node has no key of its own.
    #[must_use]
    pub fn or_else(mut self, remover: Remover) -> Self {
        self.remover = Some(remover);
        self
    }

    /// Who removes with that key, or without one.
    fn remover(&self, key: Option<&Secret>) -> Result<Remover, ServiceError> {
        match (key, &self.with_key, &self.remover) {
            (Some(key), Some(with_key), _) => with_key(key.reveal()).map_err(|error| {
                ServiceError::permanent("the node's own API key cannot be used").because(error)
            }),
            (Some(_), None, _) => {
                let message = "this provider takes no API key; leave apiKey out of the config";
                Err(ServiceError::permanent(message))
            }
            (None, _, Some(remover)) => Ok(Arc::clone(remover)),
            (None, _, None) => Err(ServiceError::permanent("no API key is configured")),
        }
    }
}

impl fmt::Debug for RemovedBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemovedBy")
            .field("provider", &self.provider)
            .field(
                "remover",
                &self.remover.as_ref().map(|remover| remover.provider()),
            )
            .finish()
    }
}

#[async_trait]
impl BackgroundRemover for RemovedBy {
    fn provider(&self) -> Provider {
        self.provider
    }

    fn needs_key(&self) -> bool {
        self.remover.is_none()
    }

    async fn remove(&self, removal: Removal) -> Result<Removed, ServiceError> {
        let remover = self.remover(removal.api_key.as_ref())?;
        // What a node's own key pays for is not the studio's spending.
        let count = |usage: &Usage| {
            if removal.api_key.is_none() {
                removal.spending.add(cost(usage));
            }
        };
        let image = EncodedImage::new(removal.image)
            .map_err(|error| ServiceError::permanent("it is no image").because(error))?;
        match remover.remove_background(&image).await {
            Ok(answer) => {
                count(&answer.usage);
                Ok(Removed {
                    image: answer.value.image.bytes().clone(),
                })
            }
            Err(error) => {
                if let Some(usage) = error.usage() {
                    count(usage);
                }
                Err(failed(error))
            }
        }
    }
}

fn cost(usage: &Usage) -> Cost {
    Cost {
        provider: usage.provider.clone(),
        model: usage.model.clone(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        images: usage.images,
        seconds: usage.seconds,
        passed_over: usage.passed_over.as_ref().map(|model| PassedOver {
            provider: model.provider.clone(),
            reason: model.reason.clone(),
        }),
    }
}

/// What a plugin tells of its spending is added to a step's.
pub(super) fn spending(spent: Spent) -> Spending {
    Spending::told_to(move |cost| {
        spent.add(&Usage {
            provider: cost.provider,
            model: cost.model,
            input_tokens: cost.input_tokens,
            output_tokens: cost.output_tokens,
            images: cost.images,
            seconds: cost.seconds,
            passed_over: cost.passed_over.map(|model| studio233_ai::PassedOver {
                provider: model.provider,
                reason: model.reason,
            }),
        });
    })
}

fn failed(error: ImageError) -> ServiceError {
    ServiceError {
        retriable: error.is_transient(),
        retry_after: error.retry_after(),
        ..ServiceError::permanent(error.to_string()).because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use studio233_ai::Answer;
    use studio233_ai::background::Cutout;

    const PHOTO: &[u8] = include_bytes!("../../../../media/tests/files/alpha.png");

    type Notes = Arc<Mutex<Vec<String>>>;

    /// Notes who is asked, and answers the image itself.
    struct Noting(String, Notes);

    #[async_trait]
    impl studio233_ai::BackgroundRemover for Noting {
        fn provider(&self) -> &str {
            "noting"
        }

        async fn remove_background(
            &self,
            image: &EncodedImage,
        ) -> Result<Answer<Cutout>, ImageError> {
            self.1.lock().unwrap().push(self.0.clone());
            let cutout = Cutout {
                image: image.clone(),
                transparent_share: 0.5,
                note: None,
            };
            let images = 1;
            Ok(Answer::new(
                cutout,
                Usage {
                    images,
                    ..Usage::default()
                },
            ))
        }
    }

    #[tokio::test]
    async fn a_nodes_own_key_is_used_for_it_alone_and_not_counted() {
        let notes = Notes::default();
        let by = |name: &str, notes: &Notes| Arc::new(Noting(name.to_owned(), notes.clone()));
        let asked = notes.clone();
        let keyed = RemovedBy::with_keys_of_nodes(Provider::Fal, move |key| {
            Ok(by(&format!("with {key}"), &asked))
        });
        assert!(keyed.needs_key());
        let both = keyed.clone().or_else(by("the studio's", &notes));
        assert!(!both.needs_key());
        let spending = {
            let notes = notes.clone();
            Spending::told_to(move |cost| {
                notes.lock().unwrap().push(format!("{} spent", cost.images));
            })
        };
        let removal = |key: Option<&str>| Removal {
            image: PHOTO.into(),
            content_type: "image/png",
            api_key: key.map(Secret::new),
            spending: spending.clone(),
        };
        both.remove(removal(Some("k1"))).await.unwrap();
        both.remove(removal(None)).await.unwrap();
        keyed.remove(removal(Some("k2"))).await.unwrap();
        let error = keyed.remove(removal(None)).await.unwrap_err();
        assert!(!error.retriable);
        assert_eq!(
            *notes.lock().unwrap(),
            ["with k1", "the studio's", "1 spent", "with k2"]
        );
    }
}
