//! What the stage measures of a document, and verdicts of other thresholds from it.
//!
//! A document is dropped for the item of which most n-grams were found, among those of which enough were. So of all items
//! only those matter of which no other has at least as many n-grams and as large a share: falling n-grams with rising
//! shares, as the **steps** of a stair. Whatever `min_ngrams` and `min_share` are, the first step that has enough is the item
//! that the text itself would be dropped for.
//!
//! ```text
//! share ▲        ┌─ step 3: 2 of 2 n-grams
//!       │     ┌──┘  step 2: 5 of 9              columns: ngrams_1, share_1, benchmark_1, …, steps, and for each
//!       │ ┌───┘     step 1: 7 of 20             benchmark its rule with the most n-grams of one of its items
//!       └─┴──────▶ fewer n-grams
//! ```

use std::cmp::Reverse;

use super::index::Overlap;
use super::{Action, DecontaminateConfig};

/// Steps that are written down. A document with more has something in common with many items, of each another part.
const STEPS: usize = 8;
/// Columns of a step.
const OF_STEP: [&str; 3] = ["ngrams", "share", "benchmark"];
/// The column that tells how many steps there are.
const COUNT: &str = "steps";
/// What the rules of benchmarks begin with.
pub(super) const RULE: &str = "contaminated_";

/// The names of the columns, of which the last ones are the rules of the benchmarks.
pub(super) fn columns(rules: &[String]) -> Vec<String> {
    let of_steps = (1..=STEPS).flat_map(|step| OF_STEP.map(|name| format!("{name}_{step}")));
    of_steps.chain([COUNT.to_owned()]).chain(rules.iter().cloned()).collect()
}

/// Fills a row of [`columns`], which is empty.
pub(super) fn fill(overlaps: &[Overlap], row: &mut [Option<f64>]) {
    let mut ranked: Vec<&Overlap> = overlaps.iter().collect();
    ranked.sort_unstable_by_key(|overlap| (Reverse(overlap.ngrams), overlap.item));
    let (mut steps, mut highest) = (0, 0.0);
    for overlap in ranked {
        let ngrams = f64::from(overlap.ngrams);
        // The first of a benchmark has the most.
        if let Some(most) = row.get_mut(STEPS * OF_STEP.len() + 1 + overlap.benchmark as usize) {
            most.get_or_insert(ngrams);
        }
        if overlap.share <= highest {
            continue;
        }
        highest = overlap.share;
        if steps < STEPS
            && let Some(step) = row.get_mut(steps * OF_STEP.len()..(steps + 1) * OF_STEP.len())
        {
            step.copy_from_slice(&[ngrams, overlap.share, f64::from(overlap.benchmark)].map(Some));
        }
        steps += 1;
    }
    if let Some(count) = row.get_mut(STEPS * OF_STEP.len()) {
        *count = Some(steps as f64);
    }
}

/// The verdict hangs on steps that were not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has more in common with benchmarks than the {STEPS} steps that are kept of it tell")]
pub struct Untold;

/// The thresholds of a configuration, to be applied to rows of scores. The verdict is that of a run with it, as long as it
/// differs from the one that was measured with in `min_ngrams`, `min_share` and `action` alone.
#[derive(Clone, Debug)]
pub struct Replay {
    config: DecontaminateConfig,
    /// The rules of the benchmarks, as the rows name them.
    rules: Vec<String>,
}

impl Replay {
    /// Keys whose other values can be told from scores.
    pub const MOVABLE: [&str; 3] = ["min_ngrams", "min_share", "action"];

    /// Applies `config`.
    pub fn new(config: &DecontaminateConfig) -> Self {
        Self { config: config.clone(), rules: Vec::new() }
    }

    /// The columns that a row must have, in order, where `stored` are those that there are: they name the benchmarks.
    pub fn columns(&mut self, stored: &[String]) -> Vec<String> {
        self.rules = stored.iter().filter(|name| name.starts_with(RULE)).cloned().collect();
        columns(&self.rules)
    }

