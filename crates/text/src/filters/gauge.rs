//! What rules measure, and what is made of it: the first failing rule, or a row of scores.
//!
//! ```text
//! a rule set ── above(rule, measured, threshold) ──▶ Gauge ── judging: the first that fails ends it
//!                                                         └── scoring: the first that fails is remembered, all are measured
//!
//! a row of scores ── Replay (the rules of a configuration, in order) ──▶ the first that fails
//! ```
//!
//! There is one code for both: a set asks [`Gauge`] whether it may end, and a gauge that scores never lets it. What the
//! sets hand to the gauge and what [`Rule`]s say of a configuration must be the same rules in the same order; the tests of
//! this file hold every set to that.

use orchestrator_core::Decision;

use super::dropped;

/// What a rule asks of what it measured. A threshold that is not given turns the rule off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// Fails above it.
    AtMost(Option<f64>),
    /// Fails below it.
    AtLeast(Option<f64>),
    /// Fails below it, but not at 0.
    AtLeastOrZero(Option<f64>),
    /// Fails wherever something was measured: the rule has no threshold.
    Never,
}

/// One rule as a configuration has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    /// What names the drop.
    pub(super) name: &'static str,
    /// The column of its measure.
    pub(super) column: &'static str,
    /// The key of its threshold; empty where it has none.
    pub(super) key: &'static str,
    pub(super) bound: Bound,
}

impl Rule {
    /// A rule whose key and column have its name.
    pub(super) fn new(name: &'static str, bound: Bound) -> Self {
        Self { name, column: name, key: name, bound }
    }

    /// A largest value.
    pub(super) fn at_most(name: &'static str, threshold: Option<f64>) -> Self {
        Self::new(name, Bound::AtMost(threshold))
    }

    /// A smallest value.
    pub(super) fn at_least(name: &'static str, threshold: Option<f64>) -> Self {
        Self::new(name, Bound::AtLeast(threshold))
    }

    /// A smallest number of something.
    pub(super) fn fewest(name: &'static str, threshold: Option<u64>) -> Self {
        Self::at_least(name, threshold.map(|least| least as f64))
    }

    /// A largest number of something.
    pub(super) fn most(name: &'static str, threshold: Option<u64>) -> Self {
        Self::at_most(name, threshold.map(|most| most as f64))
    }

    /// The same with a key of its own.
    pub(super) fn with_key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The same in a column of its own.
    pub(super) fn in_column(self, column: &'static str) -> Self {
        Self { column, ..self }
    }

    /// A rule without a threshold.
    pub(super) fn never(name: &'static str) -> Self {
        Self::new(name, Bound::Never).with_key("")
    }

    /// Whether the rule fails on what was measured.
    pub(super) fn fails(&self, measured: f64) -> bool {
        match self.bound {
            Bound::AtMost(threshold) => threshold.is_some_and(|threshold| measured > threshold),
            Bound::AtLeast(threshold) => threshold.is_some_and(|threshold| measured < threshold),
            Bound::AtLeastOrZero(threshold) => {
                measured != 0.0 && threshold.is_some_and(|threshold| measured < threshold)
            }
            Bound::Never => true,
        }
    }
}

/// The columns of a set's measures, each once, in order.
pub(super) fn columns(rules: &[Rule]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for rule in rules {
        if !names.contains(&rule.column) {
            names.push(rule.column);
        }
    }
    names
}

/// Where a set notes what it measured.
pub(super) struct Measures<'a> {
    /// The set's columns.
    pub(super) names: &'a [&'static str],
    /// A value for each.
    pub(super) row: &'a mut [Option<f64>],
}

/// Takes what the rules of one set measure of one document.
#[derive(Default)]
pub(super) struct Gauge<'a> {
    drop: Option<Decision>,
    measures: Option<Measures<'a>>,
}

impl<'a> Gauge<'a> {
    /// Notes every measure.
    pub(super) fn scoring(measures: Measures<'a>) -> Self {
        Self { drop: None, measures: Some(measures) }
    }

    /// Whether every rule is measured, also behind one that fails.
    pub(super) fn scores(&self) -> bool {
        self.measures.is_some()
    }

    /// Whether a rule with this threshold is to be measured.
    pub(super) fn wants(&self, threshold: Option<f64>) -> bool {
        threshold.is_some() || self.scores()
    }

    /// What the rules said so far.
    pub(super) fn into_drop(self) -> Option<Decision> {
        self.drop
    }

    fn note(&mut self, column: &'static str, measured: f64) {
        let Some(measures) = &mut self.measures else { return };
        let place = measures.names.iter().position(|name| *name == column);
        debug_assert!(place.is_some(), "`{column}` is among the columns of its set");
        if let Some(value) = place.and_then(|place| measures.row.get_mut(place)) {
            *value = Some(measured);
        }
    }

    /// Takes a verdict; says whether that is the end of it.
    fn fail(&mut self, fails: bool, drop: impl FnOnce() -> Decision) -> bool {
        if fails && self.drop.is_none() {
            self.drop = Some(drop());
        }
        fails && !self.scores()
    }

    /// Fails where `measured` is above the threshold. `true` says that nothing more is to be measured.
    pub(super) fn above(&mut self, rule: &'static str, measured: f64, threshold: Option<f64>) -> bool {
        self.note(rule, measured);
        self.fail(threshold.is_some_and(|most| measured > most), || dropped(rule, measured))
    }

    /// Fails where `measured` is below the threshold.
    pub(super) fn below(&mut self, rule: &'static str, measured: f64, threshold: Option<f64>) -> bool {
        self.note(rule, measured);
        self.fail(threshold.is_some_and(|least| measured < least), || dropped(rule, measured))
    }

    /// Fails where there are more than so many.
    pub(super) fn more(&mut self, rule: &'static str, count: usize, most: Option<u64>) -> bool {
        self.note(rule, count as f64);
        self.fail(most.is_some_and(|most| count as u64 > most), || Decision::drop(rule, count))
    }

    /// Fails where there are fewer than so many.
    pub(super) fn fewer(&mut self, rule: &'static str, count: usize, least: Option<u64>) -> bool {
        self.note(rule, count as f64);
        self.fail(least.is_some_and(|least| (count as u64) < least), || Decision::drop(rule, count))
    }

    /// Fails by a rule without a threshold, whose column is named. A set notes at most one such rule of a document.
    pub(super) fn fails(&mut self, column: &'static str, drop: impl FnOnce() -> Decision) -> bool {
        self.note(column, 1.0);
        self.fail(true, drop)
    }
}
