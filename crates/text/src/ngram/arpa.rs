//! Reads ARPA files: `\data\` with a count an order, a section an order, `\end\`.
//!
//! Reference: the format of the CMU and SRILM toolkits (`ngram-format(5)`), with KenLM's readings: the order of sections is
//! fixed, a missing back-off weight is 0, and a word of a longer n-gram must be a unigram.

use rustc_hash::FxHashMap;

use super::model::{Model, Weights, extend, key_of};

/// The longest n-gram that is read.
const MAX_ORDER: usize = 16;
/// What KenLM's binary files begin with.
const KENLM_BINARY: &[u8] = b"mmap lm ";

/// Bytes that are no ARPA file that we can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArpaError {
    /// A model in KenLM's own format.
    #[error("a binary model of KenLM's: expected an ARPA file")]
    Binary,
    /// A line that is not what should stand there.
    #[error("line {line}: `{found}`: expected {expected}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What stands there, cut to 80 characters.
        found: String,
        /// What should.
        expected: String,
    },
    /// The file ends too early.
    #[error("the file ends after line {line}: expected {expected}")]
    Ends {
        /// Its last line.
        line: usize,
        /// What should follow.
        expected: String,
    },
    /// More n-grams than the bound.
    #[error("the model has {found} n-grams: expected at most {most}")]
    TooMany {
        /// What its header says.
        found: u64,
        /// The bound.
        most: u64,
    },
}

/// The lines of the file with their numbers; bytes that are no UTF-8 are an error of their line.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
    line: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next line with something on it.
    fn next(&mut self, expected: &str) -> Result<&'a str, ArpaError> {
        loop {
            if self.rest.is_empty() {
                return Err(ArpaError::Ends { line: self.number, expected: expected.to_owned() });
            }
            let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            self.line = self.rest[..end].trim_ascii();
            self.rest = &self.rest[(end + 1).min(self.rest.len())..];
            self.number += 1;
            if !self.line.is_empty() {
                return str::from_utf8(self.line).map_err(|_| self.fault("UTF-8"));
            }
        }
    }

    fn fault(&self, expected: impl Into<String>) -> ArpaError {
        let found = String::from_utf8_lossy(&self.line[..self.line.len().min(320)]);
        ArpaError::Line {
            line: self.number,
            found: found.chars().take(80).collect(),
            expected: expected.into(),
        }
    }
}

impl Model {
    /// Refuses, by its first bytes, a file that is known to be none: before all of it is read.
    pub fn check_head(bytes: &[u8]) -> Result<(), ArpaError> {
        if bytes.starts_with(KENLM_BINARY) { Err(ArpaError::Binary) } else { Ok(()) }
    }

