//! Generation: greedy, sampling (temperature, top-k, top-p) and beam search.
//!
//! Pure and seeded: the same weights, prompt, options and seed give the same tokens. Each step runs the model over the
//! last `context` tokens; there is no cache of keys and values.

use crate::engine::Engine;
use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::ops::Tokens;
use crate::random;

/// Most beams that a search keeps.
const MOST_BEAMS: usize = 64;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// The likeliest; ties go to the lower id.
    Greedy,
    /// A draw.
    Sample {
        /// Divides the logits; positive. Below 1 sharpens.
        temperature: f64,
        /// Keeps only so many of the likeliest; 0 keeps all.
        top_k: usize,
        /// Keeps the fewest likeliest tokens whose probabilities reach this; 1 keeps all.
        top_p: f64,
        /// The seed of the draws.
        seed: u64,
    },
    /// The likeliest of several continuations followed at once.
    Beam {
        /// How many are followed.
        beams: usize,
        /// Scores are divided by length to this power: 0 favours short texts, 1 ranks by mean.
        length_penalty: f64,
    },
}

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens that are added.
    pub max_tokens: usize,
    /// The token that ends the text, if any; it is not part of the result.
    pub end_of_text: Option<u32>,
    /// How tokens are chosen.
    pub strategy: Strategy,
}

/// Continues a prompt; returns the new tokens only. `on_token` sees each one as it is chosen (not with beams) and
/// returns whether to go on.
pub fn generate(
    engine: &mut dyn Engine,
    config: &ModelConfig,
    prompt: &[u32],
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(u32) -> bool,
) -> Result<Vec<u32>, ModelError> {
    validate(&options.strategy)?;
    if prompt.is_empty() {
        return Err(ModelError::Shape { what: "the prompt", expected: 1, found: 0 });
    }
    if let Strategy::Beam { .. } = options.strategy {
        return Ok(best_beams(engine, config, prompt, options)?.swap_remove(0));
    }
    let mut tokens = prompt.to_vec();
    for step in 0..options.max_tokens {
        let logits = engine.last_logits(&window(&tokens, config)?)?;
        let token = choose(&logits, &options.strategy, step as u64);
        if Some(token) == options.end_of_text {
            break;
        }
        tokens.push(token);
        if !on_token(token) {
            break;
        }
    }
    Ok(tokens.split_off(prompt.len()))
}

