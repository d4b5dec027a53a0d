//! What a trained run leaves: samples of its model, the way back from its checkpoints, and the exported files as another
//! program reads them.

use std::collections::BTreeMap;

use orchestrator_model::{Device, Tokens, open};
use orchestrator_pipeline::training::StoredCheckpoint;
use orchestrator_storage::Store;
use orchestrator_train::import::load_model;
use serde_json::Value;

use crate::support::{Scene, corpus};

const JOB: &str = "
target_bytes: 64 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
  - train:
      model: {family: gpt, layers: 2, heads: 2, width: 16, context: 24}
      steps: 6
      global_batch: 4
      micro_batch: 2
      world_size: 1
      validation: {every: 3, fraction: 0.05, sequences: 4}
      checkpoint: {every: 3, keep_last: 2}
  - export: {}
";

fn trained() -> Scene {
    let scene = Scene::new();
    for (name, seed) in [("a", 81), ("b", 82)] {
        scene.write(&format!("corpus/{name}.jsonl"), corpus::jsonl(&corpus::pages(seed, 60)));
    }
    scene.job("model", JOB);
    scene.complete("model", 2).check();
    scene
}

/// The samples that `generate` gives as JSON.
#[track_caller]
fn generate(scene: &Scene, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "generate",
        "--model",
        "model/model",
        "--prompt",
        "The work",
        "--output",
        "json",
        "--max-tokens",
        "16",
    ];
    arguments.extend(more);
    let samples = scene.run(&arguments).ended(0).json()["samples"].clone();
    serde_json::from_value(samples).expect("a list of texts")
}

#[test]
fn generation_is_greedy_drawn_or_searched_as_told() {
    let scene = trained();
    let greedy = generate(&scene, &["--temperature", "0"]);
    assert_eq!(greedy, generate(&scene, &["--temperature", "0", "--seed", "5"]), "no chance in it");
    assert!(!greedy[0].is_empty());
    let wild = |seed: &str, samples: &str| {
        generate(&scene, &["--temperature", "5", "--top-k", "0", "--seed", seed, "--samples", samples])
    };
    let three = wild("1", "3");
    assert_eq!(three, wild("1", "3"), "a seed says all");
    assert!(three[0] != three[1] && three[1] != three[2], "each sample has chance of its own: {three:?}");
    assert_ne!(wild("7", "1"), three[..1], "another seed, another text");
    let beams = generate(&scene, &["--beams", "4", "--samples", "4"]);
    assert_eq!(beams.len(), 4);
    assert!(beams.iter().any(|text| *text != beams[0]), "the best beams, not the best one again: {beams:?}");
    assert_eq!(generate(&scene, &["--beams", "4"]), beams[..1], "the best comes first");
    let refused =
        scene.run(&["generate", "--model", "model/model", "--prompt", "x", "--beams", "2", "--samples", "3"]);
    assert!(refused.ended(2).stderr.contains("at most as many as beams"));
    let absent = scene.run(&["generate", "--model", "nowhere", "--prompt", "x"]).ended(2);
    assert!(absent.stdout.is_empty() && !absent.stderr.is_empty());
}

#[test]
fn a_terminal_is_spared_what_a_model_writes() {
    let scene = trained();
    // So hot that every token is as likely as any other; some are control characters.
    let wild = ["--temperature", "1000", "--top-k", "0", "--samples", "12", "--max-tokens", "60"];
    let mut arguments = vec!["generate", "--model", "model/model", "--prompt", "a\u{1b}[31m"];
    arguments.extend(wild);
    let shown = scene.run(&arguments).ended(0).stdout;
    arguments.extend(["--output", "json"]);
    let samples: Vec<String> =
        serde_json::from_value(scene.run(&arguments).ended(0).json()["samples"].clone()).expect("texts");
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(samples.iter().any(|text| text.contains(odd)), "JSON has them: {samples:?}");
    assert!(!shown.contains(odd), "{shown:?}");
    let clean: Vec<String> = samples.iter().map(|text| format!("a [31m{}", text.replace(odd, " "))).collect();
    assert_eq!(shown.trim_end_matches('\n'), clean.join("\n———\n").trim_end_matches('\n'));
}