    /// Reads an ARPA file of at most `most` n-grams, 16 bytes of memory and a hash table's share each.
    pub fn read_arpa(bytes: &[u8], most: u64) -> Result<Self, ArpaError> {
        Self::check_head(bytes)?;
        let mut lines = Lines { rest: bytes, number: 0, line: &[] };
        while lines.next("`\\data\\`")? != "\\data\\" {}
        let mut counts = Vec::new();
        let mut line;
        loop {
            line = lines.next("a section `\\1-grams:`")?;
            let Some(count) = line.strip_prefix("ngram ") else { break };
            let (order, count) = count.split_once('=').ok_or_else(|| lines.fault("`ngram ORDER=COUNT`"))?;
            let order: usize = order.trim().parse().map_err(|_| lines.fault("an order"))?;
            let count: u64 = count.trim().parse().map_err(|_| lines.fault("a count"))?;
            if order != counts.len() + 1 || order > MAX_ORDER {
                return Err(lines.fault(format!("orders 1, 2, … to {MAX_ORDER} at most")));
            }
            counts.push(count);
        }
        if counts.is_empty() {
            return Err(lines.fault("`ngram 1=COUNT`"));
        }
        let found = counts.iter().fold(0, |sum: u64, &count| sum.saturating_add(count));
        if found > most.min(u64::from(u32::MAX)) {
            return Err(ArpaError::TooMany { found, most: most.min(u64::from(u32::MAX)) });
        }
        let mut model = Self {
            order: counts.len(),
            words: FxHashMap::default(),
            unigrams: Vec::new(),
            longer: Vec::new(),
            is_closed: true,
            begin: None,
            end: None,
            unknown: None,
        };
        for (order, &count) in (1..).zip(&counts) {
            if line != format!("\\{order}-grams:") {
                return Err(lines.fault(format!("`\\{order}-grams:`")));
            }
            // No more is set aside than the rest of the file can hold.
            let possible = lines.rest.len() / (2 * order + 2) + 1;
            model.section(&mut lines, order, count, possible)?;
            line = lines.next("the next section or `\\end\\`")?;
        }
        if line != "\\end\\" {
            return Err(lines.fault("`\\end\\`"));
        }
        let id = |word: &str| model.words.get(word).copied();
        (model.begin, model.end) = (id("<s>"), id("</s>"));
        model.unknown = id("<unk>").or(id("<UNK>"));
        Ok(model)
    }

    fn section(
        &mut self,
        lines: &mut Lines<'_>,
        order: usize,
        count: u64,
        possible: usize,
    ) -> Result<(), ArpaError> {
        let room = usize::try_from(count).unwrap_or(usize::MAX).min(possible);
        let mut grams = FxHashMap::default();
        if order == 1 {
            self.words.reserve(room);
            self.unigrams.reserve_exact(room);
        } else {
            grams.reserve(room);
        }
        for _ in 0..count {
            let line = lines.next("an n-gram")?;
            let mut fields = line.split([' ', '\t', '\r']).filter(|field| !field.is_empty());
            let probability = logarithm(fields.next());
            let probability = probability
                .filter(|&probability| probability <= 0.0)
                .ok_or_else(|| lines.fault("a logarithm of a probability, at most 0"))?;
            if order == 1 {
                let word = fields.next().ok_or_else(|| lines.fault("a word"))?;
                let id = self.unigrams.len() as u32;
                if self.words.insert(word.into(), id).is_some() {
                    return Err(lines.fault("each word once"));
                }
                let backoff = backoff(lines, &mut fields)?;
                self.unigrams.push(Weights { probability, backoff });
                continue;
            }
            let mut ids = [0; MAX_ORDER];
            for id in &mut ids[..order] {
                let word = fields.next().ok_or_else(|| lines.fault(format!("{order} words")))?;
                let known = self.words.get(word);
                *id = *known.ok_or_else(|| lines.fault(format!("words that are 1-grams, not `{word}`")))?;
            }
            let backoff = backoff(lines, &mut fields)?;
            let suffix =
                ids[1..order - 1].iter().rev().fold(key_of(ids[order - 1]), |key, &id| extend(key, id));
            if order > 2 && !self.longer[order - 3].contains_key(&suffix) {
                self.is_closed = false;
            }
            if grams.insert(extend(suffix, ids[0]), Weights { probability, backoff }).is_some() {
                return Err(lines.fault("each n-gram once"));
            }
        }
        if order > 1 {
            self.longer.push(grams);
        }
        Ok(())
    }
}

fn logarithm(field: Option<&str>) -> Option<f32> {
    field?.parse().ok().filter(|value: &f32| value.is_finite())
}

/// The last field of a line, if there is one.
fn backoff<'a>(lines: &Lines<'_>, fields: &mut impl Iterator<Item = &'a str>) -> Result<f32, ArpaError> {
    let Some(field) = fields.next() else { return Ok(0.0) };
    match (logarithm(Some(field)), fields.next()) {
        (Some(backoff), None) => Ok(backoff),
        _ => Err(lines.fault("a back-off weight and no more")),
    }
}
