//! Mixing: how often each source of a corpus is seen in one pass over its tokens.
//!
//! ```text
//!  documents ─▶ group of each (first that matches) ─▶ bytes per group ─▶ epochs per group ─▶ copies of each document
//!                                                       └── barrier ──┘    weights, bounds     floor + seeded draw
//! ```
//!
//! A group of 2.5 epochs has each of its documents twice, and half of them, drawn by the seed and the document's id,
//! a third time. The draw is a function of (seed, id, epochs): it depends neither on the order of documents nor on the
//! number of workers. A document without a copy is dropped with its group's epochs as the reason.
//!
//! Temperature: Conneau et al. 2020, <https://arxiv.org/abs/1911.02116>, section 3.1 (their α is 1 / temperature).
//! Bound on epochs: Muennighoff et al. 2023, <https://arxiv.org/abs/2305.16264>, where up to four epochs of the same
//! text are nearly as good as new text.

mod config;
mod epochs;

use globset::GlobSet;
use orchestrator_core::{Decision, Document, DocumentId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use config::{MixConfig, MixGroup};
pub use epochs::Epochs;

use crate::step::ConfigError;

/// The group of documents that no group of the job names; it is seen once.
pub const OTHERS: &str = "others";
/// Keeps this draw apart from the one that holds documents out for validation, which hashes the same id.
const DRAW: u64 = 0x6d69_7874_7572_6500;

/// What one group holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSize {
    /// Documents.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
}

/// How often one group is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedGroup {
    /// The group's name.
    pub name: String,
    /// Documents that came into the stage.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// How often each is seen.
    pub epochs: Epochs,
    /// Its part of the mixture's bytes, 0 to 1, for people.
    pub share: f64,
}

/// The decided mixture: `stages/NN-mix/mixture.json`. Groups stand in the job's order, [`OTHERS`] last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// Where the draw of a document's last copy starts.
    pub seed: u64,
    /// The groups.
    pub groups: Vec<MixedGroup>,
}

impl Mixture {
    /// Decides the epochs of every group. `sizes` stand in the order of [`Groups::names`].
    pub fn decide(config: &MixConfig, seed: u64, sizes: &[GroupSize]) -> Self {
        let epochs = epochs::solve(config, sizes);
        let total: f64 = sizes.iter().zip(&epochs).map(|(size, epochs)| epochs.of(size.bytes)).sum();
        let names = config.groups.iter().map(|group| group.name.as_str()).chain([OTHERS]);
        let groups = names.zip(sizes).zip(epochs).map(|((name, size), epochs)| MixedGroup {
            name: name.to_owned(),
            documents: size.documents,
            bytes: size.bytes,
            epochs,
            share: if total > 0.0 { epochs.of(size.bytes) / total } else { 0.0 },
        });
        Self { seed, groups: groups.collect() }
    }
}

/// Which group a document belongs to.
pub struct Groups {
    matchers: Vec<Matcher>,
}

struct Matcher {
    sources: Option<GlobSet>,
    languages: Option<Vec<String>>,
}

impl Groups {
    /// Compiles the job's groups.
    pub fn new(config: &MixConfig) -> Result<Self, ConfigError> {
        let mut matchers = Vec::with_capacity(config.groups.len());
        for (index, group) in config.groups.iter().enumerate() {
            matchers.push(Matcher { sources: group.globs(index)?, languages: group.languages.clone() });
        }
        Ok(Self { matchers })
    }

    /// How many groups there are, [`OTHERS`] among them.
    pub fn count(&self) -> usize {
        self.matchers.len() + 1
    }

    /// The number of the first group that takes the document; that of [`OTHERS`] if none does.
    pub fn of(&self, document: &Document) -> usize {
        let takes = |matcher: &Matcher| {
            let source = matcher.sources.as_ref().is_none_or(|globs| globs.is_match(&document.source));
            source
                && matcher.languages.as_ref().is_none_or(|languages| {
                    languages.iter().any(|language| Some(language) == document.language.as_ref())
                })
        };
        self.matchers.iter().position(takes).unwrap_or(self.matchers.len())
    }
}

/// A decided mixture, ready to judge documents.
pub struct Mixer {
    groups: Groups,
    mixture: Mixture,
}

impl Mixer {
    /// Joins the job's groups with what was decided about them.
    pub fn new(config: &MixConfig, mixture: Mixture) -> Result<Self, ConfigError> {
        let groups = Groups::new(config)?;
        if groups.count() != mixture.groups.len() {
            let message =
                format!("the mixture has {} groups, expected {}", mixture.groups.len(), groups.count());
            return Err(ConfigError::new("groups", message));
        }
        Ok(Self { groups, mixture })
    }

    /// How often a document is written to the tokens.
    pub fn copies(&self, document: &Document) -> u64 {
        let group = &self.mixture.groups[self.groups.of(document)];
        group.epochs.copies(draw(self.mixture.seed, document.id))
    }

    /// Drops a document that has no copy.
    pub fn judge(&self, document: &Document) -> Decision {
        if self.copies(document) > 0 {
            return Decision::Keep;
        }
        let group = &self.mixture.groups[self.groups.of(document)];
        Decision::drop("not_drawn", format!("group `{}`, {} epochs", group.name, group.epochs))
    }
}

/// A uniform number of 32 bits for a document.
fn draw(seed: u64, id: DocumentId) -> u32 {
    (xxh3_64_with_seed(&id.0.to_be_bytes(), seed ^ DRAW) >> 32) as u32
}

#[cfg(test)]
mod tests;