#[test]
fn a_checkpoint_leads_back_to_sources_and_documents() {
    let scene = trained();
    let seen = scene.run(&["inspect", "model/checkpoints/step-00000006", "--output", "json"]).ended(0).json();
    assert_eq!((&seen["step"], &seen["world_size"]), (&6.into(), &1.into()));
    let text = scene.run(&["inspect", "model/checkpoints/step-00000006"]).ended(0).stdout;
    assert!(text.contains("step 6") && text.contains("model.safetensors"), "{text}");
    let walk = |what: &str, limit: &str| {
        let arguments = ["trace", what, "--run", "model", "--limit", limit, "--output", "json"];
        scene.run(&arguments).ended(0).json()
    };
    let found = walk("step-00000006", "1000");
    assert_eq!(found, walk("step-6", "1000"), "the zeros may be left out");
    let sources = found["sources"].as_array().expect("a list");
    let mut names: Vec<&str> = sources.iter().filter_map(|source| source["source"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a.jsonl", "b.jsonl"]);
    let documents = found["documents"].as_u64().expect("a number");
    let sum: u64 = sources.iter().filter_map(|source| source["documents"].as_u64()).sum();
    assert_eq!((sum, found["without_source"].as_u64()), (documents, Some(0)));
    let first = found["first_documents"].as_array().expect("a list");
    assert_eq!(first.len() as u64, documents);
    let id = first[0]["id"].as_str().expect("an id");
    let there = scene.run(&["trace", id, "--run", "model", "--output", "json"]).ended(0).json();
    assert!(there["checkpoints"].to_string().contains("step-00000006"), "and back again: {there}");
    let short = walk("step-6", "2");
    assert_eq!(short["first_documents"].as_array().map(Vec::len), Some(2));
    let text = scene.run(&["trace", "step-6", "--run", "model"]).ended(0).stdout;
    assert!(text.contains("a.jsonl") && text.contains(id), "{text}");
    let absent = scene.run(&["trace", "step-7", "--run", "model"]).ended(2);
    assert!(absent.stderr.contains("step-00000006"), "those there are: {}", absent.stderr);
}

#[test]
fn a_shard_of_many_parts_leads_back_to_them_all() {
    let scene = Scene::new();
    for number in 0..5 {
        scene.write(&format!("corpus/{number}.jsonl"), corpus::jsonl(&corpus::pages(90 + number, 12)));
    }
    // Sixty documents in parts of a file each: so few that one task encodes all of them.
    scene.job("few", &JOB.replace("64 KiB", "1 KiB"));
    let output = scene.complete("few", 2);
    assert!(
        output.path("tokens/train-00000.bin").exists() && !output.path("tokens/train-00001.bin").exists()
    );
    let step =
        output.path("checkpoints").read_dir().expect("checkpoints").next().expect("one").expect("an entry");
    let step = step.file_name().into_string().expect("UTF-8");
    let found = scene.run(&["trace", &step, "--run", "few", "--output", "json"]).ended(0).json();
    assert_eq!(found["without_source"], 0, "{found}");
    assert_eq!(found["sources_total"], 5, "{found}");
}

#[test]
fn the_exported_model_is_gpt2_to_a_reader_of_its_own() {
    let scene = trained();
    let output = scene.output("model");
    let tokens: Vec<u32> = (0..24).map(|place| (place * 37 + 11) % 300).collect();
    let store = Store::open(scene.path("model/model").to_str().expect("UTF-8")).expect("a store");
    let model = load_model(&StoredCheckpoint::new(store, "")).expect("our own export");
    let mut engine = open(&model.config, &model.weights, Device::Cpu).expect("opens");
    let input = Tokens::new(&tokens, tokens.len(), model.config.vocabulary).expect("fits");
    let ours = engine.logits(&input).expect("runs");
    let file = std::fs::read(output.path("model/model.safetensors")).expect("the weights");
    let exact = Exported::read(&file, &output.json("model/config.json")).logits(&tokens);
    assert_eq!(ours.len(), exact.len());
    let spread = exact.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    assert!(spread > 0.1, "the logits say something: {spread}");
    for (place, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
        assert!((f64::from(*ours) - exact).abs() <= 1e-4, "{place}: {ours}, expected {exact}");
    }
}

#[test]
fn a_vocabulary_counts_its_special_tokens() {
    let scene = trained();
    let shown = |path: &str| scene.run(&["inspect", path, "--output", "json"]).ended(0).json();
    let model = shown("model/model");
    let entries = &model["tokenizer"]["entries"];
    assert_eq!(*entries, model["config"]["vocab_size"], "a row of the embedding for each: {model}");
    assert_eq!(*entries, shown("model/tokens/tokenizer.json")["entries"]);
}

#[test]
fn a_model_that_could_not_be_judged_is_told() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(83, 20)));
    // A handful of tokens, fewer than the context of 24.
    scene.job("unjudged", &JOB.replace("fraction: 0.05", "fraction: 0.0003"));
    let ran = scene.run(&["run", "unjudged.yaml"]).ended(0);
    assert!(ran.stdout.contains("validation loss  not measured: the held-out tokens"), "{}", ran.stdout);
    assert!(scene.output("unjudged").check().text("report.html").contains("not measured"));
}

#[test]
fn a_failed_gang_is_told_of_once() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(84, 20)));
    // No weight outlives such a step: the next loss is no number.
    let wild = "\n      optimizer: {learning_rate: 1.0e+30}\n      gradient_clip: 0\n      divergence: {not_finite: fail}";
    let job = JOB.replace("\n      validation", &format!("{wild}\n      validation"));
    scene.job("failing", &format!("max_attempts: 1\n{job}"));
    let ran = scene.run(&["run", "failing.yaml"]).ended(1);
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors.len() == 1 && ran.stderr.contains("diverged at step"), "{}", ran.stderr);
}

