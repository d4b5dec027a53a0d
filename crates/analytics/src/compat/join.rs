//! Two sorted sides, merged by key and counted.

use std::collections::BTreeMap;
use std::io::Write;
use std::iter::Peekable;

use orchestrator_core::DocumentId;
use serde::Serialize;

use super::sorter::{Row, Sorted};
use super::{Documents, Texts, Verdicts, dolma};
use crate::error::Error;
use crate::fates::{ABSENT, Fate, Fates, KEPT};

/// Documents named for each pair of fates, those with the lowest keys.
const EXAMPLES: usize = 5;
/// Bits of a place that tell the line.
const LINE_BITS: u32 = 64;

/// A file's number and a line as one number.
pub(super) fn place((file, line): (usize, u64)) -> u128 {
    ((file as u128) << LINE_BITS) | u128::from(line)
}

/// Documents with one fate of ours and one of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// `kept`, `absent`, or our stage and rule.
    pub ours: String,
    /// `kept`, `absent`, or their reason.
    pub theirs: String,
    /// How many.
    pub documents: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A document, as both sides name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Our id, where we have it.
    pub id: Option<String>,
    /// Their file and line (of Parquet: row), from 1, where they have it: `output/00000.jsonl.gz:17`.
    pub place: Option<String>,
}

/// One line of the list of differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference<'a> {
    /// What differs.
    pub difference: DifferenceKind,
    /// Our fate.
    pub ours: &'a str,
    /// Theirs.
    pub theirs: &'a str,
    /// The document.
    #[serde(flatten)]
    pub document: Example,
}

/// What differs of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// One kept it and one did not.
    Verdict,
    /// Both dropped it, for reasons of different names.
    Reason,
    /// Both kept it, with different texts.
    Text,
    /// They do not have it.
    OnlyOurs,
    /// We do not have it.
    OnlyTheirs,
}

/// What is merged.
pub(super) struct Sides {
    pub(super) ours: Sorted,
    pub(super) theirs: Sorted,
    /// Whether a document is kept of which one of their rows says so and another does not.
    pub(super) kept_wins: bool,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Joined {
    pub(super) documents: Documents,
    pub(super) verdicts: Verdicts,
    pub(super) pairs: Vec<Cell>,
    pub(super) texts: Texts,
    pub(super) contradictions: u64,
}

/// All rows of one side with one key.
struct Group {
    key: u128,
    fate: Fate,
    text: Option<u64>,
    /// Of the row that tells the fate.
    other: Option<u128>,
    rows: u64,
    is_contradictory: bool,
}

impl Group {
    /// Takes the rows of the lowest key.
    fn next(rows: &mut Peekable<Sorted>, kept_wins: bool, unsaid: Fate) -> Result<Option<Self>, Error> {
        let Some(first) = rows.next().transpose()? else { return Ok(None) };
        let same = |row: &Result<Row, Error>| row.as_ref().map_or(true, |row| row.key == first.key);
        let (mut kept, mut dropped): (Option<Row>, Option<Row>) = (None, None);
        let mut count = 0u64;
        let mut row = Some(first);
        while let Some(current) = row {
            count += 1;
            // Rows are sorted by fate, text and place: the first of each kind stays.
            match current.fate {
                ABSENT => {}
                KEPT => kept = kept.or(row),
                _ => dropped = dropped.or(row),
            }
            row = rows.next_if(same).transpose()?;
        }
        let told = if kept_wins { kept.or(dropped) } else { dropped.or(kept) };
        Ok(Some(Self {
            key: first.key,
            fate: told.map_or(unsaid, |row| row.fate),
            text: told.filter(|row| row.fate == KEPT).and_then(|row| row.text),
            other: told.unwrap_or(first).other,
            rows: count,
            is_contradictory: kept.is_some() && dropped.is_some(),
        }))
    }
}

/// Merges both sides.
pub(super) fn join(
    sides: Sides,
    fates: &mut Fates,
    file: &dyn Fn(usize) -> String,
    differences: Option<&mut dyn Write>,
) -> Result<Joined, Error> {
    let unsaid = fates.number(dolma::UNSAID)?;
    let (mut ours, mut theirs) = (sides.ours.peekable(), sides.theirs.peekable());
    let mut our = Group::next(&mut ours, true, KEPT)?;
    let mut their = Group::next(&mut theirs, sides.kept_wins, unsaid)?;
    let mut tally = Tally { fates, file, differences, joined: Joined::default(), cells: BTreeMap::new() };
    loop {
        let key = match (&our, &their) {
            (Some(one), Some(two)) => one.key.min(two.key),
            (Some(one), None) | (None, Some(one)) => one.key,
            (None, None) => break,
        };
        let one = our.take_if(|group| group.key == key);
        let two = their.take_if(|group| group.key == key);
        tally.add(one.as_ref(), two.as_ref())?;
        if one.is_some() {
            our = Group::next(&mut ours, true, KEPT)?;
        }
        if two.is_some() {
            their = Group::next(&mut theirs, sides.kept_wins, unsaid)?;
        }
    }
    tally.finish()
}

/// Counts what is merged.
struct Tally<'a, 'd> {
    fates: &'a Fates,
    /// The name of a file of theirs.
    file: &'a dyn Fn(usize) -> String,
    differences: Option<&'d mut (dyn Write + 'd)>,
    joined: Joined,
    cells: BTreeMap<(Fate, Fate), (u64, Vec<Example>)>,
}

