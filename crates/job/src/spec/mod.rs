//! The job file as types. One file per stage that has no code in `text`; the others' configurations stand beside
//! their code there.

mod export;
mod model;
mod portion;
mod read;
mod train;
mod train_check;

use orchestrator_core::units::ByteSize;
pub use orchestrator_text::dedup::DedupConfig;
pub use orchestrator_text::filters::FilterConfig;
pub use orchestrator_text::mix::MixConfig;
pub use orchestrator_text::pii::PiiConfig;
pub use orchestrator_text::tokenizer::TokenizeConfig;
use orchestrator_text::{ConfigError, Languages, Ranking};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use export::{ExportConfig, ExportFormat};
pub use model::{Family, ModelConfig, RopeScaling};
pub use orchestrator_text::clean::CleanConfig;
pub use orchestrator_text::decontaminate::DecontaminateConfig;
pub use orchestrator_text::language::LanguageConfig;
pub use orchestrator_text::perplexity::PerplexityConfig;
pub use orchestrator_text::quality::QualityConfig;
pub use portion::Portion;
pub use read::{Compression, Format, ReadConfig};
pub use train::{
    CheckpointConfig, Device, DivergenceConfig, DivergencePolicy, Objective, OptimizerConfig, OptimizerKind,
    Order, Precision, ScheduleConfig, ScheduleShape, TrainConfig, ValidationConfig,
};

/// A job: where its documents come from, what is done to them in order, and where the result goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Names the job in listings and in the ids of its runs: letters, digits, `.`, `_` and `-`, at most 63 of them.
    pub name: String,
    /// Where everything the job makes is written: a path, or a URL (`file://`, `s3://`, `gs://`, `az://`).
    pub output: String,
    /// Where every random choice starts: sampling, initial weights, dropout, the order of batches.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Among jobs that wait on one coordinator, those with a higher priority go first.
    #[serde(default)]
    pub priority: i32,
    /// How many malformed records a job stands before it fails: a fraction of all records (`0.05`), or a count (`100`).
    #[serde(default = "default_max_malformed")]
    pub max_malformed: Portion,
    /// How often a task is tried before it is put aside with its error and the job fails.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u32,
    /// How many bytes of input, as they lie in the source, one task takes on.
    #[serde(default = "default_target_bytes")]
    pub target_bytes: ByteSize,
    /// The stages, in order; each is one key with its options.
    pub pipeline: Vec<Stage>,
}

fn default_seed() -> u64 {
    1337
}

fn default_max_malformed() -> Portion {
    Portion::Fraction(0.05)
}

fn default_max_attempts() -> u32 {
    4
}

fn default_target_bytes() -> ByteSize {
    ByteSize::mib(64)
}

/// One entry of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a job has a handful of stages; boxes would cost every reader more"
)]
pub enum Stage {
    /// Finds the inputs and turns their records into documents.
    Read(ReadConfig),
    /// Takes the main text of pages and repairs text.
    Clean(CleanConfig),
    /// Determines the language of documents and keeps the wanted ones.
    Language(LanguageConfig),
    /// Drops documents by published rules.
    Filter(FilterConfig),
    /// Scores documents with a classifier and keeps the better ones.
    Quality(QualityConfig),
    /// Scores documents by an n-gram model and drops those that it did not expect.
    Perplexity(PerplexityConfig),
    /// Drops documents that hold items of benchmarks.
    Decontaminate(DecontaminateConfig),
    /// Drops exact or near duplicates.
    Dedup(DedupConfig),
    /// Replaces personal data and secrets.
    Pii(PiiConfig),
    /// Weighs the sources of the corpus against each other.
    Mix(MixConfig),
    /// Turns documents into tokens, with a tokenizer that is loaded or trained.
    Tokenize(TokenizeConfig),
    /// Trains a model on the tokens.
    Train(TrainConfig),
    /// Writes the trained model for other programs.
    Export(ExportConfig),
}

