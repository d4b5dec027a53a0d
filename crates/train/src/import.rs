//! Models of the public library (Hugging Face's transformers), in.
//!
//! ```text
//! config.json ─▶ family and sizes ─▶ layout ─┐
//! model.safetensors                          ├─▶ every tensor placed by its name and shape, as f32 ─▶ weights
//! or model.safetensors.index.json ─▶ shards ─┘
//! ```
//!
//! One file of tensors is held at a time, beside the weights. A tensor that the model does not have, one that it lacks and
//! one of another shape or type are errors that name it; nothing is guessed.

use std::collections::BTreeMap;

use orchestrator_model::families::huggingface::{CONFIG_FILE, HuggingFace, read_config};
use orchestrator_model::families::huggingface_of;
use orchestrator_model::{ModelConfig, ModelError, Parameter, ParameterLayout};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

use crate::checkpoint::{CheckpointSource, MODEL_FILE};
use crate::error::TrainError;

/// Name of the file that says which tensor lies in which shard.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// Most shards of a model; the largest that are published have a few hundred.
const MOST_SHARDS: usize = 1 << 12;

/// A model with its weights on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedModel {
    /// What it is.
    pub config: ModelConfig,
    /// Its weights in the order of its layout.
    pub weights: Vec<f32>,
    /// Id of the end-of-text token.
    pub end_of_text: Option<u32>,
}

/// What a model's directory holds, its tensors aside.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDirectory {
    /// What the model is.
    pub config: ModelConfig,
    /// Id of the end-of-text token.
    pub end_of_text: Option<u32>,
    /// Names of the files that make up the model, `config.json` and the index among them.
    pub files: Vec<String>,
    /// For each file of tensors, bytewise, what the index says lies in it; nothing where there is no index.
    tensors: BTreeMap<String, Option<Vec<String>>>,
}

/// The index of a model in shards.
#[derive(Deserialize)]
struct Index {
    /// Tensor → file.
    weight_map: BTreeMap<String, String>,
}

fn file_problem(file: &'static str, problem: String) -> TrainError {
    ModelError::File { file, problem }.into()
}

/// A file's bytes. What cannot be read is here a model, not a checkpoint.
fn fetch(source: &dyn CheckpointSource, name: &str) -> Result<Vec<u8>, TrainError> {
    source.get(name).map_err(|error| match error {
        TrainError::Checkpoint(problem) => TrainError::Unloadable(problem),
        other => other,
    })
}

/// Reads what a directory holds: an exported model, or any GPT-2 or Llama that the public library saved.
pub fn open_directory(source: &dyn CheckpointSource) -> Result<ModelDirectory, TrainError> {
    let (config, end_of_text) = read_config(&fetch(source, CONFIG_FILE)?)?;
    let mut files = vec![CONFIG_FILE.to_owned()];
    let mut tensors = BTreeMap::new();
    // The library takes the whole file where both are there.
    if source.contains(MODEL_FILE)? || !source.contains(INDEX_FILE)? {
        tensors.insert(MODEL_FILE.to_owned(), None);
    } else {
        files.push(INDEX_FILE.to_owned());
        let index: Index = serde_json::from_slice(&fetch(source, INDEX_FILE)?)
            .map_err(|error| file_problem(INDEX_FILE, error.to_string()))?;
        for (name, file) in index.weight_map {
            if file.is_empty() || file.contains(['/', '\\']) || file.starts_with('.') {
                let problem = format!("tensor `{name}` lies in `{file}`: expected a file beside the index");
                return Err(file_problem(INDEX_FILE, problem));
            }
            let listed: &mut Option<Vec<String>> = tensors.entry(file).or_default();
            listed.get_or_insert_default().push(name);
        }
        if tensors.is_empty() || tensors.len() > MOST_SHARDS {
            let problem = format!("names `{}` files: expected 1 to {MOST_SHARDS}", tensors.len());
            return Err(file_problem(INDEX_FILE, problem));
        }
    }
    files.extend(tensors.keys().cloned());
    Ok(ModelDirectory { config, end_of_text, files, tensors })
}

/// Loads a model: its configuration and every weight, converted to `f32`.
pub fn load_model(source: &dyn CheckpointSource) -> Result<LoadedModel, TrainError> {
    let directory = open_directory(source)?;
    let layout = directory.config.layout()?;
    let mut placing = Placing::new(&layout, huggingface_of(&directory.config.family)?);
    for (file, listed) in &directory.tensors {
        let bytes = fetch(source, file)?;
        let broken = |error: safetensors::SafeTensorError| {
            TrainError::Unloadable(format!("`{file}` is no file of tensors: {error}"))
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let mut names: Vec<&str> = tensors.names();
        names.sort_unstable();
        if let Some(absent) = listed.iter().flatten().find(|name| !names.contains(&name.as_str())) {
            return Err(tensor(absent, format!("is not in `{file}`, where `{INDEX_FILE}` has it")));
        }
        for name in names {
            placing.place(name, &tensors.tensor(name).map_err(broken)?)?;
        }
    }
    let weights = placing.finish()?;
    Ok(LoadedModel { config: directory.config, weights, end_of_text: directory.end_of_text })
}

fn tensor(name: &str, problem: String) -> TrainError {
    ModelError::Tensor { name: name.to_owned(), problem }.into()
}

/// Parameters of which some have their values. Memory follows what files hold, not what a configuration claims.
struct Placing<'a> {
    layout: &'a ParameterLayout,
    public: HuggingFace,
    places: BTreeMap<&'a str, &'a Parameter>,
    placed: BTreeMap<&'a str, Vec<f32>>,
    /// A second copy of a tied embedding.
    tied: Option<Vec<f32>>,
}