    /// The rule that drops the document of a row.
    pub fn judge(&self, row: &[Option<f64>]) -> Result<Option<&str>, Untold> {
        let (of_steps, rest) = row.split_at(row.len().min(STEPS * OF_STEP.len()));
        // Without a count the document was not judged.
        let Some(count) = rest.first().copied().flatten() else { return Ok(None) };
        if self.config.action == Action::Note {
            return Ok(None);
        }
        let mut last = f64::INFINITY;
        for step in of_steps.chunks_exact(OF_STEP.len()).take(count as usize) {
            let [Some(ngrams), Some(share), Some(benchmark)] = *step else { return Err(Untold) };
            if self.config.is_enough(ngrams, share) {
                return self.rules.get(benchmark as usize).map(|rule| Some(rule.as_str())).ok_or(Untold);
            }
            last = ngrams;
        }
        // Each further step has fewer n-grams than the one before it.
        let more = count as usize > STEPS && last > f64::from(self.config.min_ngrams);
        if more { Err(Untold) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule of the item with the most n-grams of those that have enough, by looking at all.
    fn searched(config: &DecontaminateConfig, overlaps: &[Overlap]) -> Option<String> {
        let enough =
            overlaps.iter().filter(|overlap| config.is_enough(f64::from(overlap.ngrams), overlap.share));
        let worst = enough.max_by_key(|overlap| (overlap.ngrams, Reverse(overlap.item)))?;
        Some(rules()[worst.benchmark as usize].clone())
    }

    fn rules() -> Vec<String> {
        ["a", "b", "c"].map(|name| format!("{RULE}{name}")).to_vec()
    }

    proptest! {
        #[test]
        fn steps_tell_the_verdict_of_every_threshold(
            items in prop::collection::vec((1u32..40, 0u32..40, 0u32..3), 0..40),
            min_ngrams in 1u32..30,
            min_share in 0.0f64..1.0,
        ) {
            let overlaps: Vec<Overlap> = items
                .iter()
                .enumerate()
                .map(|(item, &(ngrams, more, benchmark))| {
                    let share = f64::from(ngrams) / f64::from(ngrams + more);
                    Overlap { item: item as u32, benchmark, ngrams, share }
                })
                .collect();
            let config = DecontaminateConfig { min_ngrams, min_share, ..DecontaminateConfig::default() };
            let mut row = vec![None; columns(&rules()).len()];
            fill(&overlaps, &mut row);
            let mut replay = Replay::new(&config);
            prop_assert_eq!(replay.columns(&columns(&rules())), columns(&rules()));
            match replay.judge(&row) {
                Ok(told) => prop_assert_eq!(told.map(str::to_owned), searched(&config, &overlaps)),
                Err(Untold) => prop_assert!(row[STEPS * OF_STEP.len()] > Some(STEPS as f64)),
            }
            let noted = DecontaminateConfig { action: Action::Note, ..config };
            let noted = Replay::new(&noted);
            prop_assert_eq!(noted.judge(&row), Ok(None));
        }
    }

    #[test]
    fn more_steps_than_are_kept_are_an_error_only_where_they_decide() {
        let overlaps: Vec<Overlap> = (0..12)
            .map(|step| Overlap {
                item: step,
                benchmark: 0,
                ngrams: 20 - step,
                share: f64::from(step + 1) / 20.0,
            })
            .collect();
        let mut row = vec![None; columns(&rules()).len()];
        fill(&overlaps, &mut row);
        assert_eq!(row[STEPS * OF_STEP.len()], Some(12.0));
        let judge = |min_ngrams, min_share| {
            let config = DecontaminateConfig { min_ngrams, min_share, ..DecontaminateConfig::default() };
            let mut replay = Replay::new(&config);
            replay.columns(&columns(&rules()));
            replay.judge(&row).map(|rule| rule.map(str::to_owned))
        };
        assert_eq!(judge(1, 0.4), Ok(Some("contaminated_a".into())), "the last step that is kept");
        assert_eq!(judge(1, 0.5), Err(Untold));
        assert_eq!(judge(13, 0.5), Ok(None), "no step behind has so many n-grams");
    }

    #[test]
    fn rows_of_others_are_no_panic() {
        let mut replay = Replay::new(&DecontaminateConfig::default());
        replay.columns(&rules());
        assert_eq!(replay.judge(&[]), Ok(None));
        let mut row = vec![Some(f64::NAN); STEPS * OF_STEP.len() + 1];
        assert_eq!(replay.judge(&row), Ok(None), "no number counts as enough");
        row[..3].copy_from_slice(&[Some(9.0), Some(1.0), Some(-7.5)]);
        row[STEPS * OF_STEP.len()] = Some(1e300);
        assert_eq!(replay.judge(&row), Ok(Some("contaminated_a")));
        row[2] = Some(99.0);
        assert_eq!(replay.judge(&row), Err(Untold));
        row[0] = None;
        assert_eq!(replay.judge(&row), Err(Untold));
    }
}
