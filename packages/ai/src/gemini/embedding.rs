use super::wire::{BatchEmbedRequest, BatchEmbedResponse, EmbedContent, EmbedRequest, Part};
use super::{Gemini, PROVIDER};
use crate::{Answer, EMBEDDING_DIMENSIONS, EmbedError, Embedder, ProviderError, Purpose, Usage};
use async_trait::async_trait;
use std::time::Instant;

/// The API's limit.
const BATCH_MAX: usize = 100;

/// A hundred vectors of 768 numbers as JSON, with room.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Letters to a token, where the service does not count.
const LETTERS_PER_TOKEN: u64 = 4;

#[async_trait]
impl Embedder for Gemini {
    fn provider(&self) -> &str {
        &self.shown.embedding
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    /// The service does not always count tokens; where it does not, a token is taken to be four letters.
    async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        let provider = || self.shown.embedding.clone();
        if texts.len() > BATCH_MAX {
            return Err(EmbedError::BatchTooLarge {
                provider: provider(),
                count: texts.len(),
                limit: BATCH_MAX,
            });
        }
        let mut usage = Usage {
            provider: PROVIDER.to_owned(),
            model: self.settings.embedding.clone(),
            ..Usage::default()
        };
        // The service refuses texts without words; they are vectors of zeros here as everywhere.
        let asked: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| !text.trim().is_empty())
            .collect();
        if asked.is_empty() {
            return Ok(Answer::new(vec![nothing(); texts.len()], usage));
        }
        let started = Instant::now();
        let answered = self.embed_batch(&asked, purpose).await;
        let response = answered.map_err(|source| EmbedError::Call {
            provider: provider(),
            source,
        })?;
        if response.embeddings.len() != asked.len() {
            return Err(EmbedError::WrongCount {
                provider: provider(),
                asked: asked.len(),
                answered: response.embeddings.len(),
            });
        }
        let letters: usize = asked.iter().map(|text| text.chars().count()).sum();
        usage.seconds = started.elapsed().as_secs_f64();
        usage.input_tokens = match response.usage_metadata {
            Some(counted) if counted.prompt_token_count > 0 => counted.prompt_token_count,
            _ => (letters as u64).div_ceil(LETTERS_PER_TOKEN),
        };
        let mut answered = response.embeddings.into_iter();
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            if text.trim().is_empty() {
                vectors.push(nothing());
                continue;
            }
            let values = answered.next().map(|embedding| embedding.values);
            let vector = values.and_then(unit).ok_or_else(|| EmbedError::Call {
                provider: provider(),
                source: ProviderError::Malformed {
                    problem: format!(
                        "at embeddings[{}]: it is no vector of {EMBEDDING_DIMENSIONS} numbers",
                        vectors.len()
                    ),
                },
            })?;
            vectors.push(vector);
        }
        Ok(Answer::new(vectors, usage))
    }
}

impl Gemini {
    async fn embed_batch(
        &self,
        texts: &[&str],
        purpose: Purpose,
    ) -> Result<BatchEmbedResponse, ProviderError> {
        let model = &self.settings.embedding;
        let name = format!("models/{model}");
        let task_type = match purpose {
            Purpose::Document => "RETRIEVAL_DOCUMENT",
            Purpose::Query => "RETRIEVAL_QUERY",
        };
        let requests = texts.iter().map(|text| EmbedRequest {
            model: &name,
            content: EmbedContent {
                parts: [Part::Text(text)],
            },
            task_type,
            output_dimensionality: EMBEDDING_DIMENSIONS,
        });
        let requests = requests.collect();
        let request = BatchEmbedRequest { requests };
        let timeout = self.settings.embedding_timeout;
        self.call(
            model,
            "batchEmbedContents",
            &request,
            timeout,
            ANSWER_BYTES_MAX,
        )
        .await
    }
}

fn nothing() -> Vec<f32> {
    vec![0.0; EMBEDDING_DIMENSIONS]
}

/// Vectors that were cut to fewer dimensions than the model has do not have length 1 any more.
fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let sound = vector.len() == EMBEDDING_DIMENSIONS && length.is_finite() && length > 0.0;
    sound.then(|| {
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    })
}
