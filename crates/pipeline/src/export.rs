//! The trained model in a form that other programs load, and a few samples of what it writes.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_model::generate::{GenerateOptions, Strategy, generate};
use orchestrator_model::{Device, open};
use orchestrator_storage::RelativePath;
use orchestrator_text::tokenizer::Tokenizer;
use orchestrator_train::export::{ModelFacts, huggingface, load_checkpoint_model};
use orchestrator_train::{StepMetrics, TokenSource};
use serde_json::json;

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::training::{self, ShardTokens, StoredCheckpoint, last_checkpoint, model_digest};

/// Samples written for the report, and tokens in each.
const SAMPLES: u64 = 3;
const SAMPLE_TOKENS: usize = 120;
/// Tokens of a held-out document that a sample goes on from.
const PROMPT_TOKENS: usize = 12;
/// The longest `metrics.jsonl` that is read.
const METRICS_LIMIT: u64 = 4 << 30;

/// Writes `model/` and `samples.jsonl`.
pub(crate) fn run(context: &TaskContext, stage: u32) -> Result<TaskOutcome, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("export", error);
    let output = &context.job.output;
    let path = last_checkpoint(output)?.ok_or_else(|| wrong(&"training left no checkpoint"))?;
    let source = StoredCheckpoint::new(output.clone(), path);
    let (state, weights) = load_checkpoint_model(&source).map_err(|error| wrong(&error))?;
    let config = &state.options.model;
    let end_of_text = context.job.job.tokenize().map_or("<|endoftext|>", |(_, config)| &*config.end_of_text);
    let tokenizer = training::tokenizer(output, end_of_text)?;
    let train = ShardTokens::open(output, "train")?;
    let metrics = last_metrics(context)?;
    let facts = ModelFacts {
        name: context.job.job.name.clone(),
        steps: state.step,
        tokens_seen: state.step * state.options.global_batch * config.context as u64,
        training_tokens: train.len(),
        training_loss: metrics.as_ref().and_then(|metrics| metrics.loss),
        validation_loss: metrics.as_ref().and_then(|metrics| metrics.validation_loss),
        data_fingerprint: state.data_fingerprint.clone(),
        data: stages_of(context),
        end_of_text: Some(tokenizer.end_of_text()),
    };
    let mut files = AttemptFiles::new(context);
    let mut put = |path: String, bytes: &[u8]| files.write(stage, FileKind::Product, path, 0, bytes);
    for file in huggingface(config, &weights, &facts).map_err(|error| wrong(&error))? {
        put(format!("model/{}", file.name), &file.bytes)?;
    }
    put("model/tokenizer.json".to_owned(), tokenizer.to_json().as_bytes())?;
    let tokenizer_config = tokenizer.tokenizer_config_json(config.context);
    put("model/tokenizer_config.json".to_owned(), tokenizer_config.as_bytes())?;

    let mut engine = open(config, &weights, Device::Cpu).map_err(|error| wrong(&error))?;
    let mut lines = String::new();
    for number in 0..SAMPLES {
        context.progress.check()?;
        let prompt = prompt(output, &tokenizer, number)?;
        let seed = context.job.job.seed.wrapping_add(number);
        let strategy = Strategy::Sample { temperature: 0.8, top_k: 50, top_p: 1.0, seed };
        let options = GenerateOptions {
            max_tokens: SAMPLE_TOKENS,
            end_of_text: Some(tokenizer.end_of_text()),
            strategy,
        };
        let tokens = generate(&mut *engine, config, &prompt, &options, &mut |_| true)
            .map_err(|error| wrong(&error))?;
        let line = json!({ "step": state.step, "prompt": tokenizer.decode(&prompt), "text": tokenizer.decode(&tokens) });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    put("samples.jsonl".to_owned(), lines.as_bytes())?;
    let content = model_digest(config, &weights).map_err(|error| wrong(&error))?;
    Ok(TaskOutcome { files: files.into_records(), content: Some(content), ..TaskOutcome::default() })
}

/// The beginning of a held-out document; end-of-text alone where nothing is held out.
fn prompt(
    output: &orchestrator_storage::Store,
    tokenizer: &Tokenizer,
    number: u64,
) -> Result<Vec<u32>, TaskError> {
    let held_out = ShardTokens::open(output, "validation")?;
    let ends = held_out.document_ends();
    let index = (ends.len() as u64 * (2 * number + 1) / (2 * SAMPLES)) as usize;
    let start = if index == 0 { 0 } else { ends.get(index - 1).copied().unwrap_or(0) };
    let end = ends.get(index).copied().unwrap_or(0).saturating_sub(1);
    let mut tokens = vec![0; (end.saturating_sub(start) as usize).min(PROMPT_TOKENS)];
    held_out.read(start, &mut tokens).map_err(|error| TaskError::configuration("export", error))?;
    if tokens.is_empty() { Ok(vec![tokenizer.end_of_text()]) } else { Ok(tokens) }
}

fn last_metrics(context: &TaskContext) -> Result<Option<StepMetrics>, TaskError> {
    let path = RelativePath::new("metrics.jsonl")?;
    if context.job.output.try_stat(&path)?.is_none() {
        return Ok(None);
    }
    let bytes = context.job.output.read_all(&path, METRICS_LIMIT)?;
    Ok(bytes
        .split(|&byte| byte == b'\n')
        .rev()
        .find(|line| !line.is_empty())
        .and_then(|line| serde_json::from_slice(line).ok()))
}

/// One line for each stage that the data went through.
fn stages_of(context: &TaskContext) -> Vec<String> {
    let mut lines: Vec<String> =
        context.job.plan.stages.iter().map(|stage| format!("stage `{}`", stage.directory)).collect();
    lines.push(format!("held out for validation: {}", context.job.job.validation_fraction()));
    lines
}
