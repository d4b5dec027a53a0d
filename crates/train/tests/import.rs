//! Models of the public library in every form that it saves them in, and every way in which a file can be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestrator_model::families::llama::LlamaOptions;
use orchestrator_model::{Device, ModelConfig};
use orchestrator_train::collective::LocalCollective;
use orchestrator_train::export::{ModelFacts, huggingface};
use orchestrator_train::import::{INDEX_FILE, load_model, open_directory, with_context};
use orchestrator_train::options::{CheckpointOptions, OptimizerOptions, ValidationOptions};
use orchestrator_train::order::OrderKind;
use orchestrator_train::policy::PolicyOptions;
use orchestrator_train::schedule::ScheduleOptions;
use orchestrator_train::tokens::MemoryTokens;
use orchestrator_train::trainer::{Beginning, Data, Trainer};
use orchestrator_train::{CheckpointSource, TrainError, TrainOptions};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// A directory in memory.
#[derive(Clone, Debug, Default, PartialEq)]
struct Files(BTreeMap<String, Vec<u8>>);

impl CheckpointSource for Files {
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        self.0.get(name).cloned().ok_or_else(|| TrainError::Checkpoint(format!("`{name}` is absent")))
    }

    fn contains(&self, name: &str) -> Result<bool, TrainError> {
        Ok(self.0.contains_key(name))
    }
}

fn gpt() -> ModelConfig {
    ModelConfig {
        family: "gpt".into(),
        vocabulary: 40,
        layers: 2,
        heads: 2,
        width: 16,
        context: 12,
        dropout: 0.1,
        llama: None,
    }
}

fn llama(tied: bool) -> ModelConfig {
    let options =
        LlamaOptions { kv_heads: 1, inner: 24, tied, rope_theta: 5e5, rope_scaling: None, epsilon: 1e-6 };
    ModelConfig { family: "llama".into(), llama: Some(options), ..gpt() }
}

fn exported(config: &ModelConfig, weights: &[f32]) -> Files {
    let facts = ModelFacts { end_of_text: Some(3), ..ModelFacts::default() };
    let files = huggingface(config, weights, &facts).expect("exports");
    Files(files.into_iter().map(|file| (file.name.to_owned(), file.bytes)).collect())
}

/// A tensor that is taken apart: type, shape, bytes.
type Raw = (Dtype, Vec<usize>, Vec<u8>);

/// The tensors of an exported model.
fn raw(files: &Files) -> BTreeMap<String, Raw> {
    let file = SafeTensors::deserialize(&files.0["model.safetensors"]).expect("our own file");
    file.iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

fn packed<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a Raw)>) -> Vec<u8> {
    let views = tensors.into_iter().map(|(name, (kind, shape, bytes))| {
        (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).expect("a tensor"))
    });
    safetensors::serialize(views, None).expect("a file")
}

/// The same directory with other tensors in one file.
fn with_tensors(files: &Files, tensors: &BTreeMap<String, Raw>) -> Files {
    let mut files = files.clone();
    files.0.insert("model.safetensors".into(), packed(tensors));
    files
}

/// The same directory in two shards and an index.
fn sharded(files: &Files, tensors: &BTreeMap<String, Raw>) -> Files {
    let mut files = files.clone();
    files.0.remove("model.safetensors");
    let mut map = serde_json::Map::new();
    for (shard, name) in
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].into_iter().enumerate()
    {
        let part = tensors.iter().enumerate().filter(|(place, _)| place % 2 == shard).map(|(_, part)| part);
        map.extend(part.clone().map(|(tensor, _)| (tensor.clone(), name.into())));
        files.0.insert(name.into(), packed(part));
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    files.0.insert(INDEX_FILE.into(), index.to_string().into_bytes());
    files
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|weight| weight.to_bits()).collect()
}

#[track_caller]
fn refused(files: &Files, words: &[&str]) {
    let error = load_model(files).expect_err("it is wrong").to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}: expected {words:?}");
}

#[test]
fn what_is_exported_comes_back_bit_by_bit() {
    for config in [gpt(), llama(false), llama(true)] {
        let weights = config.layout().expect("valid").initial(5);
        let files = exported(&config, &weights);
        let loaded = load_model(&files).expect("loads");
        assert_eq!((&loaded.config, loaded.end_of_text), (&config, Some(3)));
        assert_eq!(bits(&loaded.weights), bits(&weights));
        assert_eq!(exported(&loaded.config, &loaded.weights), files, "and out again, byte by byte");
        let shards = sharded(&files, &raw(&files));
        assert_eq!(load_model(&shards).expect("loads"), loaded);
        let names = open_directory(&shards).expect("a model").files;
        assert_eq!(names.len(), 4, "config, index and two shards: {names:?}");
    }
}

