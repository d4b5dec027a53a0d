//! What the tasks of a phase take of a worker, so that they are placed where there is room.
//!
//! Memory is an estimate from above: of what grows with the job's options and inputs, and of a fixed part for buffers.
//! All tasks of a phase are expected to take what the largest of them does. A rank takes a gang slot instead of a core,
//! and one GPU where the job asks for GPUs.

use orchestrator_core::{Demand, TaskOutcome};
use orchestrator_text::quality::Classifier;

use crate::expand::{LEAST_INDEX_ROW, candidate_bytes};
use crate::plan::{Phase, PhaseKind, Plan};
use crate::resolve::{Resolved, StageFile};
use crate::spec::{Device, Family, Stage, TrainConfig};
use crate::task::{InputFile, PartRef, TaskSpec, Work};

/// Buffers, readers and writers of any task.
const TASK_BYTES: u64 = 128 << 20;
/// The same of tasks that hold documents: a record may have 64 MiB, and is there more than once while it is cleaned.
const DOCUMENTS_BYTES: u64 = 256 << 20;
/// A (hash, document) pair while a slice is sorted, twice: sorting copies.
const PAIR_BYTES: u64 = 64;
/// A document in the forest of a slice.
const FOREST_BYTES: u64 = 4;
/// Shingles of one block of documents, and the pairs of one part.
const COMPARED_BYTES: u64 = 256 << 20;
/// A document among clusters: its parent, its root, and what its survivor adds.
const CLUSTERED_BYTES: u64 = 24;
/// Labelled texts that are held at most, and how much larger they are than the files that they come from.
const EXAMPLES_BYTES: u64 = 1 << 30;
const UNPACKED: u64 = 4;
/// Bytes per parameter on a host: weights for the loop and the engine, the gradient and the sums of a few levels of the
/// summation tree, two moments, and the snapshot of a roll-back.
const PARAMETER_BYTES: u64 = 36;
/// A word with the blank behind it, in texts that a model learns from: at least, on average.
const WORD_BYTES: u64 = 4;
/// An n-gram of a language model while it is trained, and of a TF-IDF classifier: counts, probabilities, places.
const NGRAM_BYTES: u64 = 60;
/// A feature of a TF-IDF classifier in the search for its weight: steps and gradients of 8 bytes that are remembered.
const FEATURE_BYTES: u64 = 200;
/// The vocabulary that is assumed where no tokenizer has said its own.
const VOCABULARY: u64 = 65_536;

/// What each task of `phase` takes; for the gang, each rank. `committed` holds the outcomes of the phases before.
pub fn demand(
    resolved: &Resolved,
    plan: &Plan,
    phase: &Phase,
    specs: &[TaskSpec],
    committed: &[Vec<TaskOutcome>],
) -> Demand {
    // Indexes of earlier runs are read batch by batch, and never held.
    let of_phase =
        |file: &&StageFile| phase.stages.contains(&file.stage) && !file.key.starts_with("against[");
    let files: u64 = resolved.files.iter().filter(of_phase).map(|file| file.file.bytes).sum();
    let stage = resolved.job.pipeline.get(phase.stages.start as usize);
    let largest = specs.iter().map(|spec| of_work(&spec.work, files, stage)).max().unwrap_or(TASK_BYTES);
    let (PhaseKind::Train { .. }, Some(Stage::Train(config))) = (phase.kind, stage) else {
        return Demand { memory_bytes: largest, ..Demand::default() };
    };
    let vocabulary = config
        .model
        .as_ref()
        .and_then(|model| model.vocabulary.map(u64::from))
        .or_else(|| vocabulary(plan, committed))
        .unwrap_or(VOCABULARY);
    // A rank that begins with a model reads its files one after the other, while it holds nothing but the weights.
    Demand {
        slots: 0,
        memory_bytes: TASK_BYTES + rank(config, vocabulary),
        gpus: u32::from(config.device != Device::Cpu),
        gpus_optional: config.device == Device::Auto,
    }
}

