//! The Llama family against a plain implementation in f64, finite differences, and the keys of the public library.

mod support;

use orchestrator_model::families::llama::{LlamaOptions, RopeScaling};
use orchestrator_model::generate::{GenerateOptions, Strategy, generate};
use orchestrator_model::{Device, ModelConfig, Tokens, open};

fn config() -> ModelConfig {
    ModelConfig {
        family: "llama".into(),
        vocabulary: 37,
        layers: 2,
        heads: 4,
        width: 24,
        context: 20,
        dropout: 0.0,
        llama: Some(options()),
    }
}

fn options() -> LlamaOptions {
    let rope_scaling =
        Some(RopeScaling { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 3.0, original_context: 40 });
    LlamaOptions { kv_heads: 2, inner: 20, tied: false, rope_theta: 100.0, rope_scaling, epsilon: 1e-5 }
}

/// Weights far enough from zero that every part of the network matters.
fn weights(config: &ModelConfig) -> Vec<f32> {
    let layout = config.layout().expect("valid");
    let noise = orchestrator_model::random::key(&[5]);
    let draw = |i: usize| orchestrator_model::random::normal(noise, i as u64) as f32;
    layout.initial(1).iter().enumerate().map(|(i, w)| w + 0.15 * draw(i)).collect()
}

/// Llama as its papers describe it, one position at a time, in f64.
struct Reference<'a> {
    config: &'a ModelConfig,
    options: &'a LlamaOptions,
    weights: &'a [f32],
}

