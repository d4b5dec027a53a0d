//! A supervised model: read, scored, written.

use std::cmp::Ordering;

use super::dictionary::{Dictionary, Features};
use super::loss::{Loss, huffman};
use super::matrix::Matrix;
use super::reader::{Error, Reader};

const MAGIC: i32 = 793_712_314;
const VERSION: i32 = 12;
const SUPERVISED: i32 = 3;

/// Codes of losses.
pub(super) const HIERARCHICAL_SOFTMAX: i32 = 1;
pub(super) const NEGATIVE_SAMPLING: i32 = 2;
pub(super) const SOFTMAX: i32 = 3;
pub(super) const ONE_VS_ALL: i32 = 4;

/// Numbers of the training run that a file carries along and scoring does not use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    pub(super) window: i32,
    pub(super) epochs: i32,
    pub(super) min_count: i32,
    pub(super) negatives: i32,
    /// The loss by fastText's code: scoring does not tell negative sampling from one-vs-all.
    pub(super) loss: i32,
    pub(super) update_rate: i32,
    pub(super) sampling: f64,
}

/// A supervised fastText model.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) carried: Carried,
    pub(super) dictionary: Dictionary,
    pub(super) input: Matrix,
    pub(super) output: Matrix,
    pub(super) loss: Loss,
    labels: Vec<String>,
}

/// Buffers of [`Model::predict`], kept between calls.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) rows: Vec<u32>,
    pub(super) hashes: Vec<i32>,
    pub(super) word: Vec<u8>,
    hidden: Vec<f32>,
    found: Vec<(f32, u32)>,
}

impl Model {
    pub(super) fn new(
        carried: Carried,
        dictionary: Dictionary,
        input: Matrix,
        output: Matrix,
        loss: Loss,
    ) -> Self {
        let labels =
            dictionary.labels.iter().map(|label| String::from_utf8_lossy(&label.text).into_owned()).collect();
        Self { carried, dictionary, input, output, loss, labels }
    }

    /// Whether bytes begin as a model's do: enough to refuse another file before all of it is read.
    pub fn check_head(bytes: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        let (magic, version) = (reader.i32("magic"), reader.i32("version"));
        if magic == Ok(MAGIC) && version.is_ok_and(|version| (11..=VERSION).contains(&version)) {
            Ok(())
        } else {
            Err(Error::NotAModel)
        }
    }

    /// Reads a `.bin` or `.ftz` file. Every count is held against what is left of the file.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::check_head(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.i32("magic")?;
        let version = reader.i32("version")?;
        let dimension = reader.count32("dim")?;
        let mut carried =
            Carried { window: reader.i32("ws")?, epochs: reader.i32("epoch")?, ..Carried::default() };
        carried.min_count = reader.i32("minCount")?;
        carried.negatives = reader.i32("neg")?;
        let word_ngrams = reader.count32("wordNgrams")?;
        carried.loss = reader.i32("loss")?;
        if reader.i32("model")? != SUPERVISED {
            return Err(Error::NotSupervised);
        }
        let bucket = reader.count32("bucket")?;
        let min_chars = reader.count32("minn")?;
        let max_chars = reader.count32("maxn")?;
        carried.update_rate = reader.i32("lrUpdateRate")?;
        carried.sampling = reader.f64("t")?;
        // Models of version 11 never used character n-grams, whatever the field says.
        let max_chars = if version == 11 { 0 } else { max_chars };
        let features = Features { word_ngrams, bucket, min_chars, max_chars };
        if features.hashes() && bucket == 0 {
            return Err(Error::invalid("bucket", 0, "at least 1 where n-grams are hashed"));
        }

