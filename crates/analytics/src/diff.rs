//! What changed between two runs: by stage, by rule, by document.
//!
//! A document has one fate in a run: it was dropped by a rule of a stage, or kept to the end. Two runs of the same
//! documents differ where fates differ, and that is counted as transitions: `filter: c4_javascript → kept`.

use std::collections::BTreeMap;

use orchestrator_core::{DocumentId, RowHasher};
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::ScoresReader;
use polars::prelude::{LazyFrame, col};
use serde::Serialize;

use crate::error::Error;
use crate::fates::{ABSENT, Fate, Fates, KEPT};
use crate::run::{Run, Stage};
use crate::tables::{Kind, scan_each_part, scan_in_pieces};

/// Documents named for each transition, those with the lowest ids.
const EXAMPLES: usize = 5;

/// What differs between two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Stages of either run, in the order of the first and then of the second.
    pub stages: Vec<StageDifference>,
    /// Documents whose fates differ, most frequent transitions first.
    pub transitions: Vec<Transition>,
    /// Documents with equal fates.
    pub unchanged: u64,
}

impl Difference {
    /// Whether all stages have equal digests and all documents equal fates.
    pub fn is_none(&self) -> bool {
        self.transitions.is_empty() && self.stages.iter().all(|stage| stage.same_digest)
    }
}

/// One stage in both runs; absent in one of them, all its figures there are 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageDifference {
    /// Its table's name: `filter`, and `filter_2` for the second of one name.
    pub stage: String,
    /// Whether both runs have it and its content and order are equal.
    pub same_digest: bool,
    /// Whether both runs have it with equal inputs, options and code.
    pub same_fingerprint: bool,
    /// Records that came in, in each run.
    pub records_in: [u64; 2],
    /// Records that went on.
    pub kept: [u64; 2],
    /// Rules whose counts differ, by name.
    pub rules: Vec<RuleDifference>,
    /// Documents of which the stage measured something else; absent unless both runs kept the stage's scores.
    pub measured_otherwise: Option<u64>,
}

/// How often a rule dropped in each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleDifference {
    /// The rule.
    pub rule: String,
    /// How often, in each run.
    pub counts: [u64; 2],
}

/// Documents with one fate in the first run and another in the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The fate in the first run: `kept`, `absent`, or the stage and the rule.
    pub from: String,
    /// The fate in the second.
    pub to: String,
    /// How many documents.
    pub documents: u64,
    /// The lowest ids of them.
    pub examples: Vec<String>,
}

/// Compares two runs. Holds 32 bytes for each document of both, and for each document of a stage whose scores both kept.
pub fn diff(first: &Run, second: &Run) -> Result<Difference, Error> {
    let mut fates = Fates::default();
    let [one, two] = [fates.of(first)?, fates.of(second)?];
    let (transitions, unchanged) = fates.transitions(&one, &two);
    Ok(Difference { stages: stages(first, second)?, transitions, unchanged })
}

fn stages(first: &Run, second: &Run) -> Result<Vec<StageDifference>, Error> {
    fn of<'a>(run: &'a Run, table: &str) -> Option<&'a Stage> {
        run.stages().iter().find(|stage| stage.table == table)
    }
    let mut tables: Vec<&str> = first.stages().iter().map(|stage| stage.table.as_str()).collect();
    for stage in second.stages() {
        if !tables.contains(&stage.table.as_str()) {
            tables.push(&stage.table);
        }
    }
    let compare = |table| {
        let stages = [of(first, table), of(second, table)];
        let mut difference = stage_difference(table, stages);
        if let [Some(one), Some(two)] = stages
            && [one, two].iter().all(|stage| stage.files(Kind::Scores.prefix()).next().is_some())
        {
            difference.measured_otherwise = Some(measured_otherwise([(first, one), (second, two)])?);
        }
        Ok(difference)
    };
    tables.into_iter().map(compare).collect()
}

fn stage_difference(table: &str, stages: [Option<&Stage>; 2]) -> StageDifference {
    let manifests = stages.map(|stage| stage.map(|stage| &stage.manifest));
    let both = |same: fn(&Stage, &Stage) -> bool| match stages {
        [Some(one), Some(two)] => same(one, two),
        _ => false,
    };
    let mut rules = BTreeMap::<&str, [u64; 2]>::new();
    for (run, manifest) in manifests.iter().enumerate() {
        for (rule, count) in manifest.iter().flat_map(|manifest| &manifest.dropped) {
            rules.entry(rule).or_default()[run] = *count;
        }
    }
    let differ = rules.into_iter().filter(|(_, [one, two])| one != two);
    StageDifference {
        stage: table.to_owned(),
        same_digest: both(|one, two| one.manifest.digest == two.manifest.digest),
        same_fingerprint: both(|one, two| one.manifest.fingerprint == two.manifest.fingerprint),
        records_in: manifests.map(|manifest| manifest.map_or(0, |manifest| manifest.records_in)),
        kept: manifests.map(|manifest| manifest.map_or(0, |manifest| manifest.kept)),
        rules: differ.map(|(rule, counts)| RuleDifference { rule: rule.to_owned(), counts }).collect(),
        measured_otherwise: None,
    }
}

