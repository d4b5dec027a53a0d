//! The GPT family against a plain implementation in f64, finite differences, and the keys of the public library.

mod support;

use orchestrator_model::generate::{GenerateOptions, Strategy, best_beams, generate};
use orchestrator_model::{Device, ModelConfig, Tokens, open};

fn config() -> ModelConfig {
    ModelConfig {
        family: "gpt".into(),
        vocabulary: 37,
        layers: 2,
        heads: 3,
        width: 12,
        context: 20,
        dropout: 0.0,
        llama: None,
    }
}

/// Weights far enough from zero that every part of the network matters.
fn weights(config: &ModelConfig) -> Vec<f32> {
    let layout = config.layout().expect("valid");
    let noise = orchestrator_model::random::key(&[5]);
    let draw = |i: usize| orchestrator_model::random::normal(noise, i as u64) as f32;
    layout.initial(1).iter().enumerate().map(|(i, w)| w + 0.15 * draw(i)).collect()
}

/// GPT-2 as its paper describes it, one position at a time, in f64.
struct Reference<'a> {
    config: &'a ModelConfig,
    weights: &'a [f32],
}

impl Reference<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        let layout = self.config.layout().expect("valid");
        let parameter = layout.iter().find(|p| p.name == name).expect("a parameter of the layout").clone();
        self.weights[parameter.span()].iter().map(|w| f64::from(*w)).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        (0..x.len()).map(|i| (x[i] - mean) / (variance + 1e-5).sqrt() * weight[i] + bias[i]).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let out = bias.len();
        (0..out).map(|o| bias[o] + (0..x.len()).map(|i| x[i] * weight[i * out + o]).sum::<f64>()).collect()
    }

    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let width = self.config.width;
        let (table, places) = (self.get("transformer.wte.weight"), self.get("transformer.wpe.weight"));
        let row = |table: &[f64], i: usize| table[i * width..(i + 1) * width].to_vec();
        let add = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let mut x: Vec<Vec<f64>> = tokens
            .iter()
            .enumerate()
            .map(|(place, token)| add(&row(&table, *token as usize), &row(&places, place)))
            .collect();
        for layer in 0..self.config.layers {
            let name = |part: &str| format!("transformer.h.{layer}.{part}");
            let qkv: Vec<Vec<f64>> =
                x.iter().map(|x| self.linear(&name("attn.c_attn"), &self.norm(&name("ln_1"), x))).collect();
            for (place, x) in x.iter_mut().enumerate() {
                let attended = self.attend(&qkv, place);
                *x = add(x, &self.linear(&name("attn.c_proj"), &attended));
                let inner = self.linear(&name("mlp.c_fc"), &self.norm(&name("ln_2"), x));
                let gelu = |v: &f64| {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v.powi(3));
                    0.5 * v * (1.0 + u.tanh())
                };
                let inner: Vec<f64> = inner.iter().map(gelu).collect();
                *x = add(x, &self.linear(&name("mlp.c_proj"), &inner));
            }
        }
        let finished = x.iter().map(|x| self.norm("transformer.ln_f", x));
        let vocabulary = 0..self.config.vocabulary;
        finished
            .flat_map(|x| {
                let dot = |id: usize| row(&table, id).iter().zip(&x).map(|(a, b)| a * b).sum::<f64>();
                vocabulary.clone().map(dot).collect::<Vec<f64>>()
            })
            .collect()
    }

    fn attend(&self, qkv: &[Vec<f64>], place: usize) -> Vec<f64> {
        let (width, size) = (self.config.width, self.config.width / self.config.heads);
        let mut output = vec![0.0; width];
        for head in 0..self.config.heads {
            let part = |place: usize, which: usize| &qkv[place][which * width + head * size..][..size];
            let scores: Vec<f64> = (0..=place)
                .map(|key| part(place, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum::<f64>())
                .map(|score| (score / (size as f64).sqrt()).exp())
                .collect();
            let total: f64 = scores.iter().sum();
            for (key, score) in scores.iter().enumerate() {
                for (output, value) in output[head * size..].iter_mut().zip(part(key, 2)) {
                    *output += score / total * value;
                }
            }
        }
        output
    }
}

