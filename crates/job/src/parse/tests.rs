use super::*;
use crate::spec::Stage;

const GOOD: &str = r#"
name: tiny-gpt
output: ./runs/tiny-gpt
pipeline:
  - read:     {paths: ["corpus/**/*.warc.gz"]}
  - clean:
  - language: {keep: [en, no], model: lid.176.ftz}
  - dedup:    {}
  - pii
  - tokenize: {train: {model: bpe, vocab_size: 8192}}
  - train:
      model: {family: gpt, layers: 6, heads: 6, width: 384, context: 256}
      steps: 2000
      world_size: 2
      optimizer: {learning_rate: 6e-4}
  - export: {format: huggingface}
"#;

#[test]
fn a_good_job_is_read() {
    let job = parse(GOOD, "job.yaml").map_err(|error| error.to_string()).expect("a good job").job;
    assert_eq!(job.seed, 1337);
    let names: Vec<&str> = job.pipeline.iter().map(Stage::name).collect();
    assert_eq!(names, ["read", "clean", "language", "dedup", "pii", "tokenize", "train", "export"]);
    let (index, train) = job.train().expect("a train stage");
    assert_eq!((index, train.micro_batch(), train.micro_batches()), (6, 8, 4));
}

#[test]
fn a_llama_and_a_model_to_go_on_from_are_read() {
    let pipeline = |train: &str| {
        let text = format!(
            "name: x\noutput: /out\npipeline:\n  - read: {{paths: [/a.md]}}\n  - tokenize: {{tokenizer: /t.json}}\n  - train: {train}\n"
        );
        let file = parse(&text, "job.yaml").unwrap_or_else(|error| panic!("{error}"));
        let job = file.resolve(&crate::Surroundings { directory: "/work".into(), ..Default::default() });
        job.unwrap_or_else(|error| panic!("{error}"))
    };
    let job = pipeline(
        "{model: {family: llama, layers: 2, heads: 4, kv_heads: 2, width: 64, context: 32}, steps: 5}",
    );
    let model = job.train().and_then(|(_, train)| train.model.clone()).expect("a model");
    assert_eq!((model.kv_heads, model.inner_width, model.is_tied()), (Some(2), Some(192), false));
    let again = parse(&job.to_yaml().expect("plain data"), "job.yaml").expect("its own text").job;
    assert_eq!(again, job);
    let job = pipeline("{from: ../model, tokens: 1000000000000000}");
    let (index, train) = job.train().expect("a train stage");
    assert_eq!((train.from.as_deref(), train.total_steps()), (Some("/model"), None));
    assert_eq!(job.stage_files()[1], (index, "from".to_owned(), "/model".to_owned()));
}

/// The message for a job whose pipeline and top-level keys are these lines.
fn error(text: &str) -> String {
    parse(text, "job.yaml").expect_err("a bad job").to_string()
}

fn with_pipeline(pipeline: &str) -> String {
    error(&format!("name: x\noutput: out\npipeline:\n{pipeline}"))
}

macro_rules! bad_jobs {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!($text);
        }
    )*};
}