        let dictionary = Dictionary::read(&mut reader, features)?;
        let quantized = reader.flag("quantized")?;
        if dictionary.is_pruned() && !quantized {
            return Err(Error::invalid("quantized", 0, "1 for a pruned dictionary"));
        }
        let input = Matrix::read(&mut reader, quantized)?;
        let output_quantized = reader.flag("output quantized")?;
        let output = Matrix::read(&mut reader, quantized && output_quantized)?;
        if dictionary.rows_needed() > input.rows() as u64 {
            return Err(Error::invalid("input rows", input.rows() as i64, "a row for every word and bucket"));
        }
        if output.rows() != dictionary.labels.len() {
            return Err(Error::invalid("output rows", output.rows() as i64, "a row for every label"));
        }
        for columns in [input.columns(), output.columns()] {
            if columns != dimension as usize {
                return Err(Error::invalid("columns", columns as i64, "the model's `dim`"));
            }
        }
        let loss = match carried.loss {
            HIERARCHICAL_SOFTMAX => Loss::Hierarchical(huffman(&dictionary.labels)),
            NEGATIVE_SAMPLING | ONE_VS_ALL => Loss::Binary,
            SOFTMAX => Loss::Softmax,
            other => {
                return Err(Error::invalid(
                    "loss",
                    i64::from(other),
                    "1 (hs), 2 (ns), 3 (softmax) or 4 (ova)",
                ));
            }
        };
        Ok(Self::new(carried, dictionary, input, output, loss))
    }

    /// The labels, most frequent first, with their `__label__`.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The `k` best labels of `text` with their scores, best first; ties go to the more frequent label.
    ///
    /// Scores are fastText's own, which may pass 1 by 1e-5. Newlines in `text` count as white space. Nothing comes
    /// back for a text none of whose features the model has.
    pub fn predict<'m>(&'m self, text: &str, k: usize, scratch: &mut Scratch) -> Vec<(&'m str, f32)> {
        if !self.score(text, scratch) {
            return Vec::new();
        }
        let best = |a: &(f32, u32), b: &(f32, u32)| -> Ordering { b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)) };
        let k = k.min(scratch.found.len());
        if k > 0 && k < scratch.found.len() {
            scratch.found.select_nth_unstable_by(k - 1, best);
        }
        scratch.found.truncate(k);
        scratch.found.sort_unstable_by(best);
        scratch
            .found
            .iter()
            .map(|&(score, label)| (self.labels[label as usize].as_str(), libm::expf(score)))
            .collect()
    }

    /// The score of one label (see [`Model::predict`]); 0 where it vanishes, none for a text without features.
    pub fn score_of(&self, label: &str, text: &str, scratch: &mut Scratch) -> Option<f32> {
        let label = self.labels.iter().position(|known| known == label)? as u32;
        if !self.score(text, scratch) {
            return None;
        }
        Some(scratch.found.iter().find(|found| found.1 == label).map_or(0.0, |found| libm::expf(found.0)))
    }

    fn score(&self, text: &str, scratch: &mut Scratch) -> bool {
        self.dictionary.line(text, &mut scratch.rows, &mut scratch.hashes, &mut scratch.word);
        if scratch.rows.is_empty() {
            return false;
        }
        scratch.hidden.clear();
        scratch.hidden.resize(self.input.columns(), 0.0);
        for &row in &scratch.rows {
            self.input.add_row(row as usize, &mut scratch.hidden);
        }
        let scale = (1.0 / scratch.rows.len() as f64) as f32;
        scratch.hidden.iter_mut().for_each(|value| *value *= scale);
        self.loss.score(&self.output, &scratch.hidden, self.labels.len(), &mut scratch.found);
        true
    }

    /// Writes a `.bin` that fastText loads; none for a quantized model, which we only read.
    pub fn write(&self) -> Option<Vec<u8>> {
        let (Matrix::Dense(input), Matrix::Dense(output)) = (&self.input, &self.output) else { return None };
        let (carried, features) = (&self.carried, &self.dictionary.features);
        let mut out = Vec::with_capacity((input.values.len() + output.values.len()) * 4 + (1 << 16));
        for number in [
            MAGIC,
            VERSION,
            input.columns as i32,
            carried.window,
            carried.epochs,
            carried.min_count,
            carried.negatives,
            features.word_ngrams as i32,
            carried.loss,
            SUPERVISED,
            features.bucket as i32,
            features.min_chars as i32,
            features.max_chars as i32,
            carried.update_rate,
        ] {
            out.extend(number.to_le_bytes());
        }
        out.extend(carried.sampling.to_le_bytes());
        self.dictionary.write(&mut out);
        out.push(0);
        input.write(&mut out);
        out.push(0);
        output.write(&mut out);
        Some(out)
    }
}