/// All continuations that a search with [`Strategy::Beam`] follows at its end, best first: at least one, at most as many
/// as it has beams, no two alike. Other strategies give the one continuation that [`generate`] gives.
pub fn best_beams(
    engine: &mut dyn Engine,
    config: &ModelConfig,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<Vec<Vec<u32>>, ModelError> {
    validate(&options.strategy)?;
    let Strategy::Beam { beams, length_penalty } = options.strategy else {
        return Ok(vec![generate(engine, config, prompt, options, &mut |_| true)?]);
    };
    if prompt.is_empty() {
        return Err(ModelError::Shape { what: "the prompt", expected: 1, found: 0 });
    }
    beam_search(engine, config, prompt, options, beams, length_penalty)
}

fn validate(strategy: &Strategy) -> Result<(), ModelError> {
    let config = |field, value: String, expected: &str| {
        Err(ModelError::Config { field, value, expected: expected.to_owned() })
    };
    match *strategy {
        Strategy::Sample { temperature, .. } if !(temperature > 0.0 && temperature.is_finite()) => {
            config("temperature", temperature.to_string(), "a positive number")
        }
        Strategy::Sample { top_p, .. } if !(top_p > 0.0 && top_p <= 1.0) => {
            config("top_p", top_p.to_string(), "a share above 0 and at most 1")
        }
        Strategy::Beam { beams, .. } if beams == 0 || beams > MOST_BEAMS => {
            config("beams", beams.to_string(), "a number from 1 to 64")
        }
        Strategy::Greedy | Strategy::Sample { .. } | Strategy::Beam { .. } => Ok(()),
    }
}

/// The end of a text that fits into the context.
fn window(tokens: &[u32], config: &ModelConfig) -> Result<Tokens, ModelError> {
    let recent = &tokens[tokens.len().saturating_sub(config.context)..];
    Tokens::new(recent, recent.len(), config.vocabulary)
}

fn choose(logits: &[f32], strategy: &Strategy, step: u64) -> u32 {
    match *strategy {
        Strategy::Greedy | Strategy::Beam { .. } => ranked(logits)[0],
        Strategy::Sample { temperature, top_k, top_p, seed } => {
            let mut ids = ranked(logits);
            if top_k > 0 {
                ids.truncate(top_k);
            }
            let top = f64::from(logits[ids[0] as usize]);
            let mut weights: Vec<f64> =
                ids.iter().map(|id| ((f64::from(logits[*id as usize]) - top) / temperature).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut reached = 0.0;
            let kept = weights.iter().position(|weight| {
                reached += weight;
                reached >= top_p * total
            });
            weights.truncate(kept.map_or(weights.len(), |last| last + 1));
            let mut left = random::uniform(random::key(&[seed]), step) * weights.iter().sum::<f64>();
            let drawn = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            ids[drawn.unwrap_or(weights.len() - 1)]
        }
    }
}

/// Ids from the likeliest on; ties by id.
fn ranked(logits: &[f32]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    ids.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
    ids
}

/// A continuation that a search follows.
#[derive(Clone)]
struct Beam {
    tokens: Vec<u32>,
    score: f64,
    ended: bool,
}

impl Beam {
    fn rank(&self, prompt: usize, length_penalty: f64) -> f64 {
        let length = (self.tokens.len() - prompt).max(1) as f64;
        self.score / length.powf(length_penalty)
    }
}

fn beam_search(
    engine: &mut dyn Engine,
    config: &ModelConfig,
    prompt: &[u32],
    options: &GenerateOptions,
    beams: usize,
    length_penalty: f64,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut followed = vec![Beam { tokens: prompt.to_vec(), score: 0.0, ended: false }];
    for _ in 0..options.max_tokens {
        let mut next: Vec<Beam> = Vec::new();
        for beam in &followed {
            if beam.ended {
                next.push(beam.clone());
                continue;
            }
            let logits = engine.last_logits(&window(&beam.tokens, config)?)?;
            let lse = f64::from(crate::kernels::loss::log_sum_exp(&logits));
            for id in ranked(&logits).into_iter().take(beams + 1) {
                let mut grown = beam.clone();
                grown.score += f64::from(logits[id as usize]) - lse;
                grown.ended = Some(id) == options.end_of_text;
                if !grown.ended {
                    grown.tokens.push(id);
                }
                next.push(grown);
            }
        }
        // A stable sort: equal scores keep the order of beams and ids.
        let rank = |beam: &Beam| beam.rank(prompt.len(), length_penalty);
        next.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        next.truncate(beams);
        followed = next;
        if followed.iter().all(|beam| beam.ended) {
            break;
        }
    }
    Ok(followed.into_iter().map(|mut beam| beam.tokens.split_off(prompt.len())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_keeps_to_its_bounds() {
        let logits = [0.0, 3.0, 2.0, -1.0];
        let sample = |top_k, top_p, step| {
            choose(&logits, &Strategy::Sample { temperature: 1.0, top_k, top_p, seed: 5 }, step)
        };
        assert!((0..200).all(|step| sample(1, 1.0, step) == 1));
        assert!((0..200).all(|step| sample(0, 0.1, step) == 1));
        assert!((0..200).all(|step| [1, 2].contains(&sample(2, 1.0, step))));
        let drawn: std::collections::BTreeSet<u32> = (0..500).map(|step| sample(0, 1.0, step)).collect();
        assert_eq!(drawn.len(), 4, "everything can be drawn");
        assert_eq!(choose(&logits, &Strategy::Greedy, 0), 1);
    }
}
