//! Judging again from what was measured, without the texts.

use std::collections::BTreeMap;

use super::gauge::Rule;
use super::{FilterConfig, FilterError, Set, columns};
use crate::files::Files;
use crate::step::ConfigError;

/// The rules of a configuration, to be applied to rows of scores.
///
/// The verdict is that of a run with this configuration, as long as it differs from the one that was measured with in
/// [keys](Self::moves) alone that choose among measures and do not change them.
pub struct Replay {
    sets: Vec<Set>,
    /// Keys of each set that can be moved.
    movable: Vec<(&'static str, Vec<&'static str>)>,
    /// Keys of the sets that change texts.
    editing: Vec<&'static str>,
    /// The rules for each language that was met, each with the place of its measure in a row.
    rules: BTreeMap<Option<String>, Vec<(Rule, usize)>>,
}

impl Replay {
    /// Checks a configuration and reads the files of thresholds that it names; lists of addresses are not read.
    pub fn new(config: &FilterConfig, files: &dyn Files) -> Result<Self, FilterError> {
        config.validate()?;
        let (mut sets, mut movable, mut editing) = (Vec::new(), Vec::new(), Vec::new());
        for &set in config.rules() {
            let options = config.options(set);
            if options.edits() {
                editing.push(set.key());
            }
            let rules = options.build_thresholds(files)?;
            let keys = rules.rules(None).into_iter().map(|rule| rule.key).filter(|key| !key.is_empty());
            movable.push((set.key(), keys.chain(options.movable().iter().copied()).collect()));
            sets.push(Set::new(set, rules));
        }
        Ok(Self { sets, movable, editing, rules: BTreeMap::new() })
    }

    /// The columns of a row, in order.
    pub fn columns(&self) -> Vec<String> {
        columns(&self.sets)
    }

    /// Whether the outcome of another value of `key` (`gopher_quality.gopher_short_doc`) can be told from measures.
    pub fn moves(&self, key: &str) -> Result<(), ConfigError> {
        let (set, rest) = key.split_once('.').unwrap_or((key, ""));
        let Some((_, keys)) = self.movable.iter().find(|(name, _)| *name == set) else {
            return Err(ConfigError::new(
                key,
                "decides which rules judge which documents, not by which threshold",
            ));
        };
        if rest.rsplit('.').next().is_some_and(|last| keys.contains(&last)) {
            return Ok(());
        }
        let edits = self.editing.contains(&set);
        let reason =
            if edits { "changes texts, which later rules measure" } else { "changes what is measured" };
        Err(ConfigError::new(key, reason))
    }

    /// The first rule that fails on a row: its name, as in the ledger.
    pub fn judge(&mut self, language: Option<&str>, row: &[Option<f64>]) -> Option<&'static str> {
        let key = language.map(str::to_owned);
        let sets = &self.sets;
        let rules = self.rules.entry(key).or_insert_with(|| placed(sets, language));
        let fails = |(rule, place): &&(Rule, usize)| {
            row.get(*place).copied().flatten().is_some_and(|measured| rule.fails(measured))
        };
        rules.iter().find(fails).map(|(rule, _)| rule.name)
    }
}

/// The rules of all sets with the places of their measures.
fn placed(sets: &[Set], language: Option<&str>) -> Vec<(Rule, usize)> {
    let mut placed = Vec::new();
    let mut first = 0;
    for set in sets {
        for rule in set.rules.rules(language) {
            if let Some(place) = set.columns.iter().position(|column| *column == rule.column) {
                placed.push((rule, first + place));
            }
        }
        first += set.columns.len();
    }
    placed
}
