//! Models beside the first family: a Llama from text to `from_pretrained`, training that goes on from a model that there
//! is, and models judged by texts.

use serde_json::Value;

use crate::support::{Ran, Scene, corpus};

/// A job that trains `model` on the corpus of [`scene`].
fn job(tokenize: &str, train: &str) -> String {
    format!(
        "
target_bytes: 64 KiB
pipeline:
  - read: {{paths: [\"corpus/*\"]}}
  - clean: {{}}
  - tokenize: {tokenize}
  - train:
      {train}
      global_batch: 8
      micro_batch: 4
      world_size: 1
      optimizer: {{learning_rate: 1.0e-2}}
      validation: {{every: 1000, fraction: 0.05, sequences: 8}}
  - export: {{}}
"
    )
}

const OWN: &str = "{train: {model: bpe, vocab_size: 400}}";
const LLAMA: &str =
    "model: {family: llama, layers: 2, heads: 4, kv_heads: 2, width: 32, context: 24}\n      steps: 40";

fn scene() -> Scene {
    let scene = Scene::new();
    for (name, seed) in [("a", 81), ("b", 82)] {
        scene.write(&format!("corpus/{name}.jsonl"), corpus::jsonl(&corpus::pages(seed, 60)));
    }
    scene
}

fn evaluate(scene: &Scene, model: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["evaluate", "--model", model];
    arguments.extend(more);
    scene.run(&arguments)
}

#[test]
fn a_llama_is_trained_exported_and_gone_on_from() {
    let scene = scene();
    scene.job("llama", &job(OWN, LLAMA));
    let first = scene.complete("llama", 2);
    first.check();
    let config = first.json("model/config.json");
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert_eq!((&config["num_key_value_heads"], &config["intermediate_size"]), (&2.into(), &128.into()));
    assert!(first.text("job.yaml").contains("inner_width: 128"), "every default is written");
    assert!(first.text("model/MODEL_CARD.md").contains("`llama`"));
    let generate = ["generate", "--model", "llama/model", "--prompt", "The work", "--max-tokens", "8"];
    assert!(!scene.run(&generate).ended(0).stdout.is_empty());

    // Two more steps, by two ranks.
    let from = "from: llama/model\n      steps: 2";
    let more = job("{tokenizer: llama/model}", from).replace("world_size: 1", "world_size: 2");
    scene.job("more", &more);
    let second = scene.complete("more", 2);
    second.check();
    let (before, after) = (first.losses(), second.losses());
    assert!(before[39].1 < before[0].1 - 0.5, "it learned: {before:?}");
    assert!(
        (after[0].1 - before[39].1).abs() < 0.4,
        "and goes on from there: {after:?} after {:?}",
        before[39]
    );
    let yaml = second.text("job.yaml");
    // A corpus may have fewer pairs to join than its tokenizer may have entries.
    let vocabulary = format!("vocabulary: {}", config["vocab_size"]);
    for written in ["family: llama", "kv_heads: 2", &vocabulary, "context: 24", "tie_embeddings: false"] {
        assert!(yaml.contains(written), "`{written}` in:\n{yaml}");
    }
    assert_eq!(second.json("model/config.json"), config);
    scene.run(&["run", "more.yaml"]).ended(0);

    // Another model in its place is another job.
    let weights = scene.path("llama/model/model.safetensors");
    let bytes = std::fs::read(&weights).expect("the weights");
    std::fs::write(&weights, &bytes).expect("written anew");
    let refused = scene.run(&["run", "more.yaml"]).ended(2);
    assert!(refused.stderr.contains("model.safetensors` (`from`) changed"), "{}", refused.stderr);
}

#[test]
fn a_model_to_go_on_from_must_be_there_and_agree() {
    let scene = scene();
    scene.job("llama", &job(OWN, &LLAMA.replace("steps: 40", "steps: 1")));
    scene.complete("llama", 2);
    let validate = |train: &str| {
        scene.job("more", &job("{tokenizer: llama/model}", train));
        scene.run(&["validate", "more.yaml"])
    };
    validate("from: llama/model\n      tokens: 4000").ended(0);
    let model = "{family: llama, layers: 2, heads: 4, kv_heads: 2, width: 32, context: 8, dropout: 0.1}";
    validate(&format!("from: llama/model\n      model: {model}\n      steps: 1")).ended(0);
    for (train, expected) in [
        ("from: nowhere\n      steps: 1".to_owned(), "pipeline[3].train.from"),
        ("from: corpus\n      steps: 1".to_owned(), "config.json"),
        (
            format!(
                "from: llama/model\n      steps: 1\n      model: {}",
                model.replace("layers: 2", "layers: 3")
            ),
            "pipeline[3].train.model.layers: expected 2, as in `from`, found 3",
        ),
        (
            format!(
                "from: llama/model\n      steps: 1\n      model: {}",
                model.replace("context: 8", "context: 48")
            ),
            "pipeline[3].train.model.context: expected at most 24",
        ),
        (
            "from: llama/model\n      tokens: 99999999999999999".to_owned(),
            "expected at most 4294967296 steps",
        ),
    ] {
        let refused = validate(&train).ended(2);
        assert!(refused.stderr.contains(expected), "{train}: {}", refused.stderr);
    }
    // Weights that are cut short are found by the rank that reads them, at once and for good.
    let weights = scene.path("llama/model/model.safetensors");
    let bytes = std::fs::read(&weights).expect("the weights");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("cut");
    scene.job("more", &job("{tokenizer: llama/model}", "from: llama/model\n      steps: 1"));
    let failed = scene.run(&["run", "more.yaml"]).ended(1);
    assert!(failed.stderr.contains("`model.safetensors` is no file of tensors"), "{}", failed.stderr);
    let judged = evaluate(&scene, "llama/model", &["--data", "corpus/a.jsonl"]).ended(2);
    assert!(judged.stderr.contains("`model.safetensors` is no file of tensors"), "{}", judged.stderr);
}

#[test]
fn a_model_is_judged_by_texts_of_several_sources() {
    let scene = scene();
    scene.job("gpt", &job(OWN, "model: {layers: 1, heads: 2, width: 32, context: 24}\n      steps: 60"));
    scene.complete("gpt", 2);
    let foreign = "Über den Wolken weht der Wind, und niemand fragt, woher er kommt.\n".repeat(20);
    scene.write("foreign.txt", &foreign);
    let files = ["--data", "corpus/a.jsonl", "foreign.txt"];
    let shown = evaluate(&scene, "gpt/model", &files).ended(0).stdout;
    for word in ["perplexity", "bits per byte", "corpus/a.jsonl", "foreign.txt", "all"] {
        assert!(shown.contains(word), "`{word}` in:\n{shown}");
    }
    let judge = |more: &[&str]| {
        let mut arguments = files.to_vec();
        arguments.extend(["--output", "json"]);
        arguments.extend(more);
        evaluate(&scene, "gpt/model", &arguments).ended(0).json()
    };
    let found = judge(&[]);
    assert_eq!((&found["context"], &found["stride"]), (&24.into(), &24.into()));
    let sources = found["sources"].as_array().expect("a list");
    let figure =
        |value: &Value, key: &str| value[key].as_f64().unwrap_or_else(|| panic!("`{key}` in {value}"));
    assert_eq!(figure(&sources[0], "documents") as u64, 60);
    assert_eq!(figure(&sources[1], "bytes") as usize, foreign.len());
    for value in sources.iter().chain([&found["total"]]) {
        let loss = figure(value, "loss");
        assert!((figure(value, "perplexity") / loss.exp() - 1.0).abs() < 1e-9);
        let bits = loss * figure(value, "tokens") / std::f64::consts::LN_2 / figure(value, "bytes");
        assert!((figure(value, "bits_per_byte") / bits - 1.0).abs() < 1e-9);
    }
    let sum: f64 = sources.iter().map(|source| figure(source, "tokens")).sum();
    assert!((figure(&found["total"], "tokens") - sum).abs() < 0.5);
    let bits = |at: usize| figure(&sources[at], "bits_per_byte");
    assert!(bits(0) < bits(1) - 0.5, "what it learned from is easier: {} and {}", bits(0), bits(1));
    let closer = judge(&["--stride", "4"]);
    let (near, far) = (figure(&closer["total"], "loss"), figure(&found["total"], "loss"));
    assert!((near - far).abs() > 1e-6 && near < far + 0.05, "more text before each token: {near}, {far}");
    assert_eq!(figure(&judge(&["--limit", "3"])["sources"][0], "documents") as u64, 3);
    scene.write("page.html", "<p>Text</p>");
    scene.write("empty.jsonl", "\n");
    for (arguments, expected) in [
        (&["--data", "page.html"][..], "holds HTML"),
        (&["--data", "notes.xyz"], "the format of `notes.xyz` is not known"),
        (&["--data", "absent.jsonl"], "absent.jsonl"),
        (&["--data", "empty.jsonl"], "hold no token"),
        (&["--data", "foreign.txt", "--stride", "25"], "stride"),
        (&["--data", "foreign.txt", "--context", "25"], "expected 1 to 24"),
        (&["--data", "foreign.txt", "--context", "0"], "expected 1 to 24"),
    ] {
        let refused = evaluate(&scene, "gpt/model", arguments).ended(2);
        assert!(refused.stderr.contains(expected), "{arguments:?}: {}", refused.stderr);
    }
}