bad_jobs! {
    an_empty_file: error("");
    no_mapping_at_all: error("- read\n- clean\n");
    broken_yaml: error("name: x\noutput: [out\npipeline: []\n");
    a_key_twice: error("name: x\nname: y\noutput: out\npipeline: []\n");
    a_key_twice_in_a_stage: with_pipeline("  - read: {paths: [a.md]}\n  - dedup:\n      method: exact\n      method: minhash\n");
    nested_too_deep: error(&format!("name: {}{}\n", "[".repeat(40), "]".repeat(40)));
    a_merge_key: with_pipeline("  - read: &r {paths: [a.md]}\n  - clean: {<<: *r}\n");
    no_finite_number: with_pipeline("  - read: {paths: [a.md]}\n  - language: {threshold: .inf}\n");
    options_that_are_not_there: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json, keep: true}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8}\n      steps: 5\n      device: cuda\n      precision: bf16\n"
    );
    not_deterministic: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8}\n      steps: 5\n      deterministic: false\n"
    );
    more_steps_than_can_be: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8}\n      steps: 99999999999\n"
    );
    two_documents: error("name: x\n---\nname: y\n");
    all_required_keys_missing: error("seed: 1\n");
    a_misspelt_top_key: error("name: x\noutptu: out\npipeline: []\n");
    an_empty_pipeline: error("name: x\noutput: out\npipeline: []\n");
    a_bad_name: error("name: ../x\noutput: out\npipeline:\n  - read: {paths: [a.md]}\n");
    a_number_for_a_string: error("name: 7\noutput: out\npipeline:\n  - read: {paths: [a.md]}\n");
    a_negative_seed: error("name: x\noutput: out\nseed: -1\npipeline:\n  - read: {paths: [a.md]}\n");
    a_size_that_is_none: error("name: x\noutput: out\ntarget_bytes: 64 parsec\npipeline:\n  - read: {paths: [a.md]}\n");
    a_fraction_above_one: error("name: x\noutput: out\nmax_malformed: 1.5\npipeline:\n  - read: {paths: [a.md]}\n");
    an_unknown_stage: with_pipeline("  - raed: {paths: [a.md]}\n");
    a_misspelt_key_of_a_stage: with_pipeline("  - read:\n      paths: [a.md]\n      fromat: jsonl\n");
    a_misspelt_value: with_pipeline("  - read: {paths: [a.md], format: jsno}\n");
    a_string_for_a_list: with_pipeline("  - read: {paths: corpus/*.md}\n");
    a_forgotten_dash: with_pipeline("  - read: {paths: [a.md]}\n    clean: {}\n");
    nothing_to_read: with_pipeline("  - read: {}\n");
    run_without_stage: with_pipeline("  - read:\n      run: ./runs/x\n");
    read_is_not_first: with_pipeline("  - clean: {}\n  - read: {paths: [a.md]}\n");
    a_second_read: with_pipeline("  - read: {paths: [a.md]}\n  - read: {paths: [b.md]}\n");
    pii_after_tokenize:
        with_pipeline("  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - pii: {}\n");
    train_without_tokens: with_pipeline(
        "  - read: {paths: [a.md]}\n  - train: {model: {layers: 1, heads: 1, width: 8, context: 8}, steps: 1}\n"
    );
    export_without_a_model: with_pipeline("  - read: {paths: [a.md]}\n  - export: {}\n");
    a_missing_key_of_a_stage: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, context: 8}\n      steps: 5\n"
    );
    too_many_ranks: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8}\n      steps: 5\n      global_batch: 8\n      micro_batch: 4\n      world_size: 4\n"
    );
    heads_that_do_not_divide: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 3, width: 8, context: 8}\n      steps: 5\n"
    );
    mistakes_of_one_stage_do_not_hide_each_other: with_pipeline(
        "  - read:\n      paths: [a.md]\n      run: ./runs/x\n  - language: {keep: [en, english]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 3, width: 8, context: 8}\n      steps: 5\n      tokens: 5\n      precision: bf16\n      deterministic: false\n"
    );
    a_language_that_nothing_detects: with_pipeline("  - read: {paths: [a.md]}\n  - language: {keep: [en, xx]}\n  - pii: {languages: [xx]}\n");
    an_option_of_another_family: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8, kv_heads: 1}\n      steps: 5\n"
    );
    heads_that_cannot_be_shared: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {family: llama, layers: 1, heads: 4, width: 8, context: 8, kv_heads: 3}\n      steps: 5\n"
    );
    heads_that_cannot_be_turned: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {family: llama, layers: 1, heads: 8, width: 8, context: 8}\n      steps: 5\n"
    );
    a_stretching_that_is_none: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {family: llama, layers: 1, heads: 2, width: 8, context: 8, rope_scaling: {factor: 8, low_freq_factor: 4, high_freq_factor: 1, original_context: 4}}\n      steps: 5\n"
    );
    neither_a_model_nor_one_to_go_on_from:
        with_pipeline("  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train: {steps: 5}\n");
    a_language_that_is_none: with_pipeline("  - read: {paths: [a.md]}\n  - pii: {languages: [en, English]}\n");
    three_betas: with_pipeline(
        "  - read: {paths: [a.md]}\n  - tokenize: {tokenizer: t.json}\n  - train:\n      model: {layers: 1, heads: 1, width: 8, context: 8}\n      steps: 5\n      optimizer: {betas: [0.9]}\n"
    );
    many_mistakes_at_once: error(
        "name: x\nseeed: 1\nmax_attempts: four\npipeline:\n  - read: {paths: [a.md], formt: jsonl}\n  - claen: {}\n  - tokenize: {tokenizer: 5}\n"
    );
    an_alias_bomb: error(
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\nname: [*d,*d]\n"
    );
}

