//! Training that goes on from a model that there is: `train: {from: DIR}`.

use std::cell::RefCell;

use orchestrator_job::spec::{Family, ModelConfig as Described, RopeScaling, TrainConfig};
use orchestrator_model::ModelConfig;
use orchestrator_text::ConfigError;
use orchestrator_train::import::{load_model, with_context};
use orchestrator_train::{CheckpointSource, TrainError};
use serde_json::{Map, Value};

use crate::context::JobContext;
use crate::error::TaskError;

/// A file of a model that is read back whole.
const FILE_LIMIT: u64 = 1 << 40;

/// Where a file of a model's directory lies.
pub fn model_file(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

/// The files of a model that a job begins with, as they were when the job was handed in.
struct FrozenModel<'a> {
    context: &'a JobContext,
    directory: &'a str,
    /// Why a file could not be fetched: another attempt may be able to, where what a file says is the same for all.
    failed: RefCell<Option<TaskError>>,
}

impl CheckpointSource for FrozenModel<'_> {
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        let url = model_file(self.directory, name);
        let fetched = self.context.locate(&url);
        let fetched = fetched.and_then(|(store, path)| Ok(store.read_all(&path, FILE_LIMIT)?));
        fetched.map_err(|error| {
            let told = TrainError::Unloadable(error.to_string());
            self.failed.replace(Some(error));
            told
        })
    }

    fn contains(&self, name: &str) -> Result<bool, TrainError> {
        Ok(self.context.is_frozen(&model_file(self.directory, name)))
    }
}

/// The weights of the model in `directory`, for the model that the job trains.
pub fn initial_weights(
    context: &JobContext,
    directory: &str,
    model: &ModelConfig,
) -> Result<Vec<f32>, TaskError> {
    let wrong = |error: TrainError| TaskError::configuration("train", format!("`{directory}`: {error}"));
    let source = FrozenModel { context, directory, failed: RefCell::new(None) };
    let loaded = load_model(&source).map_err(|error| source.failed.take().unwrap_or_else(|| wrong(error)))?;
    // The job says what its directory said when it was handed in, and the directory is as it was then.
    let same = ModelConfig { context: model.context, dropout: model.dropout, ..loaded.config.clone() };
    if same != *model {
        let message = format!("`{directory}` holds {:?}: expected {model:?}", loaded.config);
        return Err(TaskError::configuration("train", message));
    }
    with_context(loaded, model).map_err(wrong)
}

/// Takes what the model in `from` is over into the job, or holds what the job says against it.
pub fn adopt(config: &mut TrainConfig, found: &ModelConfig) -> Result<(), ConfigError> {
    let found = describe(found);
    let Some(given) = &mut config.model else {
        config.model = Some(found);
        config.resolve();
        return config.problems().into_iter().next().map_or(Ok(()), Err);
    };
    if given.context > found.context {
        let message = format!("expected at most {}, as in `from`, found {}", found.context, given.context);
        return Err(ConfigError::new("model.context", message));
    }
    given.vocabulary = given.vocabulary.or(found.vocabulary);
    let expected = Described { context: given.context, dropout: given.dropout, ..found };
    let (ours, theirs) = (keys(given), keys(&expected));
    let missing = Value::Null;
    for key in theirs.keys().chain(ours.keys()) {
        let (ours, theirs) = (ours.get(key).unwrap_or(&missing), theirs.get(key).unwrap_or(&missing));
        if ours != theirs {
            let message = format!("expected {theirs}, as in `from`, found {ours}");
            return Err(ConfigError::new(format!("model.{key}"), message));
        }
    }
    Ok(())
}

/// A model's options by key.
fn keys(model: &Described) -> Map<String, Value> {
    match serde_json::to_value(model) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    }
}

