//! Writing and reading the whole state of a run.

use std::ops::Range;

use orchestrator_model::ParameterLayout;
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::{
    CheckpointFile, CheckpointSink, CheckpointSource, MANIFEST_FILE, MODEL_FILE, Manifest, STATE_FILE,
    optimizer_file, tensors,
};
use crate::collective::Collective;
use crate::error::TrainError;
use crate::optimizer::{AdamW, shares};
use crate::options::TrainOptions;
use crate::policy::PolicyState;

/// Format of `state.json`.
const VERSION: u32 = 1;

/// What is neither weights nor moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Format of this file.
    pub version: u32,
    /// Steps done. Data order, dropout and schedule are functions of it and the seed.
    pub step: u64,
    /// Updates applied: steps less those left out.
    pub updates: u64,
    /// Names the training tokens.
    pub data_fingerprint: String,
    /// The processor's instruction set; bits go on equal only on the same.
    pub instruction_set: String,
    /// The run's options.
    pub options: TrainOptions,
    /// What the policy remembers.
    pub policy: PolicyState,
}

impl RunState {
    /// The state before the first step.
    pub fn new(options: &TrainOptions, data_fingerprint: String) -> Self {
        Self {
            version: VERSION,
            step: 0,
            updates: 0,
            data_fingerprint,
            instruction_set: orchestrator_model::kernels::instruction_set().to_owned(),
            options: options.clone(),
            policy: PolicyState::default(),
        }
    }

    /// Refuses a state that belongs to other data or another computation. Length, schedule, optimizer and cadences may
    /// change between runs; they are the new run's.
    fn matches(&self, options: &TrainOptions, data_fingerprint: &str) -> Result<(), TrainError> {
        let differs = |what: &str, found: String, expected: String| {
            Err(TrainError::Checkpoint(format!("its {what} is `{found}`: this run's is `{expected}`")))
        };
        if self.version != VERSION {
            return differs("version", self.version.to_string(), VERSION.to_string());
        }
        if self.data_fingerprint != data_fingerprint {
            return differs("data fingerprint", self.data_fingerprint.clone(), data_fingerprint.to_owned());
        }
        let computation = |o: &TrainOptions| {
            format!(
                "{:?}, {}, batch {} of {}, {:?}, seed {}",
                o.model, o.objective, o.global_batch, o.micro_batch, o.order, o.seed
            )
        };
        if computation(&self.options) != computation(options) {
            return differs("computation", computation(&self.options), computation(options));
        }
        if self.step > options.steps {
            return differs("step", self.step.to_string(), format!("at most {}", options.steps));
        }
        Ok(())
    }
}

/// Writes this rank's files; on rank 0 returns the manifest of all ranks' files.
pub fn save(
    state: &RunState,
    layout: &ParameterLayout,
    weights: &[f32],
    optimizer: &AdamW,
    collective: &mut dyn Collective,
    sink: &mut dyn CheckpointSink,
) -> Result<Option<Manifest>, TrainError> {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    let mut own = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| -> Result<(), TrainError> {
        sink.put(name, bytes)?;
        own.push(CheckpointFile::of(name, bytes));
        Ok(())
    };
    if rank == 0 {
        put(MODEL_FILE, &tensors::write_model(layout, weights)?)?;
        let json = serde_json::to_vec_pretty(state).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
        put(STATE_FILE, &json)?;
    }
    let (first, second) = optimizer.moments();
    let shape = [first.len()];
    let moments = tensors::write(&[("first", &shape, first), ("second", &shape, second)])?;
    put(&optimizer_file(rank, world_size), &moments)?;
    let own = serde_json::to_vec(&own).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
    let mut files: Vec<CheckpointFile> = Vec::new();
    for bytes in collective.all_gather(own)? {
        let list: Vec<CheckpointFile> =
            serde_json::from_slice(&bytes).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
        files.extend(list);
    }
    Ok((rank == 0).then_some(Manifest { step: state.step, world_size, files, shards: Vec::new() }))
}

/// Reads state and weights only, as an export does; both files are checked.
pub fn read_weights(
    manifest: &Manifest,
    source: &dyn CheckpointSource,
) -> Result<(RunState, Vec<f32>), TrainError> {
    let state: RunState = serde_json::from_slice(&manifest.read(source, STATE_FILE)?)
        .map_err(|error| TrainError::Checkpoint(format!("`{STATE_FILE}`: {error}")))?;
    let layout = state.options.model.layout()?;
    let weights = tensors::read_model(&layout, &manifest.read(source, MODEL_FILE)?)?;
    Ok((state, weights))
}

/// What a checkpoint holds for one rank.
pub struct Restored {
    /// The run's state.
    pub state: RunState,
    /// All weights.
    pub weights: Vec<f32>,
    /// The optimizer of the rank's share.
    pub optimizer: AdamW,
}

/// Reads a checkpoint for the rank that owns `share`, whatever number of ranks wrote it. Every file is checked.
pub fn restore(
    source: &dyn CheckpointSource,
    options: &TrainOptions,
    data_fingerprint: &str,
    share: Range<usize>,
) -> Result<Restored, TrainError> {
    let manifest = Manifest::parse(&source.get(MANIFEST_FILE)?)?;
    let (state, weights) = read_weights(&manifest, source)?;
    state.matches(options, data_fingerprint)?;
    let layout = options.model.layout()?;
    let (mut first, mut second) = (Vec::with_capacity(share.len()), Vec::with_capacity(share.len()));
    for (rank, theirs) in shares(layout.total(), manifest.world_size).into_iter().enumerate() {
        let common = theirs.start.max(share.start)..theirs.end.min(share.end);
        if common.is_empty() {
            continue;
        }
        let bytes = manifest.read(source, &optimizer_file(rank, manifest.world_size))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
        let local = common.start - theirs.start..common.end - theirs.start;
        for (name, moments) in [("first", &mut first), ("second", &mut second)] {
            let values = tensors::floats(&file, name, &[theirs.len()])?;
            moments.extend_from_slice(&values[local.clone()]);
        }
    }
    let state = RunState { options: options.clone(), ..state };
    let optimizer = AdamW::with_moments(&layout, share, first, second);
    Ok(Restored { state, weights, optimizer })
}
