//! What one task is told to do: the whole of it, so that any worker can run it from the job and this alone.
//!
//! Final names of what tasks publish, relative to the output (`NNNNN` is the task's number, `PP-name` its phase's
//! directory, `NN-name` a stage's). A later phase finds them by stage, kind and number:
//!
//! | work | file | kind, stage |
//! |---|---|---|
//! | `index` | `.orchestrator/phases/PP-index/carved-NNNNN-MMMMM.zst`; `detail` is a `Vec<Split>` | intermediate, read |
//! | `map` | `stages/NN-name/part-NNNNN.parquet`, always, even without rows, for each stage in `parts` | part |
//! | `map` | `stages/NN-name/dropped-NNNNN.parquet`, `notes-NNNNN.parquet` where there are rows | dropped, notes |
//! | `map` | `stages/NN-name/scores-NNNNN.parquet`, always, for each stage with `scores` | product, the stage |
//! | `map` | `stages/NN-name/samples-NNNNN.json`, always: what its stages dropped, for the report | product, the last stage |
//! | `map` | `.orchestrator/phases/PP-map/signatures-NNNNN.*` or `scores-NNNNN.*`, always | intermediate, the barrier's stage |
//! | `map` | `.orchestrator/phases/PP-map/items-NNNNN.bin`, always, where the stage cuts | intermediate, dedup |
//! | `map` | `stages/NN-dedup/index-NNNNN.parquet` where the stage keeps an index | product, dedup |
//! | `bands` | `.orchestrator/phases/PP-bands/edges-NNNNN.*`, always | intermediate, dedup |
//! | `verify` | `.orchestrator/phases/PP-verify/verified-NNNNN.*`, always | intermediate, dedup |
//! | `clusters` | `.orchestrator/phases/PP-clusters/verdicts-NNNNN.*`, one for each part, `NNNNN` the part's number; `detail.stop` is why the job stops, or `null` | intermediate, dedup |
//! | `clusters` | `stages/NN-dedup/clusters.json` | product, dedup |
//! | `repeats` | `.orchestrator/phases/PP-repeats/repeated-NNNNN.bin`, always | intermediate, dedup |
//! | `repeats` | `stages/NN-dedup/seen-NNNNN.json` | product, dedup |
//! | `cutoff` | `detail` is an [`ExactF32`] | |
//! | `mixture` | `stages/NN-mix/mixture.json` | product, mix |
//! | `classifier` | `.orchestrator/phases/PP-classifier/quality.bin` or `perplexity.arpa` | product, the stage |
//! | `prepare` | `tokens/tokenizer.json`, `.orchestrator/phases/PP-prepare/held-out.*` | product and intermediate, tokenize |
//! | `tokenize` | `tokens/train-NNNNN.*`, `tokens/validation-NNNNN.*` | product, tokenize |
//! | `tokenize` | `stages/NN-tokenize/dropped-NNNNN.parquet`, `samples-NNNNN.json` where documents are of languages that it takes none of | dropped and product, tokenize |
//! | `train` | `checkpoints/step-NNNNNNNN/…`, `metrics.jsonl` | product, train |
//! | `export` | `model/…` | product, export |
//! | `report` | `report.html`, `report.json` | product |

use orchestrator_core::Digest;
use serde::{Deserialize, Serialize};

/// One task of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Index into the plan's phases.
    pub phase: u32,
    /// Number within the phase, from 0. A part that the task writes carries this number.
    pub number: u32,
    /// What to do.
    pub work: Work,
}

impl TaskSpec {
    /// About how many bytes the task reads, for comparing it with the others of its phase; `target_bytes` is the job's.
    /// 0 where its files do not tell.
    pub fn bytes(&self, target_bytes: u64) -> u64 {
        let sum = |parts: &[PartRef]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
        match &self.work {
            Work::Index { input, .. } => input.bytes,
            Work::Map { input, .. } => input.bytes(target_bytes),
            Work::Tokenize { parts, .. } => sum(parts),
            Work::DedupVerify { part, parts, .. } => parts.get(*part as usize).map_or(0, |part| part.bytes),
            Work::DedupBands { .. }
            | Work::DedupClusters { .. }
            | Work::DedupRepeats { .. }
            | Work::Cutoff { .. }
            | Work::Mixture { .. }
            | Work::TrainScorer { .. }
            | Work::PrepareTokenizer { .. }
            | Work::Train { .. }
            | Work::Export { .. }
            | Work::Report => 0,
        }
    }
}

