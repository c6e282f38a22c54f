use super::{PROVIDER, language, usage};
use crate::{Answer, EMBEDDING_DIMENSIONS, EmbedError, Embedder, Purpose};
use async_trait::async_trait;
use std::collections::HashMap;
use std::time::Instant;

/// Deterministic embeddings by feature hashing.
///
/// A text becomes weighted features: its words, its pairs of neighbouring words, and the letter
/// trigrams of its words (so that "photograph" is near "photography"). Each feature is hashed to a
/// dimension and a sign (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
/// Learning"), weighted by damped frequency times an estimate of how much it tells, and the whole
/// is scaled to length 1. There is no corpus to count document frequencies in, so that estimate
/// goes by what holds in English: stop words tell nothing, longer words more than short ones, and words of headings most.
///
/// The same text gives the same bits on every machine and every version of this crate.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalEmbedder;

/// Bounds the memory of one call, not its usefulness: vectors are made one text at a time.
const BATCH_MAX: usize = 1024;

/// Texts are cut here; chunks are far shorter.
const TEXT_CHARS_MAX: usize = 100_000;

/// More than this keeps a thread busy for longer than others should wait for it.
const INLINE_BYTES_MAX: usize = 4 * 1024;

const WORD_WEIGHT: f32 = 1.0;
const PAIR_WEIGHT: f32 = 0.7;
const TRIGRAM_WEIGHT: f32 = 0.15;

#[async_trait]
impl Embedder for LocalEmbedder {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    async fn embed(
        &self,
        texts: &[String],
        _: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        let started = Instant::now();
        if texts.len() > BATCH_MAX {
            return Err(EmbedError::BatchTooLarge {
                provider: PROVIDER.to_owned(),
                count: texts.len(),
                limit: BATCH_MAX,
            });
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        let vectors = match bytes <= INLINE_BYTES_MAX {
            true => vectors(texts),
            false => {
                let texts = texts.to_vec();
                let made = tokio::task::spawn_blocking(move || vectors(&texts));
                made.await.map_err(|error| EmbedError::Provider {
                    provider: PROVIDER.to_owned(),
                    transient: true,
                    source: Box::new(error),
                })?
            }
        };
        Ok(Answer::new(vectors, usage("hashed n-grams", started)))
    }
}

/// A paragraph of this many words is a heading or a label: it names what the rest is about.
const TITLE_WORDS_MAX: usize = 4;
const TITLE_EMPHASIS: f32 = 1.8;

struct Feature {
    hash: u64,
    /// The highest of its appearances.
    weight: f32,
    count: u32,
}

/// Features in order of first appearance: floating point sums must not depend on map order.
#[derive(Default)]
struct Features {
    in_order: Vec<Feature>,
    places: HashMap<u64, usize>,
}

impl Features {
    fn add(&mut self, hash: u64, weight: f32) {
        let place = *self.places.entry(hash).or_insert(self.in_order.len());
        match self.in_order.get_mut(place) {
            Some(feature) => {
                feature.count += 1;
                feature.weight = feature.weight.max(weight);
            }
            None => self.in_order.push(Feature {
                hash,
                weight,
                count: 1,
            }),
        }
    }
}

fn vectors(texts: &[String]) -> Vec<Vec<f32>> {
    texts.iter().map(|text| vector(text)).collect()
}

fn vector(text: &str) -> Vec<f32> {
    let cut = text
        .char_indices()
        .nth(TEXT_CHARS_MAX)
        .map_or(text.len(), |(at, _)| at);
    let mut features = Features::default();
    for paragraph in text[..cut].split("\n\n") {
        let words: Vec<String> = language::words(paragraph).collect();
        let emphasis = if words.len() <= TITLE_WORDS_MAX {
            TITLE_EMPHASIS
        } else {
            1.0
        };
        let mut previous: Option<&str> = None;
        for word in words.iter().filter(|word| !language::is_stop_word(word)) {
            let tells = telling(word) * emphasis;
            features.add(hash(&["w", word]), WORD_WEIGHT * tells);
            let letters: Vec<char> = std::iter::once('^')
                .chain(word.chars())
                .chain(['$'])
                .collect();
            for trigram in letters.windows(3) {
                let trigram: String = trigram.iter().collect();
                features.add(hash(&["t", &trigram]), TRIGRAM_WEIGHT * tells);
            }
            if let Some(previous) = previous {
                features.add(hash(&["p", previous, word]), PAIR_WEIGHT * tells);
            }
            previous = Some(word);
        }
    }

    let mut vector = vec![0.0_f32; EMBEDDING_DIMENSIONS];
    for Feature {
        hash,
        weight,
        count,
    } in features.in_order
    {
        // A square root is exact everywhere, a logarithm is not.
        let damped = (count as f32).sqrt();
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[(hash % EMBEDDING_DIMENSIONS as u64) as usize] += sign * weight * damped;
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// A stand-in for inverse document frequency.
fn telling(word: &str) -> f32 {
    let letters = word.chars().count();
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return 0.4;
    }
    match letters {
        0..=2 => 0.4,
        3 => 0.7,
        4..=5 => 0.9,
        6..=8 => 1.1,
        _ => 1.25,
    }
}

/// FNV-1a over the parts, finished with a mix so that high and low bits are both usable.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum()
    }

    #[tokio::test]
    async fn a_vector_has_768_dimensions_length_one_and_never_changes() {
        let texts = [
            "The primary colour is Ember.".to_owned(),
            String::new(),
            "the of and".to_owned(),
        ];
        let vectors = LocalEmbedder
            .embed(&texts, Purpose::Document)
            .await
            .unwrap()
            .value;
        assert!(
            vectors
                .iter()
                .all(|vector| vector.len() == EMBEDDING_DIMENSIONS)
        );
        let length: f32 = vectors[0].iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert!(
            vectors[1]
                .iter()
                .chain(&vectors[2])
                .all(|value| *value == 0.0)
        );
        assert_eq!(
            vectors[0],
            LocalEmbedder
                .embed(&texts, Purpose::Query)
                .await
                .unwrap()
                .value[0]
        );
        // The bits are part of the contract: stored vectors outlive this version.
        assert_eq!(hash(&["w", "colour"]), 4_042_844_618_747_574_949);
    }

    #[test]
    fn nearer_texts_are_nearer() {
        let colour = "Our primary colour is Ember, a warm orange.";
        let type_ = "Headlines are set in Sora; body text in EB Garamond.";
        assert!((cosine("primary color", "Primary colours") - 1.0).abs() < 1e-5);
        assert!(cosine("primary colour", colour) > 0.3);
        assert!(cosine("primary colour", type_) < 0.1);
        assert!(cosine("photograph", "photography") > cosine("photograph", "typography"));
    }

    #[tokio::test]
    async fn a_batch_over_the_limit_is_refused() {
        let texts = vec![String::new(); BATCH_MAX + 1];
        let error = LocalEmbedder
            .embed(&texts, Purpose::Document)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "1025 texts in one batch; local takes at most 1024"
        );
    }
}
