//! Options of `mix`.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use orchestrator_core::units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OTHERS;
use crate::step::ConfigError;

/// More epochs than this are a mistake in the job file: the tokens would be copies of copies.
const MOST_EPOCHS: f64 = 1000.0;
/// A group is looked for one after another, for each document.
const MOST_GROUPS: usize = 1000;

/// Weighs the sources of a corpus against each other: how often each is seen in one pass over the tokens.
///
/// Sizes are bytes of text as they come into the stage. Groups with `epochs` are seen so often; the others share the rest
/// of `total` by their `weight`, or by their size where none has a weight. Each document belongs to the first group that
/// takes it; documents of no group form the group `others` and are seen once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// The groups, in order.
    pub groups: Vec<MixGroup>,
    /// Flattens (above 1) or sharpens (below 1) the shares of groups that have neither `weight` nor `epochs`: their share
    /// is size to the power of 1 / temperature. 1 leaves proportions as they are.
    pub temperature: f64,
    /// Bytes of text that one pass over the mixture holds; as many as come in, where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<ByteSize>,
    /// The most epochs that a group gets by its weight; what it cannot take goes to the others.
    pub max_epochs: f64,
    /// Writes this stage's documents even where the next stage could read them in passing.
    pub keep: bool,
}

/// One group of documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MixGroup {
    /// The group's name in `mixture.json` and in reasons.
    pub name: String,
    /// Globs that the document's `source` must match one of (`wiki/**`); any source, where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Languages that the document's must be one of; any, where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Its part of the mixture, relative to the other groups' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// How often its documents are seen: 2.5 is twice, and half of them a third time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
}

impl Default for MixConfig {
    fn default() -> Self {
        Self { groups: Vec::new(), temperature: 1.0, total: None, max_epochs: 4.0, keep: false }
    }
}

impl MixGroup {
    /// The group's sources, compiled; `None` where any source will do.
    pub(super) fn globs(&self, index: usize) -> Result<Option<GlobSet>, ConfigError> {
        let Some(sources) = &self.sources else { return Ok(None) };
        let wrong = |place: usize, error: &globset::Error| {
            ConfigError::new(format!("groups[{index}].sources[{place}]"), error.to_string())
        };
        let mut set = GlobSetBuilder::new();
        for (place, pattern) in sources.iter().enumerate() {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|error| wrong(place, &error))?);
        }
        set.build().map(Some).map_err(|error| wrong(0, &error))
    }

    fn validate(&self, index: usize) -> Result<(), ConfigError> {
        let wrong =
            |key: &str, message: String| Err(ConfigError::new(format!("groups[{index}].{key}"), message));
        if self.name.is_empty() || self.name == OTHERS {
            return wrong(
                "name",
                format!("`{}` is no name for a group: expected one other than `{OTHERS}`", self.name),
            );
        }
        for (key, list) in [("sources", &self.sources), ("languages", &self.languages)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                return wrong(key, "is empty: expected at least one, or no such key".to_owned());
            }
        }
        if self.weight.is_some() && self.epochs.is_some() {
            return wrong("epochs", "stands beside `weight`: expected one of the two".to_owned());
        }
        if let Some(weight) = self.weight.filter(|weight| !weight.is_finite() || *weight <= 0.0) {
            return wrong("weight", format!("{weight} is out of range: expected more than 0"));
        }
        if let Some(epochs) = self.epochs.filter(|epochs| !(0.0..=MOST_EPOCHS).contains(epochs)) {
            return wrong("epochs", format!("{epochs} is out of range: expected 0 to {MOST_EPOCHS}"));
        }
        self.globs(index).map(drop)
    }
}

impl MixConfig {
    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String| Err(ConfigError::new(key, message));
        if self.groups.is_empty() || self.groups.len() > MOST_GROUPS {
            return wrong(
                "groups",
                format!("expected 1 to {MOST_GROUPS} groups, found {}", self.groups.len()),
            );
        }
        for (index, group) in self.groups.iter().enumerate() {
            group.validate(index)?;
            if self.groups[..index].iter().any(|other| other.name == group.name) {
                return wrong(&format!("groups[{index}].name"), format!("a second group `{}`", group.name));
            }
        }
        if !(0.1..=100.0).contains(&self.temperature) {
            return wrong(
                "temperature",
                format!("{} is out of range: expected 0.1 to 100", self.temperature),
            );
        }
        if !(self.max_epochs > 0.0 && self.max_epochs <= MOST_EPOCHS) {
            let message =
                format!("{} is out of range: expected more than 0, up to {MOST_EPOCHS}", self.max_epochs);
            return wrong("max_epochs", message);
        }
        let shared = |group: &&MixGroup| group.epochs.is_none();
        let weighted = self.groups.iter().filter(|group| group.weight.is_some()).count();
        if weighted > 0 && weighted < self.groups.iter().filter(shared).count() {
            let without =
                self.groups.iter().position(|group| group.weight.is_none() && group.epochs.is_none());
            let key = format!("groups[{}].weight", without.unwrap_or_default());
            return wrong(
                &key,
                "is missing: other groups have one, expected `weight` or `epochs`".to_owned(),
            );
        }
        if weighted > 0 && (self.temperature - 1.0).abs() > f64::EPSILON {
            return wrong("temperature", "stands beside weights: it is for groups without".to_owned());
        }
        if self.total.is_some_and(|total| total.0 == 0) {
            return wrong("total", "expected more than 0 B".to_owned());
        }
        if self.total.is_some() && !self.groups.iter().any(|group| shared(&group)) {
            return wrong("total", "every group has `epochs`: nothing is left to share it by".to_owned());
        }
        Ok(())
    }
}
