//! The books of one stage, before and after.

use std::collections::BTreeMap;

use orchestrator_storage::manifest::StageManifest;

use super::judge::RuleName;
use super::{KEPT, RefilterError, RuleCounts, StageOutcome};

/// Counts fates as they were and as they would be.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    records_in: [u64; 2],
    /// By rule; [`KEPT`] is one of them.
    fates: BTreeMap<RuleName, [u64; 2]>,
    now_kept: u64,
    now_dropped: u64,
    other_rule: u64,
}

impl Ledger {
    /// Books a document that came in and would come in.
    pub(super) fn enter(&mut self, was: Option<&RuleName>, is: Option<&RuleName>) {
        for (place, rule) in [was, is].into_iter().enumerate() {
            self.records_in[place] += 1;
            self.fate(rule)[place] += 1;
        }
        match (was, is) {
            (Some(_), None) => self.now_kept += 1,
            (None, Some(_)) => self.now_dropped += 1,
            (Some(was), Some(is)) if was != is => self.other_rule += 1,
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// Books a document that came in and would not.
    pub(super) fn leave(&mut self, was: Option<&RuleName>) {
        self.records_in[0] += 1;
        self.fate(was)[0] += 1;
    }

    fn fate(&mut self, rule: Option<&RuleName>) -> &mut [u64; 2] {
        self.fates.entry(rule.cloned().unwrap_or(KEPT.into())).or_default()
    }

    fn before(&self, fate: &str) -> u64 {
        self.fates.get(fate).map_or(0, |counts| counts[0])
    }

    /// Refuses books whose first half is not that of the run.
    pub(super) fn is_that_of(&self, stage: &str, manifest: &StageManifest) -> Result<(), RefilterError> {
        let rules = self.fates.keys().map(|fate| &**fate).filter(|fate| *fate != KEPT);
        let rules = rules.chain(manifest.dropped.keys().map(String::as_str));
        let expected = rules.map(|rule| (rule, manifest.dropped.get(rule).copied().unwrap_or(0)));
        let wrong = expected.chain([(KEPT, manifest.kept)]).find(|&(rule, found)| self.before(rule) != found);
        match wrong {
            None => Ok(()),
            Some((rule, found)) => Err(RefilterError::Unfaithful {
                stage: stage.to_owned(),
                rule: rule.to_owned(),
                told: self.before(rule),
                found,
            }),
        }
    }

    /// The books as they are shown.
    pub(super) fn into_outcome(self, stage: String, unmeasured: u64) -> StageOutcome {
        let kept = self.fates.get(KEPT).copied().unwrap_or_default();
        let rules = self.fates.into_iter().filter(|(rule, _)| *rule != KEPT);
        StageOutcome {
            stage,
            records_in: self.records_in,
            kept,
            rules: rules.map(|(rule, counts)| RuleCounts { rule: rule.into_owned(), counts }).collect(),
            now_kept: self.now_kept,
            now_dropped: self.now_dropped,
            other_rule: self.other_rule,
            unmeasured,
        }
    }
}