/// How many documents, of those that came into a stage in both runs, were measured otherwise.
fn measured_otherwise(stages: [(&Run, &Stage); 2]) -> Result<u64, Error> {
    let mut measured = [Vec::new(), Vec::new()];
    for (list, (run, stage)) in measured.iter_mut().zip(stages) {
        for file in stage.files(Kind::Scores.prefix()) {
            let reader = ScoresReader::open(run.files().store(), &RelativePath::new(file)?)?;
            let names = reader.names().to_vec();
            for row in reader {
                let row = row?;
                let mut hasher = RowHasher::default();
                for (name, value) in names.iter().zip(&row.measures) {
                    hasher.text(name).optional(value.map(f64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
                }
                list.push((row.id, hasher.finish()));
            }
        }
        list.sort_unstable();
    }
    let [one, two] = measured;
    let mut two = two.iter().peekable();
    let mut count = 0;
    for (id, measures) in &one {
        while two.next_if(|(other, _)| other < id).is_some() {}
        let other = two.next_if(|(other, _)| other == id);
        count += u64::from(other.is_some_and(|(_, other)| other != measures));
    }
    Ok(count)
}

impl Fates {
    /// The fate of each document of a run, by id.
    fn of(&mut self, run: &Run) -> Result<Vec<(DocumentId, Fate)>, Error> {
        let mut fates = Vec::new();
        for stage in run.stages() {
            for piece in scan_in_pieces(run, stage, Kind::Dropped) {
                let frame = piece?.select([col("id"), col("rule")]).collect()?;
                let (ids, rules) = (frame.column("id")?.str()?, frame.column("rule")?.str()?);
                for (id, rule) in ids.iter().zip(rules.iter()) {
                    let name = format!("{}: {}", stage.table, rule.unwrap_or_default());
                    fates.push((parse(id)?, self.number(&name)?));
                }
            }
        }
        if let Some(stage) = run.last_materialised() {
            for part in scan_each_part(run, stage) {
                each_id(part?, |id| fates.push((id, KEPT)))?;
            }
        }
        // A document that a later stage dropped is in parts of stages before it, of which only the last was read: if
        // stages after that one dropped it, the drop is its fate.
        fates.sort_unstable_by_key(|&(id, fate)| (id, fate == KEPT));
        fates.dedup_by_key(|(id, _)| *id);
        Ok(fates)
    }

    fn transitions(&self, one: &[(DocumentId, Fate)], two: &[(DocumentId, Fate)]) -> (Vec<Transition>, u64) {
        let mut found = BTreeMap::<(Fate, Fate), (u64, Vec<DocumentId>)>::new();
        let mut unchanged = 0;
        let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
        loop {
            let id = match (one.peek(), two.peek()) {
                (Some((a, _)), Some((b, _))) => *a.min(b),
                (Some((id, _)), None) | (None, Some((id, _))) => *id,
                (None, None) => break,
            };
            let from = one.next_if(|(other, _)| *other == id).map_or(ABSENT, |(_, fate)| *fate);
            let to = two.next_if(|(other, _)| *other == id).map_or(ABSENT, |(_, fate)| *fate);
            if from == to {
                unchanged += 1;
                continue;
            }
            let (documents, examples) = found.entry((from, to)).or_default();
            *documents += 1;
            if examples.len() < EXAMPLES {
                examples.push(id);
            }
        }
        let name = |fate: Fate| self.name(fate).to_owned();
        let mut transitions: Vec<_> = found
            .into_iter()
            .map(|((from, to), (documents, examples))| Transition {
                from: name(from),
                to: name(to),
                documents,
                examples: examples.iter().map(ToString::to_string).collect(),
            })
            .collect();
        transitions.sort_by(|a, b| {
            b.documents.cmp(&a.documents).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
        });
        (transitions, unchanged)
    }
}

fn each_id(frame: LazyFrame, mut take: impl FnMut(DocumentId)) -> Result<(), Error> {
    let frame = frame.select([col("id")]).collect()?;
    for id in frame.column("id")?.str()?.iter() {
        take(parse(id)?);
    }
    Ok(())
}

fn parse(id: Option<&str>) -> Result<DocumentId, Error> {
    let id = id.unwrap_or_default();
    id.parse().map_err(|_| Error::NoId(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_merged_by_id() {
        let mut fates = Fates::default();
        let short = fates.number("filter: short").expect("few rules");
        assert_eq!(fates.number("filter: short").expect("few rules"), short);
        let id = |record| DocumentId::derive("a", record);
        let sorted = |mut list: Vec<(DocumentId, Fate)>| {
            list.sort_unstable();
            list
        };
        let one = sorted(vec![(id(0), KEPT), (id(1), short), (id(2), KEPT), (id(3), KEPT)]);
        let two = sorted(vec![(id(0), KEPT), (id(1), KEPT), (id(2), short), (id(4), KEPT)]);
        let (transitions, unchanged) = fates.transitions(&one, &two);
        assert_eq!(unchanged, 1);
        let found: Vec<_> =
            transitions.iter().map(|t| (t.from.as_str(), t.to.as_str(), t.documents)).collect();
        assert_eq!(
            found,
            [
                ("absent", "kept", 1),
                ("filter: short", "kept", 1),
                ("kept", "absent", 1),
                ("kept", "filter: short", 1)
            ]
        );
        assert_eq!(transitions[1].examples, [id(1).to_string()]);
    }
}