/// GPT-2 (Radford et al. 2019) in f64, from the files alone: the layout of safetensors (eight bytes of length, a JSON
/// header, raw tensors) and the names and options of Hugging Face's `GPT2LMHeadModel`.
struct Exported {
    tensors: BTreeMap<String, Vec<f64>>,
    layers: usize,
    heads: usize,
    width: usize,
    vocabulary: usize,
    epsilon: f64,
}

impl Exported {
    fn read(file: &[u8], config: &Value) -> Self {
        let (length, rest) = file.split_at(8);
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
        let header: BTreeMap<String, Value> = serde_json::from_slice(&rest[..length]).expect("a JSON header");
        let tensor = |entry: &Value| {
            assert_eq!(entry["dtype"], "F32");
            let at = |end: usize| entry["data_offsets"][end].as_u64().expect("an offset") as usize;
            let bytes = &rest[length..][at(0)..at(1)];
            let shape = entry["shape"].as_array().expect("a shape");
            let sizes: usize = shape.iter().map(|size| size.as_u64().expect("a size") as usize).product();
            assert_eq!(bytes.len(), sizes * 4);
            let number = |four: &[u8]| f64::from(f32::from_le_bytes(four.try_into().expect("four bytes")));
            bytes.chunks_exact(4).map(number).collect()
        };
        let named = header.iter().filter(|(name, _)| *name != "__metadata__");
        let number =
            |key: &str| config[key].as_u64().unwrap_or_else(|| panic!("`{key}` in {config}")) as usize;
        assert_eq!(config["model_type"], "gpt2");
        assert_eq!(config["activation_function"], "gelu_new");
        Self {
            tensors: named.map(|(name, entry)| (name.clone(), tensor(entry))).collect(),
            layers: number("n_layer"),
            heads: number("n_head"),
            width: number("n_embd"),
            vocabulary: number("vocab_size"),
            epsilon: config["layer_norm_epsilon"].as_f64().expect("a number"),
        }
    }

    fn get(&self, name: &str) -> &[f64] {
        self.tensors.get(name).unwrap_or_else(|| panic!("`{name}` among {:?}", self.tensors.keys()))
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = (variance + self.epsilon).sqrt();
        (0..x.len()).map(|i| (x[i] - mean) / scale * weight[i] + bias[i]).collect()
    }

    /// `Conv1D`: the weight is `[in, out]`.
    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.get(&format!("{name}.weight"));
        let mut out = self.get(&format!("{name}.bias")).to_vec();
        let columns = out.len();
        for (row, value) in x.iter().enumerate() {
            for (column, sum) in out.iter_mut().enumerate() {
                *sum += value * weight[row * columns + column];
            }
        }
        out
    }

    /// Causal attention of one position over the queries, keys and values of all before it.
    fn attend(&self, qkv: &[Vec<f64>], place: usize) -> Vec<f64> {
        let size = self.width / self.heads;
        let mut mixed = vec![0.0; self.width];
        for head in 0..self.heads {
            let part = |place: usize, which: usize| &qkv[place][which * self.width + head * size..][..size];
            let score = |key: usize| {
                let dot: f64 = part(place, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum();
                (dot / (size as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = (0..=place).map(score).collect();
            let total: f64 = scores.iter().sum();
            for (key, score) in scores.iter().enumerate() {
                for (sum, value) in mixed[head * size..].iter_mut().zip(part(key, 2)) {
                    *sum += score / total * value;
                }
            }
        }
        mixed
    }

    /// Logits of every position, `[time · vocabulary]`; the output matrix is the table of tokens.
    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let row = |name: &str, at: usize| self.get(name)[at * self.width..][..self.width].to_vec();
        let add = |a: &mut Vec<f64>, b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        let mut stream: Vec<Vec<f64>> = Vec::new();
        for (place, &token) in tokens.iter().enumerate() {
            let mut x = row("transformer.wte.weight", token as usize);
            add(&mut x, &row("transformer.wpe.weight", place));
            stream.push(x);
        }
        for layer in 0..self.layers {
            let name = |part: &str| format!("transformer.h.{layer}.{part}");
            let project = |x: &Vec<f64>| self.linear(&name("attn.c_attn"), &self.norm(&name("ln_1"), x));
            let qkv: Vec<_> = stream.iter().map(project).collect();
            for (place, x) in stream.iter_mut().enumerate() {
                add(x, &self.linear(&name("attn.c_proj"), &self.attend(&qkv, place)));
                let mut inner = self.linear(&name("mlp.c_fc"), &self.norm(&name("ln_2"), x));
                for v in &mut inner {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (*v + 0.044_715 * v.powi(3));
                    *v *= 0.5 * (1.0 + u.tanh());
                }
                add(x, &self.linear(&name("mlp.c_proj"), &inner));
            }
        }
        let mut logits = Vec::with_capacity(tokens.len() * self.vocabulary);
        for x in &stream {
            let last = self.norm("transformer.ln_f", x);
            for token in self.get("transformer.wte.weight").chunks_exact(self.width) {
                logits.push(token.iter().zip(&last).map(|(a, b)| a * b).sum());
            }
        }
        logits
    }
}