/// The kinds of work, one per kind of phase. `stages` are indices into the job's pipeline, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Work {
    /// Finds where a big input can be cut and the first record of each piece; carves what has no such place.
    Index {
        /// The read stage.
        stage: u32,
        /// The file to look through.
        input: InputFile,
        /// Aim for pieces of so many bytes (compressed, as they lie in the input).
        target_bytes: u64,
    },
    /// Runs per-document stages over some input: reads once, writes once.
    Map {
        /// The fused stages, in order. The last may end in signatures or scores beside its part.
        stages: Vec<u32>,
        /// Where documents come from.
        input: MapInput,
        /// The stages whose kept documents are written as a part: the last of `stages`, and those with `keep`.
        parts: Vec<u32>,
        /// What to write beside the part for the barrier that follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        side: Option<Side>,
        /// What the barrier before decided: the file of this part's verdicts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdicts: Option<Verdicts>,
    },
    /// Sorts one slice of the signatures' hash space and writes the edges of equal bands.
    DedupBands {
        /// The dedup stage.
        stage: u32,
        /// This slice.
        partition: u32,
        /// Number of slices.
        partitions: u32,
        /// Indexes of earlier runs whose documents count as coming before this run's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<InputFile>,
        /// Signature files, one per part, in order of parts.
        signatures: Vec<PartRef>,
    },
    /// Compares the documents of one part with the firsts of their buckets, keeps the edges of those similar enough.
    DedupVerify {
        /// The dedup stage.
        stage: u32,
        /// Number of the part.
        part: u32,
        /// Indexes of earlier runs whose documents count as coming before this run's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<InputFile>,
        /// Candidate edges, all files.
        edges: Vec<PartRef>,
        /// All parts, in order.
        parts: Vec<PartRef>,
    },
    /// Joins edges to clusters, chooses survivors, writes one verdict file per part.
    DedupClusters {
        /// The dedup stage.
        stage: u32,
        /// Indexes of earlier runs whose documents count as coming before this run's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<InputFile>,
        /// Edge files.
        edges: Vec<PartRef>,
        /// Signature files, one per part, in order of parts; they carry the document ids.
        signatures: Vec<PartRef>,
        /// The parts themselves: the audit counts their sources and reads samples.
        parts: Vec<PartRef>,
    },
    /// Finds, in one slice of the items' hash space, which items occurred before.
    DedupRepeats {
        /// The dedup stage.
        stage: u32,
        /// This slice.
        partition: u32,
        /// Number of slices.
        partitions: u32,
        /// Item files, one per part, in order of parts.
        items: Vec<PartRef>,
    },
    /// Finds the score above which the wanted fraction lies; its outcome's detail is the threshold.
    Cutoff {
        /// The stage that keeps a fraction.
        stage: u32,
        /// Score files, one per part.
        scores: Vec<PartRef>,
    },
    /// Decides how often each group of documents is seen; writes `mixture.json`.
    Mixture {
        /// The mix stage.
        stage: u32,
        /// Sizes of the groups, one file per part.
        sizes: Vec<PartRef>,
    },
    /// Trains the model of a stage that scores documents: a quality classifier, an n-gram model.
    TrainScorer {
        /// The stage.
        stage: u32,
    },
    /// Chooses the validation documents and trains (or loads) the tokenizer.
    PrepareTokenizer {
        /// The tokenize stage.
        stage: u32,
        /// All parts of the last document stage, in order.
        parts: Vec<PartRef>,
    },
    /// Encodes parts into one train shard and one validation shard.
    Tokenize {
        /// The tokenize stage.
        stage: u32,
        /// The parts to encode, in order.
        parts: Vec<PartRef>,
        /// Paths of the phase before, relative to the output: `tokenizer.json` and the held-out ids.
        prepared: Vec<PartRef>,
        /// `mixture.json`, where a mix stage stands before: how often each document is written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mixture: Option<PartRef>,
    },
    /// One rank of the training gang; `number` is not the rank: the seat that comes with the lease is.
    Train {
        /// The train stage.
        stage: u32,
    },
    /// Writes the trained model for others to load.
    Export {
        /// The export stage.
        stage: u32,
    },
    /// Writes `report.html` and `report.json`.
    Report,
}