impl Stage {
    /// The stage's key in the job file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Clean(_) => "clean",
            Self::Language(_) => "language",
            Self::Filter(_) => "filter",
            Self::Quality(_) => "quality",
            Self::Perplexity(_) => "perplexity",
            Self::Decontaminate(_) => "decontaminate",
            Self::Dedup(_) => "dedup",
            Self::Pii(_) => "pii",
            Self::Mix(_) => "mix",
            Self::Tokenize(_) => "tokenize",
            Self::Train(_) => "train",
            Self::Export(_) => "export",
        }
    }

    /// Whether documents come in and documents go out.
    pub fn is_document_stage(&self) -> bool {
        match self {
            Self::Read(_)
            | Self::Clean(_)
            | Self::Language(_)
            | Self::Filter(_)
            | Self::Quality(_)
            | Self::Perplexity(_)
            | Self::Decontaminate(_)
            | Self::Dedup(_)
            | Self::Pii(_)
            | Self::Mix(_) => true,
            Self::Tokenize(_) | Self::Train(_) | Self::Export(_) => false,
        }
    }

    /// Whether the job file asks for this stage's documents even where the stage is fused with the next.
    pub fn keep(&self) -> bool {
        match self {
            Self::Read(config) => config.keep,
            Self::Clean(config) => config.keep,
            Self::Filter(config) => config.keep,
            Self::Quality(config) => config.keep,
            Self::Perplexity(config) => config.keep,
            Self::Decontaminate(config) => config.keep,
            Self::Dedup(config) => config.keep,
            Self::Pii(config) => config.keep,
            Self::Mix(config) => config.keep,
            Self::Language(config) => config.write,
            Self::Tokenize(_) | Self::Train(_) | Self::Export(_) => false,
        }
    }

    /// Whether the stage writes what it measures of every document.
    pub fn scores(&self) -> bool {
        match self {
            Self::Filter(config) => config.scores,
            Self::Language(config) => config.scores,
            Self::Quality(config) => config.scores,
            Self::Perplexity(config) => config.scores,
            Self::Decontaminate(config) => config.scores,
            Self::Read(_)
            | Self::Clean(_)
            | Self::Dedup(_)
            | Self::Pii(_)
            | Self::Mix(_)
            | Self::Tokenize(_)
            | Self::Train(_)
            | Self::Export(_) => false,
        }
    }

    /// Which languages the stage judges, where it asks for some.
    pub fn languages(&self) -> Option<&Languages> {
        match self {
            Self::Clean(config) => Some(&config.languages),
            Self::Language(config) => Some(&config.languages),
            Self::Filter(config) => Some(&config.languages),
            Self::Quality(config) => Some(&config.languages),
            Self::Perplexity(config) => Some(&config.languages),
            Self::Decontaminate(config) => Some(&config.languages),
            Self::Dedup(config) => Some(&config.languages),
            Self::Pii(config) => Some(&config.languages),
            Self::Tokenize(config) => Some(&config.languages),
            Self::Read(_) | Self::Mix(_) | Self::Train(_) | Self::Export(_) => None,
        }
    }

    /// How the stage ranks documents, where it keeps a fraction of them: all must be scored before one is judged.
    pub fn ranking(&self) -> Option<Ranking> {
        match self {
            Self::Quality(config) => config.ranking(),
            Self::Perplexity(config) => config.ranking(),
            _ => None,
        }
    }

    /// Whether the stage may put other text in the place of a document's.
    pub fn edits_text(&self) -> bool {
        matches!(self, Self::Clean(_) | Self::Filter(_) | Self::Pii(_))
    }

    /// Whether the stage's model is trained as a part of the job.
    pub fn trains_model(&self) -> bool {
        match self {
            Self::Quality(config) => config.train.is_some(),
            Self::Perplexity(config) => config.train.is_some(),
            _ => false,
        }
    }

    /// What is wrong with the stage's own options that a type cannot say: all of it where the options are this crate's, else
    /// the first thing.
    pub fn problems(&self) -> Vec<ConfigError> {
        let first = |result: Result<(), ConfigError>| result.err().into_iter().collect();
        match self {
            Self::Read(config) => config.problems(),
            Self::Clean(config) => first(config.validate()),
            Self::Language(config) => first(config.validate()),
            Self::Filter(config) => first(config.validate()),
            Self::Quality(config) => first(config.validate()),
            Self::Perplexity(config) => first(config.validate()),
            Self::Decontaminate(config) => first(config.validate()),
            Self::Dedup(config) => first(config.validate()),
            Self::Pii(config) => first(config.validate()),
            Self::Mix(config) => first(config.validate()),
            Self::Tokenize(config) => first(config.validate()),
            Self::Train(config) => config.problems(),
            Self::Export(_) => Vec::new(),
        }
    }
}

impl Job {
    /// The first stage of its kind and its index.
    fn find<'a, T>(&'a self, pick: impl Fn(&'a Stage) -> Option<T>) -> Option<(u32, T)> {
        self.pipeline
            .iter()
            .enumerate()
            .find_map(|(index, stage)| pick(stage).map(|config| (index as u32, config)))
    }

    /// The read stage and its index.
    pub fn read(&self) -> Option<(u32, &ReadConfig)> {
        self.find(|stage| if let Stage::Read(config) = stage { Some(config) } else { None })
    }

    /// The tokenize stage and its index.
    pub fn tokenize(&self) -> Option<(u32, &TokenizeConfig)> {
        self.find(|stage| if let Stage::Tokenize(config) = stage { Some(config) } else { None })
    }

    /// Whether the job finds out the languages of documents. If not, what a source says of them is kept as metadata, and every
    /// document counts as being in a rule's own language.
    pub fn determines_languages(&self) -> bool {
        self.pipeline.iter().any(|stage| matches!(stage, Stage::Language(_)))
    }

    /// The mix stage and its index.
    pub fn mix(&self) -> Option<(u32, &MixConfig)> {
        self.find(|stage| if let Stage::Mix(config) = stage { Some(config) } else { None })
    }

    /// The train stage and its index.
    pub fn train(&self) -> Option<(u32, &TrainConfig)> {
        self.find(|stage| if let Stage::Train(config) = stage { Some(config) } else { None })
    }

    /// What fraction of the documents is held out of training: what the train stage says, or its default.
    pub fn validation_fraction(&self) -> f64 {
        self.train()
            .map_or_else(|| ValidationConfig::default().fraction, |(_, config)| config.validation.fraction)
    }
}