impl Tally<'_, '_> {
    fn add(&mut self, our: Option<&Group>, their: Option<&Group>) -> Result<(), Error> {
        let (one, two) = (our.map_or(ABSENT, |group| group.fate), their.map_or(ABSENT, |group| group.fate));
        let documents = &mut self.joined.documents;
        documents.ours += u64::from(our.is_some());
        documents.theirs += u64::from(their.is_some());
        documents.ours_repeated += our.map_or(0, |group| group.rows - 1);
        self.joined.contradictions += u64::from(their.is_some_and(|group| group.is_contradictory));
        let cell = self.cells.entry((one, two)).or_default();
        cell.0 += 1;
        let wanted = cell.1.len() < EXAMPLES;
        let difference = match (our, their) {
            (Some(our), Some(their)) => {
                documents.in_both += 1;
                self.verdict(our, their)
            }
            (Some(_), None) => Some(DifferenceKind::OnlyOurs),
            (None, _) => Some(DifferenceKind::OnlyTheirs),
        };
        let is_text = difference == Some(DifferenceKind::Text);
        let wanted_text = is_text && self.joined.texts.examples.len() < EXAMPLES;
        if !(wanted || wanted_text || (difference.is_some() && self.differences.is_some())) {
            return Ok(());
        }
        let example = self.example(our, their);
        if let (Some(difference), Some(out)) = (difference, &mut self.differences) {
            let (ours, theirs) = (self.fates.name(one), self.fates.name(two));
            let line = Difference { difference, ours, theirs, document: example.clone() };
            let mut line = serde_json::to_vec(&line).map_err(|error| Error::Differences(error.into()))?;
            line.push(b'\n');
            out.write_all(&line).map_err(Error::Differences)?;
        }
        if wanted_text {
            self.joined.texts.examples.push(example.clone());
        }
        if wanted && let Some((_, examples)) = self.cells.get_mut(&(one, two)) {
            examples.push(example);
        }
        Ok(())
    }

    /// Counts a document of both sides.
    fn verdict(&mut self, our: &Group, their: &Group) -> Option<DifferenceKind> {
        let is_same_reason = self.is_same_reason(our.fate, their.fate);
        let verdicts = &mut self.joined.verdicts;
        match (our.fate, their.fate) {
            (KEPT, KEPT) => {
                verdicts.both_kept += 1;
                let texts = &mut self.joined.texts;
                match (our.text, their.text) {
                    (Some(one), Some(two)) if one == two => texts.equal += 1,
                    (Some(_), Some(_)) => {
                        texts.differ += 1;
                        return Some(DifferenceKind::Text);
                    }
                    _ => texts.unknown += 1,
                }
                None
            }
            (KEPT, _) => {
                verdicts.only_they_dropped += 1;
                Some(DifferenceKind::Verdict)
            }
            (_, KEPT) => {
                verdicts.only_we_dropped += 1;
                Some(DifferenceKind::Verdict)
            }
            _ => {
                verdicts.both_dropped += 1;
                if is_same_reason {
                    verdicts.same_reason += 1;
                    return None;
                }
                Some(DifferenceKind::Reason)
            }
        }
    }

    /// Whether our `stage: rule` and their reason have one name.
    fn is_same_reason(&self, one: Fate, two: Fate) -> bool {
        let rule = self.fates.name(one).split_once(": ");
        rule.is_some_and(|(_, rule)| rule == self.fates.name(two))
    }