/// What a map task writes beside its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Side {
    /// `signatures`: id, text hash and band hashes of every kept document, for the dedup stage `stage`.
    Signatures {
        /// The dedup stage.
        stage: u32,
    },
    /// `items`: hashes of the paragraphs, n-grams or windows of every kept document, for the dedup stage `stage`.
    Items {
        /// The dedup stage.
        stage: u32,
    },
    /// `scores`: one score per kept document, for the stage `stage` that keeps a fraction.
    Scores {
        /// That stage.
        stage: u32,
    },
    /// `sizes`: documents and bytes of each group, a row a group, for the mix stage `stage`.
    Sizes {
        /// The mix stage.
        stage: u32,
    },
}

/// What a barrier decided about the documents of one part. The barrier's stage is the first of the map's `stages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Verdicts {
    /// A file with the rows that are duplicates and the ids of their survivors.
    Duplicates {
        /// The verdict file of this part.
        file: PartRef,
        /// The part's signatures, where an index of what stays is to be written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<PartRef>,
    },
    /// Files with the places of the items that occurred before, one a slice.
    Repeats {
        /// Number of the part.
        part: u32,
        /// The files of all slices.
        files: Vec<PartRef>,
    },
    /// Documents whose scores are worse than this are dropped; as text, so that the value survives JSON exactly.
    Cutoff {
        /// The worst score that is kept.
        threshold: ExactF32,
        /// The scores of this part, row by row.
        scores: PartRef,
    },
    /// Documents without a copy in the mixture are dropped.
    Mixture {
        /// `mixture.json`.
        file: PartRef,
    },
}

/// An `f32` that round-trips through JSON bit for bit: eight hexadecimal digits of its bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExactF32(pub String);

impl From<f32> for ExactF32 {
    fn from(value: f32) -> Self {
        Self(format!("{:08x}", value.to_bits()))
    }
}

impl ExactF32 {
    /// The value; `None` if the text is not eight hexadecimal digits.
    pub fn value(&self) -> Option<f32> {
        u32::from_str_radix(&self.0, 16).ok().map(f32::from_bits)
    }
}

/// Where a map task's documents come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MapInput {
    /// Raw inputs; the first fused stage is the read stage.
    Splits {
        /// Pieces of inputs, in global order.
        splits: Vec<Split>,
    },
    /// A committed part of an earlier stage.
    Part {
        /// The part.
        part: PartRef,
    },
}

impl MapInput {
    /// About how many bytes there are to read, as they lie in the source; `target_bytes` is the job's.
    pub fn bytes(&self, target_bytes: u64) -> u64 {
        match self {
            Self::Splits { splits } => {
                splits.iter().fold(0, |sum, split| sum.saturating_add(split.bytes(target_bytes)))
            }
            Self::Part { part } => part.bytes,
        }
    }
}

/// A committed file, by its final path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// Path relative to the output; a URL when it lies in another run.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// xxh3-128 of its bytes.
    pub xxh3: Digest,
}

/// One input file, frozen: a file that is not the same when it is read fails the job by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Absolute path or URL.
    pub url: String,
    /// Relative to the read step's root, `/`-separated: the `source` of its documents.
    pub source: String,
    /// Size in bytes when the plan was made.
    pub bytes: u64,
    /// Entity tag, or modification time where the store has no tags.
    pub stamp: String,
}

/// A piece of an input that one reader reads from start to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The file.
    pub input: InputFile,
    /// Which of it.
    pub extent: Extent,
    /// Ordinal of the first record in the piece.
    pub first_record: u64,
}

impl Split {
    /// About how many bytes it has, as they lie in the source. Row groups do not say: they are taken for as many as a
    /// piece aims for.
    pub fn bytes(&self, target_bytes: u64) -> u64 {
        match &self.extent {
            Extent::Whole => self.input.bytes,
            Extent::Bytes { start, end } => end.saturating_sub(*start),
            Extent::RowGroups { .. } => self.input.bytes.min(target_bytes),
            Extent::Carved { file, .. } => file.bytes,
        }
    }
}

/// Which piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Extent {
    /// All of it.
    Whole,
    /// Bytes as they lie in the file: whole lines of plain JSONL, whole members of gzip, whole plain WARC records.
    Bytes {
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// Parquet row groups, or Arrow record batches.
    RowGroups {
        /// First group.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// A decompressed piece that the index task committed, because the file itself cannot be entered in the middle.
    Carved {
        /// The carved file: whole records, zstd.
        file: PartRef,
        /// Offset of its first record, for error messages. It may be lower than that of the piece before: it begins anew
        /// with each gzip member or zstd frame of the input.
        offset: u64,
    },
}