#[test]
fn values_that_cannot_be_are_named_with_their_key() {
    let empty = "is empty: expected at least one, or no such key";
    for (stage, key, expected) in [
        ("filter: {rules: []}", "filter.rules", empty),
        ("pii: {kinds: []}", "pii.kinds", empty),
        ("clean: {languages: []}", "clean.languages", empty),
        ("language: {languages: []}", "language.languages", empty),
        ("dedup: {languages: []}", "dedup.languages", empty),
        (
            "quality: {model: q.bin, keep_fraction: 0}",
            "quality.keep_fraction",
            "expected more than 0, up to 1",
        ),
        (
            "filter: {gopher_quality: {gopher_short_doc: 500, gopher_long_doc: 10}}",
            "filter.gopher_quality.gopher_long_doc",
            "is 10; expected 500 or more",
        ),
        (
            "filter: {gopher_quality: {gopher_below_alpha_threshold: 2}}",
            "filter.gopher_quality.gopher_below_alpha_threshold",
            "is 2; expected 0 to 1",
        ),
        (
            "filter: {gopher_repetition: {dup_line_frac: 7}}",
            "filter.gopher_repetition.dup_line_frac",
            "is 7; expected 0 to 1",
        ),
    ] {
        let error = with_pipeline(&format!("  - read: {{paths: [a.md]}}\n  - {stage}\n"));
        assert!(error.contains(&format!("pipeline[1].{key}: ")) && error.contains(expected), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    assert_eq!(decode("é\n".into(), "job.yaml").expect("text"), "é\n");
    let error = decode(b"name: x\nout: \xc3\xa9\xff\n".to_vec(), "job.yaml").expect_err("no text");
    let problem = &error.problems[0];
    assert_eq!((problem.at.line, problem.at.column), (2, 7));
    assert!(problem.message.contains("0xff"), "{error}");
}

#[test]
fn deep_nesting_and_length_are_bounded() {
    let deep = format!("name: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(error(&deep).contains("nested too deep"), "{}", error(&deep));
    let long = format!("name: x\n# {}\n", "x".repeat(MOST_BYTES));
    assert!(error(&long).contains("expected at most"));
}

#[test]
fn numbers_without_end_are_named_with_their_keys() {
    let said = with_pipeline(
        "  - read: {paths: [a.md]}\n  - language: {threshold: .nan}\n  - clean: {min_characters: -.inf}\n",
    );
    for (path, found) in
        [("pipeline[1].language.threshold", ".nan"), ("pipeline[2].clean.min_characters", "-.inf")]
    {
        let wanted = format!("{path}: expected a finite number, found `{found}`");
        assert_eq!(said.matches(&wanted).count(), 1, "`{wanted}` in:\n{said}");
    }
    assert!(said.matches("expected").count() == 2, "each is told once:\n{said}");
    assert!(error(".nan").contains("expected a finite number"));
}

#[test]
fn every_prefix_of_a_job_is_refused_or_read() {
    for end in (0..GOOD.len()).filter(|&end| GOOD.is_char_boundary(end)) {
        if let Err(error) = parse(&GOOD[..end], "job.yaml") {
            assert!(!error.problems.is_empty());
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn every_example_is_a_good_job() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for entry in std::fs::read_dir(directory).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let job = parse(&text, &path.to_string_lossy()).unwrap_or_else(|error| panic!("{error}"));
        let surroundings = crate::Surroundings {
            directory: "/work".into(),
            variables: [("HOME".to_owned(), "/home/u".to_owned())].into(),
        };
        let resolved = job.resolve(&surroundings).unwrap_or_else(|error| panic!("{error}"));
        assert!(!crate::Plan::new(&resolved).phases.is_empty());
    }
}

#[test]
fn sizes_of_clusters_are_keys_that_are_numbers() {
    let text = |keys: &str| {
        format!(
            "name: x\noutput: /out\npipeline:\n  - read: {{paths: [/a.jsonl]}}\n  - dedup: {{keep_by_size: {{{keys}}}}}\n"
        )
    };
    let job = parse(&text("1: 1, 3: 2, 1000: 1"), "job.yaml").expect("good").job;
    let Some(crate::spec::Stage::Dedup(config)) = job.pipeline.get(1) else { panic!("no dedup stage") };
    assert_eq!(config.keep_by_size, [(1, 1), (3, 2), (1000, 1)].into());
    let again = parse(&job.to_yaml().expect("plain data"), "job.yaml").expect("its own text").job;
    assert_eq!(again, job);
    let error = parse(&text("many: 1"), "job.yaml").expect_err("no number").to_string();
    assert!(error.contains("`many` is no size of a cluster"), "{error}");
}
