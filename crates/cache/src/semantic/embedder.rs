//! Texts as vectors.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::words::folded;

/// Turns texts into vectors whose cosine says how alike they are.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// Returns the name of model and version: vectors of different names are never compared.
    fn id(&self) -> &str;

    /// Returns how many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// Embeds texts; one vector for each, in their order, of any length but zero.
    ///
    /// # Errors
    ///
    /// [`EmbedError`] if the model cannot be asked or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but wasted work.
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

#[async_trait]
impl<E: Embedder + ?Sized> Embedder for Arc<E> {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn dimensions(&self) -> usize {
        (**self).dimensions()
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        (**self).embed(texts).await
    }
}

/// Why a text has no vector.
#[derive(Debug, thiserror::Error)]
#[error("the embedder failed")]
#[non_exhaustive]
pub struct EmbedError {
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl EmbedError {
    /// Wraps the error of a model.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}

/// Hashed character n-grams: no model, no weights, no meaning.
///
/// It sees spelling: typing errors, word forms, word order to a degree, in any script. It does not know
/// that "car" and "automobile" are the same, nor that "hot" and "cold" are not. Good for repeated and
/// nearly repeated questions and for tests; for paraphrases put a real model behind [`Embedder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NgramEmbedder {
    _private: (),
}

impl NgramEmbedder {
    /// Makes one.
    pub const fn new() -> Self {
        Self { _private: () }
    }

    /// Embeds one text, at once: 512 numbers of length one, all zero for a text without letters and
    /// digits.
    #[expect(clippy::unused_self, reason = "a version with settings will need it")]
    pub fn vector(self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; DIMENSIONS];
        for word in folded(text) {
            let padded: Vec<char> = std::iter::once('^').chain(word.chars()).chain(std::iter::once('$')).collect();
            for size in 3..=5 {
                for gram in padded.windows(size) {
                    add(&mut vector, gram);
                }
            }
            // A word of one letter has one gram of its own.
            if padded.len() == 3 {
                add(&mut vector, &padded);
            }
        }
        // Sublinear: a gram that is there often says little more than one that is there.
        for number in &mut vector {
            *number = number.signum() * number.abs().sqrt();
        }
        normalize(&mut vector);
        vector
    }
}

impl Default for NgramEmbedder {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Embedder for NgramEmbedder {
    fn id(&self) -> &'static str {
        "bedplate-ngram-512-v1"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

/// Adds a gram with a sign of its own, so that what falls into the same place cancels on average.
fn add(vector: &mut [f32], gram: &[char]) {
    // FNV-1a with a finalizer: the same on every machine and in every version.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for letter in gram {
        hash = (hash ^ u64::from(u32::from(*letter))).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    let at = usize::try_from(hash % 512).unwrap_or(0);
    if let Some(number) = vector.get_mut(at) {
        *number += if hash >> 63 == 0 { 1.0 } else { -1.0 };
    }
}

/// Brings a vector to length one; `false` if it has none or is not finite.
pub(super) fn normalize(vector: &mut [f32]) -> bool {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if !length.is_finite() || length <= f32::MIN_POSITIVE {
        return false;
    }
    for number in vector {
        *number /= length;
    }
    true
}

const DIMENSIONS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let [a, b] = [a, b].map(|text| NgramEmbedder::new().vector(text));
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn it_sees_spelling() {
        assert!((cosine("Reset my password!", "reset MY password") - 1.0).abs() < 1e-6);
        assert!(cosine("how do I reset my password", "how do I resett my pasword") > 0.6);
        assert!(cosine("how do I reset my password", "what is the weather like") < 0.3);
        assert!(cosine("Wie ist das Wetter?", "wie ist das wetter") > 0.999);
    }

    #[test]
    fn it_does_not_see_meaning() {
        assert!(cosine("where can I buy a car", "where can I buy an automobile") < 0.8);
        assert!(cosine("enable the feature", "disable the feature") > 0.6);
    }

    #[test]
    fn nothing_to_see_is_zero_and_not_nan() {
        assert!(NgramEmbedder::new().vector("?! …").iter().all(|number| *number == 0.0));
        assert!(!normalize(&mut [f32::NAN, 1.0]));
        assert!(!normalize(&mut [f32::INFINITY]));
    }
}