impl<'a> Placing<'a> {
    fn new(layout: &'a ParameterLayout, public: HuggingFace) -> Self {
        let places: BTreeMap<&str, &Parameter> = layout.iter().map(|p| (p.name.as_str(), p)).collect();
        Self { layout, public, places, placed: BTreeMap::new(), tied: None }
    }

    /// Takes one tensor, under its full name or that of the model without its head.
    fn place(&mut self, name: &str, view: &TensorView<'_>) -> Result<(), TrainError> {
        let full = format!("{}{name}", self.public.prefix);
        let (head, embedding) = self.public.head;
        let parameter = self.places.get(name).or_else(|| self.places.get(full.as_str())).copied();
        if let Some(parameter) = parameter {
            let values = read(name, view, &parameter.shape)?;
            return match self.placed.insert(&parameter.name, values) {
                None => Ok(()),
                Some(_) => Err(tensor(name, "is there twice: expected it once".to_owned())),
            };
        }
        if name == head {
            // Not a parameter of its own, so it is the embedding.
            self.tied = Some(read(name, view, &self.places[embedding].shape)?);
            return Ok(());
        }
        if self.public.buffers.iter().any(|buffer| name.ends_with(buffer)) {
            return Ok(());
        }
        let problem = format!("is `{:?} {:?}` and not one of this model's", view.dtype(), view.shape());
        Err(tensor(name, problem))
    }

    /// The weights, once every parameter has its place.
    fn finish(mut self) -> Result<Vec<f32>, TrainError> {
        // In the order of the network, which is the order in which people look for it.
        if let Some(first) = self.layout.iter().find(|p| !self.placed.contains_key(p.name.as_str())) {
            let more = match self.places.len() - self.placed.len() - 1 {
                0 => String::new(),
                more => format!("; {more} more are missing"),
            };
            return Err(tensor(&first.name, format!("is missing: expected shape `{:?}`{more}", first.shape)));
        }
        let (head, embedding) = self.public.head;
        if let Some(copy) = &self.tied {
            let original = &self.placed[embedding];
            if !copy.iter().map(|x| x.to_bits()).eq(original.iter().map(|x| x.to_bits())) {
                let problem = format!("differs from `{embedding}`, which the configuration ties it to");
                return Err(tensor(head, problem));
            }
        }
        let mut weights = Vec::with_capacity(self.layout.total());
        for parameter in self.layout {
            // Each is let go when it stands with the others.
            weights.extend(self.placed.remove(parameter.name.as_str()).unwrap_or_default());
        }
        Ok(weights)
    }
}

/// A tensor's values, as `f32`, where its shape is the expected one.
fn read(name: &str, view: &TensorView<'_>, shape: &[usize]) -> Result<Vec<f32>, TrainError> {
    if view.shape() != shape {
        return Err(tensor(name, format!("has shape `{:?}`: expected `{shape:?}`", view.shape())));
    }
    let bytes = view.data();
    let halves = || bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Ok(match view.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
        Dtype::BF16 => halves().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
        Dtype::F16 => halves().map(from_half).collect(),
        other => return Err(tensor(name, format!("has type `{other:?}`: expected F32, BF16 or F16"))),
    })
}

/// A number of IEEE 754's binary16, exactly.
fn from_half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), bits & 0x3ff);
    let fraction = f32::from(fraction);
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    }
}

/// The weights of a loaded model for one that differs in nothing but its context: a shorter one leaves out the learned
/// positions beyond it.
pub fn with_context(model: LoadedModel, config: &ModelConfig) -> Result<Vec<f32>, TrainError> {
    let (found, wanted) = (model.config.layout()?, config.layout()?);
    if model.config.context == config.context && found == wanted {
        return Ok(model.weights);
    }
    let mut weights = Vec::with_capacity(wanted.total());
    for wanted in &wanted {
        let parameter = found.iter().find(|parameter| parameter.name == wanted.name);
        let fits = |p: &&Parameter| {
            p.shape.len() == wanted.shape.len()
                && p.shape[1..] == wanted.shape[1..]
                && p.len() >= wanted.len()
        };
        let Some(parameter) = parameter.filter(fits) else {
            let found = parameter.map_or_else(|| "not there".to_owned(), |p| format!("{:?}", p.shape));
            return Err(tensor(&wanted.name, format!("is `{found}`: expected `{:?}`", wanted.shape)));
        };
        weights.extend_from_slice(&model.weights[parameter.span()][..wanted.len()]);
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_numbers_that_they_stand_for() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(from_half(bits).to_bits(), number.to_bits(), "{bits:#06x}");
        }
        assert!(from_half(0x8000).is_sign_negative() && from_half(0x7e00).is_nan());
        // Between its neighbours, each number lies in order.
        assert!((0..0x7bff_u16).all(|bits| from_half(bits) < from_half(bits + 1)));
    }
}
