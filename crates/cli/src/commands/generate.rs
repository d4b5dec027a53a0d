//! `generate`: samples of a trained model.

use anyhow::anyhow;
use orchestrator_model::generate::{GenerateOptions, Strategy, best_beams, generate};
use orchestrator_model::{Device, Engine, ModelConfig, open};
use serde_json::json;

use crate::args::GenerateArgs;
use crate::commands::model;
use crate::console::Console;
use crate::failure::Failure;

/// Continues the prompt.
pub(crate) fn run(args: &GenerateArgs, console: &Console) -> Result<(), Failure> {
    let model::Opened { model, tokenizer } = model::open(&args.model)?;
    let mut prompt = Vec::new();
    tokenizer.encode(&args.prompt, &mut prompt).map_err(Failure::reading)?;
    if prompt.is_empty() {
        prompt.push(tokenizer.end_of_text());
    }
    let mut engine = open(&model.config, &model.weights, Device::Cpu).map_err(anyhow::Error::from)?;
    let samples: Vec<String> =
        continuations(args, &mut *engine, &model.config, &prompt, tokenizer.end_of_text())?
            .iter()
            .map(|tokens| tokenizer.decode(tokens))
            .collect();
    let value = json!({ "prompt": args.prompt, "samples": samples });
    console.result(&value, || {
        let texts: Vec<String> = samples.iter().map(|sample| format!("{}{sample}", args.prompt)).collect();
        texts.join("\n———\n")
    })
}

/// As many continuations as are asked for: draws with seeds of their own, or the best beams of one search.
fn continuations(
    args: &GenerateArgs,
    engine: &mut dyn Engine,
    config: &ModelConfig,
    prompt: &[u32],
    end_of_text: u32,
) -> Result<Vec<Vec<u32>>, Failure> {
    let wanted = args.samples;
    let options = |number| GenerateOptions {
        max_tokens: args.max_tokens,
        end_of_text: Some(end_of_text),
        strategy: strategy(args, number),
    };
    match args.beams {
        Some(beams) if wanted > beams => Err(Failure::usage(anyhow!(
            "{wanted} samples of {beams} beams: expected at most as many as beams"
        ))),
        Some(_) => {
            let mut best = best_beams(engine, config, prompt, &options(0)).map_err(Failure::reading)?;
            best.truncate(wanted);
            Ok(best)
        }
        None => (0..wanted as u64)
            .map(|number| generate(engine, config, prompt, &options(number), &mut |_| true))
            .collect::<Result<_, _>>()
            .map_err(Failure::reading),
    }
}

fn strategy(args: &GenerateArgs, number: u64) -> Strategy {
    match args.beams {
        Some(beams) => Strategy::Beam { beams, length_penalty: 1.0 },
        None if args.temperature <= 0.0 => Strategy::Greedy,
        None => Strategy::Sample {
            temperature: f64::from(args.temperature),
            top_k: args.top_k,
            top_p: f64::from(args.top_p),
            seed: args.seed.wrapping_add(number),
        },
    }
}