    fn example(&self, our: Option<&Group>, their: Option<&Group>) -> Example {
        let id = our.and_then(|group| group.other).map(|id| DocumentId(id).to_string());
        let place = their.and_then(|group| group.other).map(|place| {
            let (file, line) = ((place >> LINE_BITS) as usize, place as u64);
            format!("{}:{line}", (self.file)(file))
        });
        Example { id, place }
    }

    fn finish(self) -> Result<Joined, Error> {
        let mut joined = self.joined;
        if let Some(out) = self.differences {
            out.flush().map_err(Error::Differences)?;
        }
        let verdicts = &mut joined.verdicts;
        let equal = verdicts.both_kept + verdicts.both_dropped;
        let all = joined.documents.in_both;
        verdicts.agreement = (all > 0).then(|| equal as f64 / all as f64);
        let cells = self.cells.into_iter().map(|((one, two), (documents, examples))| Cell {
            ours: self.fates.name(one).to_owned(),
            theirs: self.fates.name(two).to_owned(),
            documents,
            examples,
        });
        joined.pairs = cells.collect();
        joined.pairs.sort_by(|a, b| {
            b.documents.cmp(&a.documents).then_with(|| (&a.ours, &a.theirs).cmp(&(&b.ours, &b.theirs)))
        });
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::sorter::Sorter;

    fn side(rows: &[(u128, Fate, Option<u64>, u128)]) -> Sorted {
        let mut sorter = Sorter::new(None);
        for &(key, fate, text, other) in rows {
            sorter.push(Row { key, order: 0, fate, text, other: Some(other) }).expect("memory");
        }
        sorter.finish().expect("memory")
    }

    #[test]
    fn every_document_is_counted_once() {
        let mut fates = Fates::default();
        let our_short = fates.number("filter: short").expect("few");
        let short = fates.number("short").expect("few");
        let long = fates.number("long").expect("few");
        let ours = [
            (1, KEPT, Some(7), 101),
            (2, KEPT, Some(7), 102),
            (3, our_short, None, 103),
            (4, our_short, None, 104),
            (5, KEPT, None, 105),
            (5, our_short, None, 106),
            (6, our_short, None, 107),
            (8, KEPT, Some(1), 108),
        ];
        let theirs = [
            (1, KEPT, Some(7), place((0, 1))),
            (2, KEPT, Some(8), place((0, 2))),
            (3, short, None, place((1, 1))),
            (4, long, None, place((1, 2))),
            (5, short, None, place((1, 3))),
            (6, KEPT, Some(1), place((0, 3))),
            (7, KEPT, Some(1), place((0, 4))),
        ];
        let mut lines = Vec::new();
        let sides = |kept_wins| Sides { ours: side(&ours), theirs: side(&theirs), kept_wins };
        let names = |file: usize| format!("{file}.jsonl");
        let joined = join(sides(false), &mut fates, &names, Some(&mut lines)).expect("in memory");
        let expected = Documents { ours: 7, theirs: 7, in_both: 6, ours_repeated: 1, ..Documents::default() };
        assert_eq!(joined.documents, expected);
        let verdicts = joined.verdicts;
        assert_eq!((verdicts.both_kept, verdicts.both_dropped, verdicts.same_reason), (2, 2, 1));
        assert_eq!((verdicts.only_we_dropped, verdicts.only_they_dropped), (1, 1));
        assert_eq!(verdicts.agreement, Some(4.0 / 6.0));
        assert_eq!((joined.texts.equal, joined.texts.differ), (1, 1));
        assert_eq!(joined.texts.examples[0].place.as_deref(), Some("0.jsonl:2"));
        assert_eq!(joined.pairs.iter().map(|cell| cell.documents).sum::<u64>(), 8);
        let text = String::from_utf8(lines).expect("JSON");
        let kinds: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["difference"].clone())
            .collect();
        assert_eq!(kinds, ["text", "reason", "verdict", "verdict", "only_theirs", "only_ours"]);
    }

    #[test]
    fn a_later_removal_stands_beside_an_earlier_output() {
        let mut fates = Fates::default();
        let duplicate = fates.number("minhash").expect("few");
        let theirs = [(1, KEPT, Some(7), 1), (1, duplicate, None, 2)];
        for (kept_wins, dropped) in [(false, 1), (true, 0)] {
            let sides = Sides { ours: side(&[(1, KEPT, Some(7), 9)]), theirs: side(&theirs), kept_wins };
            let joined = join(sides, &mut fates, &|_| String::new(), None).expect("in memory");
            assert_eq!(joined.verdicts.only_they_dropped, dropped, "{kept_wins}");
            assert_eq!((joined.contradictions, joined.documents.theirs), (1, 1));
        }
    }
}