impl Reference<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        let layout = self.config.layout().expect("valid");
        let parameter = layout.iter().find(|p| p.name == name).expect("a parameter of the layout").clone();
        self.weights[parameter.span()].iter().map(|w| f64::from(*w)).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.get(&format!("{name}.weight"));
        let square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        x.iter().zip(&weight).map(|(v, w)| v / (square + self.options.epsilon).sqrt() * w).collect()
    }

    /// `nn.Linear` without bias: the weight is `[out, in]`.
    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.get(&format!("{name}.weight"));
        weight.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, v)| w * v).sum()).collect()
    }

    /// Turns pairs (i, i + half) of each head; long waves are slowed as `RopeScaling` says.
    fn rotate(&self, x: &mut [f64], place: usize) {
        let size = self.config.width / self.config.heads;
        let scaling = self.options.rope_scaling.expect("scaled");
        for head in x.chunks_exact_mut(size) {
            for pair in 0..size / 2 {
                let mut frequency = 1.0 / self.options.rope_theta.powf(2.0 * pair as f64 / size as f64);
                let (wave, seen) = (std::f64::consts::TAU / frequency, scaling.original_context as f64);
                if wave > seen / scaling.low_freq_factor {
                    frequency /= scaling.factor;
                } else if wave > seen / scaling.high_freq_factor {
                    let smooth = (seen / wave - scaling.low_freq_factor)
                        / (scaling.high_freq_factor - scaling.low_freq_factor);
                    frequency = (1.0 - smooth) * frequency / scaling.factor + smooth * frequency;
                }
                let (sine, cosine) = (place as f64 * frequency).sin_cos();
                let (a, b) = (head[pair], head[pair + size / 2]);
                head[pair] = a * cosine - b * sine;
                head[pair + size / 2] = b * cosine + a * sine;
            }
        }
    }

    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let width = self.config.width;
        let table = self.get("model.embed_tokens.weight");
        let row = |i: usize| table[i * width..(i + 1) * width].to_vec();
        let add = |x: &mut [f64], y: &[f64]| x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        let mut stream: Vec<Vec<f64>> = tokens.iter().map(|token| row(*token as usize)).collect();
        for layer in 0..self.config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (place, x) in stream.iter().enumerate() {
                let normal = self.norm(&name("input_layernorm"), x);
                let mut query = self.linear(&name("self_attn.q_proj"), &normal);
                let mut key = self.linear(&name("self_attn.k_proj"), &normal);
                self.rotate(&mut query, place);
                self.rotate(&mut key, place);
                queries.push(query);
                keys.push(key);
                values.push(self.linear(&name("self_attn.v_proj"), &normal));
            }
            for (place, x) in stream.iter_mut().enumerate() {
                let attended = self.attend(&queries[place], &keys[..=place], &values[..=place]);
                add(x, &self.linear(&name("self_attn.o_proj"), &attended));
                let normal = self.norm(&name("post_attention_layernorm"), x);
                let gate = self.linear(&name("mlp.gate_proj"), &normal);
                let up = self.linear(&name("mlp.up_proj"), &normal);
                let inner: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &self.linear(&name("mlp.down_proj"), &inner));
            }
        }
        let head = if self.options.tied { "model.embed_tokens" } else { "lm_head" };
        stream.iter().flat_map(|x| self.linear(head, &self.norm("model.norm", x))).collect()
    }

    fn attend(&self, query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let size = self.config.width / self.config.heads;
        let mut output = vec![0.0; self.config.width];
        for head in 0..self.config.heads {
            let shared = head / (self.config.heads / self.options.kv_heads) * size;
            let scores: Vec<f64> = keys
                .iter()
                .map(|key| {
                    let query = &query[head * size..][..size];
                    let dot: f64 = query.iter().zip(&key[shared..]).map(|(q, k)| q * k).sum();
                    (dot / (size as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = scores.iter().sum();
            for (score, value) in scores.iter().zip(values) {
                for (output, value) in output[head * size..][..size].iter_mut().zip(&value[shared..]) {
                    *output += score / total * value;
                }
            }
        }
        output
    }
}

#[test]
fn logits_equal_an_independent_computation() {
    for (kv_heads, tied) in [(2, false), (1, true), (4, false)] {
        let options = LlamaOptions { kv_heads, tied, ..options() };
        let config = ModelConfig { llama: Some(options.clone()), ..config() };
        let weights = weights(&config);
        let tokens: Vec<u32> = (0..20).map(|i| (i * 11 % 37) as u32).collect();
        let mut engine = open(&config, &weights, Device::Cpu).expect("opens");
        let input = Tokens::new(&tokens, 20, 37).expect("valid");
        let ours = engine.logits(&input).expect("runs");
        let exact = Reference { config: &config, options: &options, weights: &weights }.logits(&tokens);
        assert_eq!(ours.len(), exact.len());
        for (ours, exact) in ours.iter().zip(&exact) {
            let close = (f64::from(*ours) - exact).abs() < 1e-4 * exact.abs().max(1.0);
            assert!(close, "{kv_heads} heads of keys: {ours}, expected {exact}");
        }
        let last = engine.last_logits(&input).expect("runs");
        for (a, b) in last.iter().zip(&ours[19 * 37..]) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn gradients_follow_finite_differences() {
    for (dropout, tied) in [(0.0, false), (0.25, true)] {
        let llama = Some(LlamaOptions { tied, ..options() });
        let config = ModelConfig { dropout, llama, ..config() };
        support::gradients_follow_finite_differences(&config, &weights(&config));
    }
}

/// As `LlamaForCausalLM` of transformers 5.24 saves a model of these sizes; the parity suite compares with the library
/// itself.
#[test]
fn keys_and_shapes_are_those_of_the_public_library() {
    let config = ModelConfig { layers: 1, ..config() };
    let ours: Vec<String> =
        config.layout().expect("valid").iter().map(|p| format!("{} {:?}", p.name, p.shape)).collect();
    let mut expected = vec![
        "model.embed_tokens.weight [37, 24]",
        "model.layers.0.input_layernorm.weight [24]",
        "model.layers.0.self_attn.q_proj.weight [24, 24]",
        "model.layers.0.self_attn.k_proj.weight [12, 24]",
        "model.layers.0.self_attn.v_proj.weight [12, 24]",
        "model.layers.0.self_attn.o_proj.weight [24, 24]",
        "model.layers.0.post_attention_layernorm.weight [24]",
        "model.layers.0.mlp.gate_proj.weight [20, 24]",
        "model.layers.0.mlp.up_proj.weight [20, 24]",
        "model.layers.0.mlp.down_proj.weight [24, 20]",
        "model.norm.weight [24]",
        "lm_head.weight [37, 24]",
    ];
    assert_eq!(ours, expected);
    let tied = ModelConfig { llama: Some(LlamaOptions { tied: true, ..options() }), ..config };
    expected.pop();
    assert_eq!(tied.layout().expect("valid").iter().count(), expected.len());
}

#[test]
fn generation_goes_on_past_the_context() {
    let config = config();
    let mut engine = open(&config, &weights(&config), Device::Cpu).expect("opens");
    let options = GenerateOptions { max_tokens: 30, end_of_text: None, strategy: Strategy::Greedy };
    let mut run = || generate(&mut *engine, &config, &[1, 2, 3], &options, &mut |_| true).expect("runs");
    let text = run();
    assert_eq!(text.len(), 30);
    assert_eq!(run(), text);
}