#[test]
fn sixteen_bits_become_thirty_two() {
    let config = llama(false);
    let weights = config.layout().expect("valid").initial(5);
    let files = exported(&config, &weights);
    // The upper half of an f32 is the bf16 that is next towards zero.
    let brain: BTreeMap<String, Raw> = raw(&files)
        .into_iter()
        .map(|(name, (_, shape, bytes))| {
            let halves = bytes.chunks_exact(4).flat_map(|four| [four[2], four[3]]).collect();
            (name, (Dtype::BF16, shape, halves))
        })
        .collect();
    let loaded = load_model(&with_tensors(&files, &brain)).expect("loads");
    let cut: Vec<u32> = bits(&weights).iter().map(|bits| bits & 0xffff_0000).collect();
    assert_eq!(bits(&loaded.weights), cut);
    let ones: BTreeMap<String, Raw> = raw(&files)
        .into_iter()
        .map(|(name, (_, shape, bytes))| (name, (Dtype::F16, shape, [0x00, 0xbc].repeat(bytes.len() / 4))))
        .collect();
    let loaded = load_model(&with_tensors(&files, &ones)).expect("loads");
    assert!(loaded.weights.iter().all(|weight| weight.to_bits() == (-1.0_f32).to_bits()));
    let doubles: BTreeMap<String, Raw> = raw(&files)
        .into_iter()
        .map(|(name, (_, shape, bytes))| (name, (Dtype::F64, shape, bytes.repeat(2))))
        .collect();
    refused(
        &with_tensors(&files, &doubles),
        &["tensor `lm_head.weight`", "F64", "expected F32, BF16 or F16"],
    );
}

#[test]
fn older_files_without_the_head_are_read() {
    let config = gpt();
    let weights = config.layout().expect("valid").initial(5);
    let files = exported(&config, &weights);
    let mut old: BTreeMap<String, Raw> = raw(&files)
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix("transformer.").expect("its prefix").to_owned(), tensor))
        .collect();
    // The causal mask that earlier versions saved, and a second copy of the tied table.
    old.insert("h.0.attn.bias".into(), (Dtype::U8, vec![1, 1, 12, 12], vec![1; 144]));
    let table = old["wte.weight"].clone();
    old.insert("lm_head.weight".into(), table);
    assert_eq!(bits(&load_model(&with_tensors(&files, &old)).expect("loads").weights), bits(&weights));
    old.get_mut("lm_head.weight").expect("there").2[0] ^= 1;
    refused(
        &with_tensors(&files, &old),
        &["tensor `lm_head.weight`", "differs from `transformer.wte.weight`"],
    );
    old.get_mut("lm_head.weight").expect("there").1.reverse();
    refused(&with_tensors(&files, &old), &["tensor `lm_head.weight`", "[16, 40]", "expected `[40, 16]`"]);
}

#[test]
fn a_tensor_too_many_too_few_or_of_another_shape_is_named() {
    for config in [gpt(), llama(true)] {
        let files = exported(&config, &config.layout().expect("valid").initial(5));
        let good = raw(&files);
        let (norm, shape) = match config.family.as_str() {
            "gpt" => ("transformer.h.1.ln_2.weight", "[16]"),
            _ => ("model.layers.1.input_layernorm.weight", "[16]"),
        };
        let mut tensors = good.clone();
        tensors.remove(norm);
        refused(&with_tensors(&files, &tensors), &[norm, "is missing", shape]);
        tensors.retain(|name, _| !name.contains(".1."));
        refused(&with_tensors(&files, &tensors), &["is missing", "more are missing"]);
        let mut tensors = good.clone();
        tensors.insert("model.layers.7.q.bias".into(), (Dtype::F32, vec![2], vec![0; 8]));
        let words = ["tensor `model.layers.7.q.bias`", "[2]", "not one of this model's"];
        refused(&with_tensors(&files, &tensors), &words);
        refused(&sharded(&files, &tensors), &words);
        let mut tensors = good.clone();
        let (_, shape, bytes) = tensors.get_mut(norm).expect("there");
        (*shape, *bytes) = (vec![4, 4], vec![0; 64]);
        refused(&with_tensors(&files, &tensors), &[norm, "has shape `[4, 4]`", "expected `[16]`"]);
        let mut tensors = good.clone();
        let prefix = if config.llama.is_some() { "model." } else { "transformer." };
        let short = norm.strip_prefix(prefix).expect("its prefix");
        tensors.insert(short.into(), tensors[norm].clone());
        refused(&with_tensors(&files, &tensors), &["is there twice"]);
    }
}