#[test]
fn logits_equal_an_independent_computation() {
    let config = config();
    let weights = weights(&config);
    let tokens: Vec<u32> = (0..20).map(|i| (i * 11 % 37) as u32).collect();
    let mut engine = open(&config, &weights, Device::Cpu).expect("opens");
    let input = Tokens::new(&tokens, 20, 37).expect("valid");
    let ours = engine.logits(&input).expect("runs");
    let exact = Reference { config: &config, weights: &weights }.logits(&tokens);
    assert_eq!(ours.len(), exact.len());
    for (ours, exact) in ours.iter().zip(&exact) {
        assert!((f64::from(*ours) - exact).abs() < 1e-4 * exact.abs().max(1.0), "{ours}, expected {exact}");
    }
    let last = engine.last_logits(&input).expect("runs");
    for (a, b) in last.iter().zip(&ours[19 * 37..]) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn gradients_follow_finite_differences() {
    for dropout in [0.0, 0.25] {
        let config = ModelConfig { dropout, ..config() };
        support::gradients_follow_finite_differences(&config, &weights(&config));
    }
}

#[test]
fn keys_and_shapes_are_those_of_the_public_library() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/golden/hf-keys-transformers-5.23.txt");
    let Ok(golden) = std::fs::read_to_string(path) else {
        eprintln!("skipped: ../shared is absent");
        return;
    };
    let mut expected: Vec<String> = golden
        .lines()
        .skip_while(|line| !line.starts_with("===== gpt2"))
        .skip(1)
        .take_while(|line| !line.starts_with("=====") && !line.contains("NOT saved"))
        .filter(|line| line.trim_start().starts_with("transformer."))
        .map(|line| line.trim().replace(",)", ")"))
        .collect();
    let golden = ModelConfig { vocabulary: 64, layers: 1, heads: 2, width: 8, context: 16, ..config() };
    let mut ours: Vec<String> = golden
        .layout()
        .expect("valid")
        .iter()
        .map(|p| {
            let sizes: Vec<String> = p.shape.iter().map(ToString::to_string).collect();
            format!("{} ({})", p.name, sizes.join(", "))
        })
        .collect();
    ours.sort();
    expected.sort();
    assert_eq!(ours, expected);
}

#[test]
fn generation_is_seeded_and_beams_beat_greed() {
    let config = config();
    let weights = weights(&config);
    let mut engine = open(&config, &weights, Device::Cpu).expect("opens");
    let mut run = |strategy: Strategy| {
        let options = GenerateOptions { max_tokens: 25, end_of_text: None, strategy };
        generate(&mut *engine, &config, &[1, 2, 3], &options, &mut |_| true).expect("runs")
    };
    let greedy = run(Strategy::Greedy);
    assert_eq!(greedy.len(), 25, "longer than the context is fine");
    let sample = |seed| Strategy::Sample { temperature: 1.0, top_k: 0, top_p: 1.0, seed };
    assert_eq!(run(sample(1)), run(sample(1)));
    assert_ne!(run(sample(1)), run(sample(2)));
    assert_eq!(run(Strategy::Beam { beams: 1, length_penalty: 1.0 }), greedy);
    // Over one step beams rank all tokens; over several they must find what is at least as likely as the greedy text.
    let mut judge = open(&config, &weights, Device::Cpu).expect("opens");
    let mut score = |tokens: &[u32]| {
        let mut text = vec![1, 2, 3];
        let mut sum = 0.0;
        for &token in tokens {
            let recent = &text[text.len().saturating_sub(config.context)..];
            let tokens = Tokens::new(recent, recent.len(), config.vocabulary).expect("fits");
            let logits = judge.last_logits(&tokens).expect("runs");
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum += f64::from(logits[token as usize]) - total.ln();
            text.push(token);
        }
        sum
    };
    let search = |beams| GenerateOptions {
        max_tokens: 6,
        end_of_text: None,
        strategy: Strategy::Beam { beams, length_penalty: 1.0 },
    };
    let greedy = score(&greedy[..6]);
    let mut engine = open(&config, &weights, Device::Cpu).expect("opens");
    let best = best_beams(&mut *engine, &config, &[1, 2, 3], &search(8)).expect("runs");
    assert_eq!(best.len(), 8);
    let distinct: std::collections::BTreeSet<_> = best.iter().collect();
    assert_eq!(distinct.len(), 8, "no two alike: {best:?}");
    let scores: Vec<f64> = best.iter().map(|tokens| score(tokens)).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1] - 1e-4), "best first: {scores:?}");
    assert!(scores[0] >= greedy - 1e-4, "{} is not below the greedy {greedy}", scores[0]);
    let first = generate(&mut *engine, &config, &[1, 2, 3], &search(8), &mut |_| true).expect("runs");
    assert_eq!(first, best[0]);
}