fn of_work(work: &Work, files: u64, stage: Option<&Stage>) -> u64 {
    let rows = |parts: &[PartRef]| parts.iter().map(|part| part.rows).sum::<u64>();
    match work {
        // What a stage leaves of its documents' parts is put in order a chunk of 16 MiB at a time, which is a buffer.
        // The stages' models are held whole, by all tasks of a worker together: a bound, for one alone.
        Work::Map { .. } => DOCUMENTS_BYTES + files,
        Work::DedupBands { signatures, partitions, earlier, .. } => {
            let documents = rows(signatures) + indexed(earlier);
            let candidates = match stage {
                Some(Stage::Dedup(config)) => candidate_bytes(config),
                _ => 0,
            };
            // Candidates to be verified are sorted as they are; others become a forest.
            let forest = if candidates == 0 { FOREST_BYTES * documents } else { 0 };
            TASK_BYTES
                + (PAIR_BYTES + candidates) * documents.div_ceil(u64::from(*partitions).max(1))
                + forest
        }
        Work::DedupVerify { .. } => DOCUMENTS_BYTES + COMPARED_BYTES,
        Work::DedupClusters { signatures, earlier, .. } => {
            TASK_BYTES + CLUSTERED_BYTES * (rows(signatures) + indexed(earlier))
        }
        Work::DedupRepeats { items, .. } => {
            let sizing = match stage {
                Some(Stage::Dedup(config)) => config.sizing(rows(items)).ok(),
                _ => None,
            };
            TASK_BYTES + sizing.map_or(0, |sizing| sizing.bytes)
        }
        Work::TrainScorer { .. } => {
            let examples = files.saturating_mul(UNPACKED).min(EXAMPLES_BYTES);
            DOCUMENTS_BYTES + examples.saturating_mul(2).saturating_add(trained(stage, examples))
        }
        Work::PrepareTokenizer { parts, .. } => {
            let bytes = parts.iter().map(|part| part.bytes).sum::<u64>().saturating_mul(UNPACKED);
            let sample = match stage {
                Some(Stage::Tokenize(config)) => config.train.as_ref().map_or(0, |train| train.sample.0),
                _ => 0,
            };
            // Counted words take a fraction of their text; the trainers' tables take a few times the words.
            DOCUMENTS_BYTES + sample.min(bytes) + files
        }
        Work::Cutoff { .. } | Work::Mixture { .. } => TASK_BYTES,
        Work::Index { .. }
        | Work::Tokenize { .. }
        | Work::Train { .. }
        | Work::Export { .. }
        | Work::Report => DOCUMENTS_BYTES,
    }
}

/// The most documents that indexes of earlier runs can hold.
fn indexed(earlier: &[InputFile]) -> u64 {
    earlier.iter().map(|file| file.bytes / LEAST_INDEX_ROW).sum()
}

/// What the model of a stage takes while it is trained, beside its examples.
fn trained(stage: Option<&Stage>, examples: u64) -> u64 {
    let ngrams = |longest: u32| (examples / WORD_BYTES).saturating_mul(u64::from(longest));
    match stage {
        Some(Stage::Quality(config)) => config.train.as_ref().map_or(0, |train| match train.classifier {
            Classifier::Fasttext => {
                // The table is there once more as the bytes of the model that is written.
                let row = u64::from(train.dimension) * size_of::<f32>() as u64;
                u64::from(train.bucket).saturating_mul(row).saturating_mul(2)
            }
            Classifier::Tfidf => {
                let found = ngrams(train.word_ngrams);
                let features = found.min(u64::from(train.max_features));
                found.saturating_mul(NGRAM_BYTES).saturating_add(features * FEATURE_BYTES)
            }
        }),
        Some(Stage::Perplexity(config)) => config
            .train
            .as_ref()
            .map_or(0, |train| ngrams(train.order).min(train.max_ngrams).saturating_mul(NGRAM_BYTES)),
        _ => 0,
    }
}

/// The entries of the vocabulary that the prepare phase left.
fn vocabulary(plan: &Plan, committed: &[Vec<TaskOutcome>]) -> Option<u64> {
    let prepare = plan.phases.iter().find(|phase| phase.kind == PhaseKind::Prepare)?;
    committed.get(prepare.index as usize)?.first()?.detail.get("vocab_size")?.as_u64()
}

