//! What a stage's result depends on, in 128 bits: equal fingerprints, equal results.

use orchestrator_core::{Digest, RowHasher};
use serde_json::Value;

use super::Resolved;
use crate::spec::Stage;

/// Versions of the stages' code. Raised when a stage would give another result for the same input and options, so that
/// `--reuse` does not keep what today's code would not make.
const VERSIONS: [(&str, u64); 13] = [
    ("read", 3),
    ("clean", 2),
    ("language", 1),
    ("filter", 2),
    ("quality", 3),
    ("perplexity", 1),
    ("decontaminate", 1),
    ("dedup", 3),
    ("pii", 2),
    ("mix", 1),
    ("tokenize", 2),
    ("train", 2),
    ("export", 2),
];

/// The version of a stage's code.
pub fn stage_version(name: &str) -> u64 {
    VERSIONS.iter().find(|(stage, _)| *stage == name).map_or(0, |&(_, version)| version)
}

/// One fingerprint for each stage: over the inputs, the seed, the platform (the CPU's feature level, which decides the
/// kernels), and the options, files and code of this stage and of all before it. Where data lies is no part of it.
pub fn fingerprints(resolved: &Resolved, platform: &str) -> Vec<Digest> {
    let mut hasher = RowHasher::default();
    hasher
        .text("orchestrator-stage-1")
        .text(platform)
        .number(resolved.job.seed)
        .number(resolved.job.target_bytes.0);
    for input in &resolved.inputs {
        hasher.text(&input.source).number(input.bytes).text(&input.stamp);
    }
    let mut before = hasher.finish();
    let mut all = Vec::new();
    for (index, stage) in (0u32..).zip(&resolved.job.pipeline) {
        let mut hasher = RowHasher::default();
        hasher.bytes(&before.to_le_bytes()).text(stage.name()).number(stage_version(stage.name()));
        hasher.text(&options(stage));
        if matches!(stage, Stage::Tokenize(_)) {
            // An option of `train` that decides here already: which documents are held out.
            hasher.number(resolved.job.validation_fraction().to_bits());
        }
        for file in resolved.files.iter().filter(|file| file.stage == index) {
            hasher.text(&file.key).text(&file.file.source).number(file.file.bytes).text(&file.file.stamp);
        }
        before = hasher.finish();
        all.push(Digest(before));
    }
    all
}

/// A stage's options as canonical text, without the places of what it reads.
fn options(stage: &Stage) -> String {
    let mut stage = stage.clone();
    for (_, path) in super::locations(&mut stage) {
        path.clear();
    }
    let mut value = serde_json::to_value(&stage).expect("a stage is plain data");
    if let (Stage::Read(_), Some(Value::Object(read))) = (&stage, value.get_mut("read")) {
        // Which patterns found the inputs does not matter: the inputs stand above.
        for key in ["paths", "exclude", "root", "run"] {
            read.remove(key);
        }
    }
    value.to_string()
}