#[test]
fn broken_directories_are_refused() {
    let config = llama(false);
    let files = exported(&config, &config.layout().expect("valid").initial(5));
    let good = sharded(&files, &raw(&files));
    let without = |name: &str| {
        let mut files = good.clone();
        files.0.remove(name);
        files
    };
    refused(&Files::default(), &["`config.json` is absent"]);
    refused(&without("model-00002-of-00002.safetensors"), &["model-00002-of-00002.safetensors", "absent"]);
    refused(&without(INDEX_FILE), &["`model.safetensors` is absent"]);
    let with = |name: &str, bytes: &[u8]| {
        let mut files = good.clone();
        files.0.insert(name.into(), bytes.to_vec());
        files
    };
    refused(&with("config.json", b"{"), &["`config.json` could not be read"]);
    refused(&with("config.json", br#"{"model_type": "bert"}"#), &["`bert`", "expected one of gpt2, llama"]);
    refused(&with(INDEX_FILE, b"[]"), &[INDEX_FILE]);
    refused(&with(INDEX_FILE, br#"{"weight_map": {}}"#), &[INDEX_FILE, "expected 1 to"]);
    for file in ["../x.safetensors", "", ".hidden", "a/b"] {
        let index = serde_json::json!({"weight_map": {"lm_head.weight": file}});
        refused(&with(INDEX_FILE, index.to_string().as_bytes()), &["lm_head.weight", "beside the index"]);
    }
    refused(&with("model-00001-of-00002.safetensors", b"12345678"), &["`model-00001", "no file of tensors"]);
    // The index has a tensor in the file where it is not.
    let swapped = String::from_utf8(good.0[INDEX_FILE].clone()).expect("text");
    let swapped = swapped.replace("-00001-of", "-x-of").replace("-00002-of", "-00001-of");
    let swapped = swapped.replace("-x-of", "-00002-of");
    refused(&with(INDEX_FILE, swapped.as_bytes()), &["is not in `model-0000", INDEX_FILE]);
    // What a configuration claims is not believed: two terabytes are not asked for on its word.
    let mut vast: serde_json::Value = serde_json::from_slice(&files.0["config.json"]).expect("JSON");
    for key in ["hidden_size", "head_dim"] {
        vast[key] = (vast[key].as_u64().expect("a size") * 1000).into();
    }
    vast["vocab_size"] = (1 << 24).into();
    let mut small = files.clone();
    small.0.insert("config.json".into(), vast.to_string().into_bytes());
    refused(&small, &["has shape", "16777216"]);
    // Every beginning of a file of tensors is refused and never panics.
    let whole = &files.0["model.safetensors"];
    for end in (0..whole.len()).step_by(97) {
        let mut files = files.clone();
        files.0.insert("model.safetensors".into(), whole[..end].to_vec());
        load_model(&files).expect_err("it is cut");
    }
}

#[test]
fn a_shorter_context_leaves_the_last_positions_out() {
    let short = |config: &ModelConfig| ModelConfig { context: 5, dropout: 0.0, ..config.clone() };
    let weights = |config: &ModelConfig| config.layout().expect("valid").initial(5);
    let load = |config: &ModelConfig| load_model(&exported(config, &weights(config))).expect("loads");
    let cropped = with_context(load(&gpt()), &short(&gpt())).expect("fits");
    let (before, after) = (gpt().layout().expect("valid"), short(&gpt()).layout().expect("valid"));
    assert_eq!(cropped.len(), after.total());
    for (before, after) in before.iter().zip(&after) {
        let whole = weights(&gpt());
        assert_eq!(cropped[after.span()], whole[before.span()][..after.len()], "{}", after.name);
    }
    let llama = llama(false);
    assert_eq!(with_context(load(&llama), &short(&llama)).expect("fits"), weights(&llama));
    let longer = ModelConfig { context: 13, ..gpt() };
    let error = with_context(load(&gpt()), &longer).expect_err("no such positions").to_string();
    assert!(error.contains("transformer.wpe.weight") && error.contains("[13, 16]"), "{error}");
}

#[test]
fn training_goes_on_from_the_weights() {
    let config = llama(false);
    let options = TrainOptions {
        model: config.clone(),
        objective: "causal_lm".into(),
        steps: 2,
        global_batch: 2,
        micro_batch: 2,
        order: OrderKind::Packed,
        optimizer: OptimizerOptions::default(),
        schedule: ScheduleOptions::default(),
        gradient_clip: 1.0,
        validation: ValidationOptions::default(),
        checkpoint: CheckpointOptions::default(),
        policy: PolicyOptions::default(),
        seed: 7,
    };
    let tokens: Vec<u32> = (0..200).map(|i| i * i % 40).collect();
    let data = Data { train: Arc::new(MemoryTokens::new([tokens.as_slice()])), validation: None };
    let begin = |beginning| {
        let group = Box::new(LocalCollective::group(1).remove(0));
        Trainer::new(&options, data.clone(), group, Device::Cpu, beginning)
    };
    let weights = config.layout().expect("valid").initial(99);
    let trainer = begin(Beginning::Weights(weights.clone())).expect("they fit");
    assert_eq!(trainer.weights(), weights);
    assert_ne!(begin(Beginning::Seed).expect("valid").weights(), weights);
    let error = begin(Beginning::Weights(vec![0.0; 7])).err().expect("too few").to_string();
    assert!(error.contains("weights") && error.contains('7'), "{error}");
}