/// What a rank takes: parameters, and the activations of one micro-batch. A layer's activations are 34 values of two
/// bytes for each channel of each token, and five for each head of each pair of tokens, after Korthikanti et al.,
/// "Reducing Activation Recomputation in Large Transformer Models" (2022); ours have four bytes. Of the 68 bytes of a
/// channel 36 are of the residual stream and 32 of a feed-forward network of four times its width: two values of its
/// own width each, or three where a gate lets the other through.
fn rank(config: &TrainConfig, vocabulary: u64) -> u64 {
    // A job that is handed in says what its model is.
    let Some(model) = &config.model else { return 0 };
    let (layers, heads) = (u64::from(model.layers), u64::from(model.heads));
    let (width, context) = (u64::from(model.width), u64::from(model.context));
    let parameters = model.parameters(vocabulary);
    let values = match model.family {
        Family::Gpt => 2,
        Family::Llama => 3,
    };
    let inner = u64::from(model.inner_width()) * values * size_of::<f32>() as u64;
    let tokens = u64::from(config.micro_batch()).saturating_mul(context);
    let scores = heads.saturating_mul(context).saturating_mul(10);
    let layer = (36 * width).saturating_add(inner).saturating_add(scores);
    let logits = vocabulary.saturating_mul(3 * size_of::<f32>() as u64);
    let activations = tokens.saturating_mul(layers.saturating_mul(layer).saturating_add(logits));
    parameters.saturating_mul(PARAMETER_BYTES).saturating_add(activations)
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Digest;
    use serde_json::json;

    use super::*;

    fn resolved(pipeline: &serde_json::Value) -> (Resolved, Plan) {
        let job = serde_json::from_value(json!({"name": "x", "output": "/out", "pipeline": pipeline}))
            .expect("a job");
        let plan = Plan::new(&job);
        (Resolved { job, inputs: Vec::new(), files: Vec::new() }, plan)
    }

    fn part(rows: u64) -> PartRef {
        PartRef { path: "p".into(), rows, bytes: 10 * rows, xxh3: Digest(0) }
    }

    fn of(
        resolved: &Resolved,
        plan: &Plan,
        kind: &str,
        work: Work,
        committed: &[Vec<TaskOutcome>],
    ) -> Demand {
        let phase = plan.phases.iter().find(|phase| phase.kind.name() == kind).expect("a phase");
        let specs = [TaskSpec { phase: phase.index, number: 0, work }];
        demand(resolved, plan, phase, &specs, committed)
    }

    #[test]
    fn clusters_take_memory_by_document_and_slices_do_not() {
        let (resolved, plan) = resolved(&json!([{"read": {"paths": ["*.jsonl"]}}, {"dedup": {}}]));
        let clusters = |rows| {
            let work = Work::DedupClusters {
                stage: 1,
                earlier: vec![],
                edges: vec![],
                signatures: vec![part(rows); 10],
                parts: vec![part(rows); 10],
            };
            of(&resolved, &plan, "clusters", work, &[])
        };
        assert_eq!(clusters(0), Demand { memory_bytes: TASK_BYTES, ..Demand::default() });
        assert_eq!(clusters(1_000_000_000).memory_bytes, TASK_BYTES + 240_000_000_000);
        let bands = Work::DedupBands {
            stage: 1,
            partition: 0,
            partitions: 1_000,
            earlier: vec![],
            signatures: vec![part(1_000_000)],
        };
        assert_eq!(of(&resolved, &plan, "bands", bands, &[]).memory_bytes, TASK_BYTES + 4_064_000);
    }

    #[test]
    fn a_rank_takes_memory_by_its_model_and_a_gpu_where_the_job_says_so() {
        let train = |device: &str, width: u32| {
            let (resolved, plan) = resolved(&json!([
                {"read": {"paths": ["*.jsonl"]}}, {"tokenize": {"train": {}}},
                {"train": {"model": {"layers": 12, "heads": 12, "width": width, "context": 1024}, "steps": 1,
                    "device": device, "micro_batch": 1}}
            ]));
            let prepare =
                plan.phases.iter().find(|phase| phase.kind == PhaseKind::Prepare).expect("one").index;
            let mut committed = vec![vec![TaskOutcome::default()]; plan.phases.len()];
            committed[prepare as usize][0].detail = json!({"vocab_size": 50_257});
            of(&resolved, &plan, "train", Work::Train { stage: 2 }, &committed)
        };
        let gpt2 = train("cpu", 768);
        assert_eq!((gpt2.slots, gpt2.gpus), (0, 0));
        // GPT-2 small has 124 million parameters.
        let bytes = 124_000_000 * PARAMETER_BYTES;
        assert!((bytes..2 * bytes).contains(&gpt2.memory_bytes), "{}", gpt2.memory_bytes);
        assert!(train("cpu", 1536).memory_bytes > 2 * gpt2.memory_bytes);
        let (auto, cuda) = (train("auto", 768), train("cuda", 768));
        assert_eq!((auto.gpus, auto.gpus_optional), (1, true));
        assert_eq!((cuda.gpus, cuda.gpus_optional), (1, false));
    }

    #[test]
    fn models_that_stages_name_weigh_on_the_tasks_that_load_them() {
        let (mut resolved, plan) =
            resolved(&json!([{"read": {"paths": ["*.jsonl"]}}, {"language": {"keep": ["en"]}}]));
        let map = |resolved: &Resolved| {
            let work = Work::Map {
                stages: vec![0, 1],
                input: crate::task::MapInput::Splits { splits: vec![] },
                parts: vec![1],
                side: None,
                verdicts: None,
            };
            of(resolved, &plan, "map", work, &[]).memory_bytes
        };
        assert_eq!(map(&resolved), DOCUMENTS_BYTES);
        let file = crate::task::InputFile {
            url: "/m".into(),
            source: "m".into(),
            bytes: 126 << 20,
            stamp: "t".into(),
        };
        resolved.files.push(StageFile { stage: 1, key: "model".into(), file });
        assert_eq!(map(&resolved), DOCUMENTS_BYTES + (126 << 20));
    }
}
