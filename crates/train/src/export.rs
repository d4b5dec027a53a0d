//! Models in Hugging Face's layout, out. The way in is [`crate::import`].

use std::fmt::Write;

use orchestrator_model::ModelConfig;
use orchestrator_model::families::huggingface::{CONFIG_FILE, generation_config_json};
use orchestrator_model::families::huggingface_of;

use crate::checkpoint::{CheckpointSource, MANIFEST_FILE, MODEL_FILE, Manifest, tensors};
use crate::error::TrainError;

/// A file of an exported model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFile {
    /// Its name.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What a model card tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelFacts {
    /// Name of the run.
    pub name: String,
    /// Steps trained.
    pub steps: u64,
    /// Tokens seen in training.
    pub tokens_seen: u64,
    /// Tokens there were to train on.
    pub training_tokens: u64,
    /// Last loss in training.
    pub training_loss: Option<f64>,
    /// Last loss on held-out tokens.
    pub validation_loss: Option<f64>,
    /// Name of the data: the fingerprint of the token shards.
    pub data_fingerprint: String,
    /// Further lines on the data: sources, filters.
    pub data: Vec<String>,
    /// Id of the end-of-text token.
    pub end_of_text: Option<u32>,
}

/// Makes the files of a model that other libraries load. The tokenizer's files come from the tokenize stage.
pub fn huggingface(
    config: &ModelConfig,
    weights: &[f32],
    facts: &ModelFacts,
) -> Result<Vec<ExportedFile>, TrainError> {
    let layout = config.layout()?;
    if weights.len() != layout.total() {
        let problem = format!("`{}` weights: expected `{}`", weights.len(), layout.total());
        return Err(TrainError::Checkpoint(problem));
    }
    let json = |value: serde_json::Value| format!("{value:#}\n").into_bytes();
    let config_json = huggingface_of(&config.family)?.config_json;
    Ok(vec![
        ExportedFile { name: CONFIG_FILE, bytes: json(config_json(config, facts.end_of_text)) },
        ExportedFile { name: MODEL_FILE, bytes: tensors::write_model(&layout, weights)? },
        ExportedFile {
            name: "generation_config.json",
            bytes: json(generation_config_json(facts.end_of_text)),
        },
        ExportedFile { name: "MODEL_CARD.md", bytes: model_card(config, layout.total(), facts).into_bytes() },
    ])
}

/// The model card: what the model is, what it saw, how well it does, and what it is not for.
fn model_card(config: &ModelConfig, parameters: usize, facts: &ModelFacts) -> String {
    let mut card = format!("# {}\n\n", facts.name);
    let ModelConfig { family, layers, heads, width, context, vocabulary, .. } = config;
    let _ = writeln!(
        card,
        "A `{family}` language model with {parameters} parameters: {layers} layers, {heads} heads, width {width}, \
         context {context}, vocabulary {vocabulary}.\n\n## Training\n"
    );
    let _ = writeln!(card, "- steps: {}\n- tokens seen: {}", facts.steps, facts.tokens_seen);
    for (what, loss) in [("training", facts.training_loss), ("validation", facts.validation_loss)] {
        if let Some(loss) = loss {
            let _ = writeln!(card, "- {what} loss: {loss:.4} (perplexity {:.2})", loss.exp());
        }
    }
    let _ = writeln!(card, "\n## Data\n\n- tokens: {}", facts.training_tokens);
    let _ = writeln!(card, "- fingerprint of the token shards: `{}`", facts.data_fingerprint);
    for line in &facts.data {
        let _ = writeln!(card, "- {line}");
    }
    card.push_str(
        "\n## Limits\n\nThe model continues text as its training data would. It was not tuned to follow instructions, \
         and what it says is not checked.\n",
    );
    card
}

/// Reads the weights of a checkpoint for export; sizes and hashes are checked.
pub fn load_checkpoint_model(
    source: &dyn CheckpointSource,
) -> Result<(crate::checkpoint::RunState, Vec<f32>), TrainError> {
    let manifest = Manifest::parse(&source.get(MANIFEST_FILE)?)?;
    crate::checkpoint::read_weights(&manifest, source)
}