/// A model in the words of the job file. Sizes of a valid model fit: they are below 2²⁵.
fn describe(model: &ModelConfig) -> Described {
    let llama = model.llama.as_ref();
    let number = |size: usize| size as u32;
    Described {
        family: if llama.is_some() { Family::Llama } else { Family::Gpt },
        layers: number(model.layers),
        heads: number(model.heads),
        width: number(model.width),
        context: number(model.context),
        // The shortest digits that mean this number: 0.1, and not what an f64 makes of it.
        dropout: model.dropout.to_string().parse().unwrap_or(f64::from(model.dropout)),
        vocabulary: Some(number(model.vocabulary)),
        kv_heads: llama.map(|options| number(options.kv_heads)),
        inner_width: llama.map(|options| number(options.inner)),
        tie_embeddings: llama.map(|options| options.tied),
        rope_theta: llama.map(|options| options.rope_theta),
        rope_scaling: llama.and_then(|options| options.rope_scaling).map(|scaling| RopeScaling {
            factor: scaling.factor,
            low_freq_factor: scaling.low_freq_factor,
            high_freq_factor: scaling.high_freq_factor,
            original_context: number(scaling.original_context),
        }),
        norm_epsilon: llama.map(|options| options.epsilon),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_model::families::llama::LlamaOptions;
    use serde_json::json;

    use super::*;
    use crate::training::model_config;

    fn found() -> ModelConfig {
        let options = LlamaOptions {
            kv_heads: 2,
            inner: 96,
            tied: true,
            rope_theta: 5e5,
            rope_scaling: None,
            epsilon: 1e-6,
        };
        ModelConfig {
            family: "llama".into(),
            vocabulary: 300,
            layers: 2,
            heads: 4,
            width: 32,
            context: 64,
            dropout: 0.1,
            llama: Some(options),
        }
    }

    fn train(value: Value) -> TrainConfig {
        serde_json::from_value(value).expect("options of a train stage")
    }

    #[test]
    fn a_model_goes_into_the_job_and_comes_out_as_it_was() {
        let mut config = train(json!({"from": "/m", "tokens": 6400, "global_batch": 10}));
        adopt(&mut config, &found()).expect("a good model");
        assert_eq!(config.total_steps(), Some(10));
        let model = config.model.clone().expect("the model of `from`");
        assert_eq!(serde_json::to_value(model.dropout).expect("a number"), json!(0.1));
        assert_eq!(model_config(&model, 300), found());
        let before = config.clone();
        adopt(&mut config, &found()).expect("its own words");
        assert_eq!(config, before);
        let gpt = ModelConfig { family: "gpt".into(), llama: None, ..found() };
        let mut config = train(json!({"from": "/m", "steps": 1}));
        adopt(&mut config, &gpt).expect("a good model");
        assert_eq!(model_config(&config.model.expect("a model"), 300), gpt);
    }

    #[test]
    fn what_a_job_says_of_the_model_must_agree() {
        let with = |changes: Value| {
            let mut model = json!({"family": "llama", "layers": 2, "heads": 4, "width": 32, "context": 64,
                "kv_heads": 2, "inner_width": 96, "tie_embeddings": true, "rope_theta": 5e5,
                "norm_epsilon": 1e-6});
            model.as_object_mut().expect("a map").extend(changes.as_object().expect("a map").clone());
            let mut config = train(json!({"from": "/m", "steps": 1, "model": model}));
            adopt(&mut config, &found()).map(|()| config.model.expect("a model"))
        };
        let shorter = with(json!({"context": 16, "dropout": 0.0})).expect("a shorter context");
        assert_eq!((shorter.context, shorter.vocabulary), (16, Some(300)));
        for (key, value) in [
            ("layers", json!(3)),
            ("family", json!("gpt")),
            ("context", json!(65)),
            ("vocabulary", json!(301)),
            ("kv_heads", json!(4)),
            ("rope_theta", json!(1e4)),
            ("tie_embeddings", json!(false)),
        ] {
            let error = with(json!({key: value})).expect_err("it differs");
            assert_eq!(error.key, format!("model.{key}"));
            assert!(error.message.contains("as in `from`"), "{error}");
        }
    }
}
