//! How well a model predicts documents: every token once, with as much of its document before it as a window has.
//!
//! ```text
//! document     t0 t1 t2 t3 t4 t5                 context 4; stride 4, or shorter
//! window 1   ⟨/⟩ t0 t1 t2 ─▶ t0 t1 t2 t3          end-of-text stands before a document, as it does in training
//! window 2    t1 t2 t3 t4 ─▶ ·  ·  t4 t5          the last window reaches back as far as it can
//! ```
//!
//! A window but a document's first counts its last `stride` targets alone, so that with a stride below the context no
//! token beyond the first window has less than `context − stride` before it. What is counted is that of
//! lm-evaluation-harness (Gao et al., its rolling log-likelihood): the document's own tokens, and no end-of-text after
//! it.

use std::collections::BTreeMap;

use orchestrator_model::ops::IGNORED;
use orchestrator_model::{Batch, Engine, Tokens};

use crate::error::TrainError;

/// Windows are padded to a multiple of this, so that those of like length share a batch.
const GRAIN: usize = 32;
/// Windows that go through the model at once.
const BATCH: usize = 8;

/// What a model made of some documents.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Documents.
    pub documents: u64,
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Bytes of the documents' texts.
    pub bytes: u64,
    /// Sum of `−ln p` over the tokens.
    pub nats: f64,
}

impl Score {
    /// Adds what was made of others.
    pub fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
        self.nats += other.nats;
    }

    /// Mean loss of a token, in nats; none without tokens.
    pub fn loss(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.nats / self.tokens as f64)
    }

    /// `exp` of the mean loss: of how many equally likely tokens the model had to choose, on average.
    pub fn perplexity(&self) -> Option<f64> {
        self.loss().map(f64::exp)
    }

    /// Bits to write down a byte of the text with the model's help: comparable between tokenizers.
    pub fn bits_per_byte(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.nats / std::f64::consts::LN_2 / self.bytes as f64)
    }
}

/// A window that waits for others of its length.
struct Window {
    inputs: Vec<u32>,
    targets: Vec<i32>,
}

/// Judges documents one after the other. At most `BATCH` windows wait for each padded length.
pub struct Evaluator<'a> {
    engine: &'a mut dyn Engine,
    /// Longest window, distance of two windows, entries of the vocabulary.
    context: usize,
    stride: usize,
    vocabulary: usize,
    /// Stands before each document, and fills up windows, where it is not counted.
    end_of_text: u32,
    waiting: BTreeMap<usize, Vec<Window>>,
    score: Score,
}

impl<'a> Evaluator<'a> {
    /// A judge with an engine whose model has `vocabulary` entries. `stride` is 1 to `context`.
    pub fn new(
        engine: &'a mut dyn Engine,
        vocabulary: usize,
        end_of_text: u32,
        (context, stride): (usize, usize),
    ) -> Result<Self, TrainError> {
        if stride == 0 || stride > context {
            let expected = format!("a number from 1 to {context}, the model's context");
            return Err(TrainError::Option { option: "stride", value: stride.to_string(), expected });
        }
        let waiting = BTreeMap::new();
        Ok(Self { engine, context, stride, vocabulary, end_of_text, waiting, score: Score::default() })
    }

    /// Judges a document of `bytes` bytes.
    pub fn document(&mut self, tokens: &[u32], bytes: u64) -> Result<(), TrainError> {
        self.score.documents += 1;
        self.score.bytes += bytes;
        // Inputs are the document one place later, with end-of-text first.
        let mut counted = 0;
        while counted < tokens.len() {
            let end = (counted + if counted == 0 { self.context } else { self.stride }).min(tokens.len());
            let start = end.saturating_sub(self.context);
            let mut inputs = Vec::with_capacity(end - start);
            inputs.push(if start == 0 { self.end_of_text } else { tokens[start - 1] });
            inputs.extend_from_slice(&tokens[start..end - 1]);
            let target = |place: usize| if place < counted { IGNORED } else { tokens[place] as i32 };
            let targets = (start..end).map(target).collect();
            self.wait(Window { inputs, targets })?;
            counted = end;
        }
        Ok(())
    }

    /// What was made of the documents since the last call.
    pub fn take(&mut self) -> Result<Score, TrainError> {
        while let Some((length, windows)) = self.waiting.pop_first() {
            self.judge(length, &windows)?;
        }
        Ok(std::mem::take(&mut self.score))
    }

    /// Keeps a window until there is a batch of its length.
    fn wait(&mut self, mut window: Window) -> Result<(), TrainError> {
        let length = window.inputs.len().next_multiple_of(GRAIN).min(self.context);
        // What stands after a position has no part in its logits: any token will do.
        window.inputs.resize(length, self.end_of_text);
        window.targets.resize(length, IGNORED);
        let windows = self.waiting.entry(length).or_default();
        windows.push(window);
        if windows.len() >= BATCH {
            let windows = std::mem::take(windows);
            self.judge(length, &windows)?;
        }
        Ok(())
    }

    fn judge(&mut self, length: usize, windows: &[Window]) -> Result<(), TrainError> {
        if windows.is_empty() {
            return Ok(());
        }
        let inputs: Vec<u32> = windows.iter().flat_map(|window| window.inputs.iter().copied()).collect();
        let targets: Vec<i32> = windows.iter().flat_map(|window| window.targets.iter().copied()).collect();
        let counted = targets.iter().filter(|target| **target != IGNORED).count();
        let inputs = Tokens::new(&inputs, length, self.vocabulary)?;
        // A target is the input of a later place, but for a document's last.
        if let Some(token) = targets.iter().find(|target| **target >= self.vocabulary as i32) {
            let (token, vocabulary) = (*token as u32, self.vocabulary);
            return Err(orchestrator_model::ModelError::TokenOutOfVocabulary { token, vocabulary }.into());
        }
        let loss = self.engine.loss(&Batch { inputs, targets: targets.into() })?;
        self.score.tokens += counted as u64;
        self.score.nats += f64::from(loss) * counted as f64;
        Ok(())
    }
}
