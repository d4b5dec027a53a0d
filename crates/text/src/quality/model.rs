//! The classifiers that a document's score may come from.

use crate::{fasttext, linear};

/// A classifier, of whichever kind its file is.
#[derive(Debug)]
pub enum QualityModel {
    /// A supervised fastText model; the score is a label's.
    Fasttext(Box<fasttext::Model>),
    /// Logistic regression over TF-IDF; the score is the positive class's.
    Tfidf(linear::Model),
}

/// Buffers of [`QualityModel::score`], kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    fasttext: fasttext::Scratch,
    tfidf: linear::Scratch,
}

/// Bytes that are no classifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Not one of fastText's.
    #[error(transparent)]
    Fasttext(#[from] fasttext::Error),
    /// Not one of ours.
    #[error(transparent)]
    Tfidf(#[from] linear::Error),
}

impl QualityModel {
    /// Whether bytes begin as a classifier's do: enough to refuse another file before all of it is read.
    pub fn check_head(bytes: &[u8]) -> Result<(), ModelError> {
        if linear::Model::is_model(bytes) { Ok(()) } else { Ok(fasttext::Model::check_head(bytes)?) }
    }

    /// Reads a classifier; its first bytes say of which kind.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        if linear::Model::is_model(bytes) {
            return Ok(Self::Tfidf(linear::Model::read(bytes)?));
        }
        Ok(Self::Fasttext(Box::new(fasttext::Model::read(bytes)?)))
    }

    /// The score of a text, 0 to 1; of a fastText model that of `label`.
    pub(super) fn score(&self, label: &str, text: &str, scratch: &mut Scratch) -> f32 {
        let score = match self {
            Self::Fasttext(model) => model.score_of(label, text, &mut scratch.fasttext).unwrap_or(0.0),
            Self::Tfidf(model) => model.score(text, &mut scratch.tfidf),
        };
        // A damaged model may hold numbers that are none; what it says then is not to be kept for.
        if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) }
    }
}
