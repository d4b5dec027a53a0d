//! The judge of models against its definition, token by token.

use orchestrator_model::{Device, Engine, ModelConfig, Tokens, open};
use orchestrator_train::evaluate::{Evaluator, Score};

const VOCABULARY: usize = 50;
const CONTEXT: usize = 40;
const END: u32 = 49;

fn engine() -> Box<dyn Engine> {
    let config = ModelConfig {
        family: "gpt".into(),
        vocabulary: VOCABULARY,
        layers: 1,
        heads: 2,
        width: 16,
        context: CONTEXT,
        dropout: 0.3,
        llama: None,
    };
    let layout = config.layout().expect("valid");
    let weights: Vec<f32> = layout.initial(3).iter().map(|weight| 6.0 * weight).collect();
    open(&config, &weights, Device::Cpu).expect("opens")
}

fn document(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|i| (seed + i * i + i / 7) % END).collect()
}

/// `−ln p` of a token after those before it, no more of which are seen than the model's context.
fn surprise(engine: &mut dyn Engine, before: &[u32], token: u32) -> f64 {
    let input = Tokens::new(before, before.len(), VOCABULARY).expect("valid");
    let logits: Vec<f64> =
        engine.last_logits(&input).expect("runs").iter().map(|logit| f64::from(*logit)).collect();
    logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[token as usize]
}

/// Every token once, in windows of `context` whose ends are `stride` apart.
fn exact(engine: &mut dyn Engine, tokens: &[u32], (context, stride): (usize, usize)) -> f64 {
    let mut stream = vec![END];
    stream.extend_from_slice(tokens);
    let mut end = context.min(tokens.len());
    let mut nats = 0.0;
    for place in 0..tokens.len() {
        if place == end {
            end = (end + stride).min(tokens.len());
        }
        let start = end.saturating_sub(context);
        nats += surprise(engine, &stream[start..=place], tokens[place]);
    }
    nats
}

#[test]
fn every_token_counts_once_with_what_its_window_shows() {
    let mut engine = engine();
    let documents: Vec<Vec<u32>> = [1, 7, 31, 32, 33, 39, 40, 41, 80, 123, 0]
        .into_iter()
        .zip(1..)
        .map(|(n, seed)| document(seed, n))
        .collect();
    for windows in [(CONTEXT, CONTEXT), (CONTEXT, 7), (16, 16), (16, 1), (1, 1)] {
        let expected: f64 = documents.iter().map(|tokens| exact(&mut *engine, tokens, windows)).sum();
        let mut evaluator = Evaluator::new(&mut *engine, VOCABULARY, END, windows).expect("valid");
        for tokens in &documents {
            evaluator.document(tokens, 3 * tokens.len() as u64).expect("judges");
        }
        let score = evaluator.take().expect("judges");
        let tokens: usize = documents.iter().map(Vec::len).sum();
        assert_eq!((score.documents, score.tokens), (11, tokens as u64), "{windows:?}");
        assert_eq!(score.bytes, 3 * tokens as u64);
        assert!((score.nats / expected - 1.0).abs() < 1e-5, "{windows:?}: {} of {expected}", score.nats);
        let loss = expected / tokens as f64;
        assert!((score.loss().expect("tokens") - loss).abs() < 1e-4);
        assert!((score.perplexity().expect("tokens") / loss.exp() - 1.0).abs() < 1e-4);
        let bits = loss / 2.0_f64.ln() / 3.0;
        assert!((score.bits_per_byte().expect("bytes") / bits - 1.0).abs() < 1e-4);
        assert_eq!(evaluator.take().expect("nothing is left"), Score::default());
    }
}

#[test]
fn nothing_has_no_figures_and_wrong_windows_are_refused() {
    let nothing = Score::default();
    assert_eq!((nothing.loss(), nothing.perplexity(), nothing.bits_per_byte()), (None, None, None));
    let mut engine = engine();
    for stride in [0, 17] {
        let error = Evaluator::new(&mut *engine, VOCABULARY, END, (16, stride)).err().expect("refused");
        assert!(error.to_string().contains("stride"), "{error}");
    }
    let mut evaluator = Evaluator::new(&mut *engine, VOCABULARY, END, (16, 16)).expect("valid");
    let judged = evaluator.document(&[1, 50], 2).and_then(|()| evaluator.take());
    assert!(judged.expect_err("no such token").to_string().contains("`50`"));
}
