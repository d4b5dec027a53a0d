//! The figures of a whole job from those of a sample.

use orchestrator_core::units::ByteSize;
use orchestrator_core::{FileKind, FileRecord, StageTally, TaskOutcome};
use orchestrator_job::{
    Frozen, MapInput, Phase, PhaseKind, Plan, Resolved, Stage, TaskSpec, Work, demand as demand_of,
    expand_frozen,
};
use serde::Serialize;

use super::Question;
use super::estimate::{Estimate, Frame};
use super::run::Trial;
use super::units::{Choice, indexed_bytes};

/// What will come of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// What was looked at.
    pub sample: SampleFigures,
    /// The document stages, in order, as far as the sample went.
    pub stages: Vec<StageFigures>,
    /// The phases up to the training, as far as the sample went.
    pub phases: Vec<PhaseFigures>,
    /// Hours of CPU of these phases.
    pub cpu_hours: f64,
    /// Hours that they take with so many workers.
    pub wall_hours: f64,
    /// Tasks at a time.
    pub workers: u32,
    /// Bytes that these phases leave in the output.
    pub disk_bytes: f64,
    /// The tokens, where the job makes some.
    pub tokens: Option<TokenFigures>,
    /// The training, where the job trains.
    pub training: Option<TrainingFigures>,
    /// What limits these figures, in words.
    pub notes: Vec<String>,
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleFigures {
    /// The part of the records that was asked for.
    pub fraction: f64,
    /// Pieces of the inputs that were looked into, and all of them.
    pub units: [usize; 2],
    /// Bytes of the inputs that were read, and all of them.
    pub bytes: [u64; 2],
    /// Records that were seen there.
    pub seen: u64,
    /// Those that the stages were run on.
    pub taken: u64,
    /// Records of the whole.
    pub records: Estimate,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageFigures {
    /// Its directory: `03-filter`.
    pub stage: String,
    /// Records that come in.
    pub records_in: Estimate,
    /// Records that go on.
    pub kept: Estimate,
    /// UTF-8 bytes of text that go on.
    pub bytes_kept: f64,
    /// What drops them, most first.
    pub rules: Vec<RuleFigures>,
    /// Bytes of its files.
    pub disk_bytes: f64,
    /// Why its figures are bounds and no estimates, where they are.
    pub bound: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleFigures {
    /// Its name.
    pub rule: String,
    /// Records that it drops.
    pub dropped: Estimate,
    /// How many of the sample it dropped.
    pub seen: u64,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseFigures {
    /// Its name.
    pub phase: String,
    /// Its tasks.
    pub tasks: u64,
    /// Seconds of CPU of all of them.
    pub cpu_seconds: f64,
    /// Seconds that it takes.
    pub wall_seconds: f64,
    /// What a task takes of a worker's memory, as the scheduler books it.
    pub memory_bytes: u64,
}

/// The tokens of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenFigures {
    /// Tokens to train on.
    pub train: f64,
    /// Tokens held out.
    pub validation: f64,
    /// UTF-8 bytes of text in a token.
    pub bytes_per_token: f64,
    /// Whose tokenizer they were counted with.
    pub tokenizer: String,
}

/// The training of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingFigures {
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens that they take.
    pub tokens: u64,
    /// How often they go through the training tokens, where those are known.
    pub epochs: Option<f64>,
    /// Hours at the given rate.
    pub hours: Option<f64>,
    /// What a rank takes of a worker's memory, as the scheduler books it.
    pub memory_bytes: u64,
}

/// Everything that figures are made of.
pub(super) struct Predictor<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) question: Question,
    pub(super) choice: &'a Choice,
    pub(super) frame: &'a Frame,
    pub(super) trial: &'a Trial,
}

impl Predictor<'_> {
    pub(super) fn predict(&self) -> Prediction {
        let plan = Plan::new(&self.resolved.job);
        let scaled = self.scaled();
        let phases: Vec<PhaseFigures> = plan
            .phases
            .iter()
            .zip(&self.trial.cpu_seconds)
            .map(|(phase, &cpu)| self.phase(&plan, phase, cpu, &scaled))
            .collect();
        let stages = self.stages(&plan);
        let tokens = self.tokens(&plan);
        let sum = |of: fn(&PhaseFigures) -> f64| phases.iter().map(of).sum::<f64>() / 3600.0;
        Prediction {
            sample: SampleFigures {
                fraction: self.question.fraction,
                units: [self.choice.units.len(), self.choice.all],
                bytes: [self.frame.bytes() as u64, self.choice.all_bytes],
                seen: self.frame.units.iter().map(|unit| unit.records).sum::<f64>() as u64,
                taken: self.frame.taken() as u64,
                records: self.frame.records(),
            },
            cpu_hours: sum(|phase| phase.cpu_seconds),
            wall_hours: sum(|phase| phase.wall_seconds),
            workers: self.question.workers,
            disk_bytes: stages.iter().map(|stage| stage.disk_bytes).sum(),
            training: self.training(&plan, tokens.as_ref(), &scaled),
            notes: self.notes(&plan),
            stages,
            phases,
            tokens,
        }
    }

    /// Outcomes as they would be with all records, as far as the planner looks at them.
    fn scaled(&self) -> Vec<Vec<TaskOutcome>> {
        let factor = self.frame.record_factor();
        let scale = |number: u64| (number as f64 * factor) as u64;
        let mut all = self.trial.outcomes.clone();
        for file in all.iter_mut().flatten().flat_map(|outcome| &mut outcome.files) {
            (file.rows, file.bytes) = (scale(file.rows), scale(file.bytes));
        }
        all
    }

    /// Tasks of a phase over splits or parts: a function of the inputs' sizes, as it is in a run.
    fn map_tasks(&self) -> u64 {
        let target = self.resolved.job.target_bytes.0.max(1);
        self.choice.all_bytes.div_ceil(target).max(1)
    }

    fn phase(&self, plan: &Plan, phase: &Phase, cpu: f64, scaled: &[Vec<TaskOutcome>]) -> PhaseFigures {
        let by_units = self.frame.unit_factor();
        let by_records = self.frame.record_factor();
        let first_map = self.first_map(plan);
        let reading = first_map.map_or(0.0, |(_, cpu)| cpu * (1.0 - self.trial.fed_share));
        let frozen = Frozen { inputs: &self.resolved.inputs, files: &self.resolved.files };
        let expanded = || -> Vec<TaskSpec> {
            expand_frozen(&self.resolved.job, plan, phase.index, frozen, scaled).unwrap_or_default()
        };
        let (tasks, cpu) = match phase.kind {
            PhaseKind::Index => {
                let bytes = indexed_bytes(&self.resolved.job, &self.resolved.inputs);
                let big = self.resolved.inputs.iter();
                let target = self.resolved.job.target_bytes.0.saturating_mul(2);
                let count = big.filter(|input| input.bytes > target).count() as u64;
                (count, reading / self.frame.bytes().max(1.0) * bytes as f64)
            }
            PhaseKind::Map { .. } if phase.stages.start == 0 => {
                (self.map_tasks(), reading * by_units + cpu * self.trial.fed_share * by_records)
            }
            PhaseKind::Map { .. } | PhaseKind::Verify | PhaseKind::Tokenize => {
                (self.map_tasks(), cpu * by_records)
            }
            PhaseKind::Bands | PhaseKind::Repeats => (expanded().len() as u64, cpu * by_records),
            // They read examples of their own, all of them, in the sample too.
            PhaseKind::Classifier => (1, cpu),
            PhaseKind::Prepare => (1, cpu * self.prepare_factor(plan, phase)),
            PhaseKind::Clusters | PhaseKind::Cutoff | PhaseKind::Mixture => (1, cpu * by_records),
            PhaseKind::Train { .. } | PhaseKind::Export | PhaseKind::Report => (1, 0.0),
        };
        // The splits of the whole are not known; what a task of them takes does not hang on them.
        let specs = if matches!(phase.kind, PhaseKind::Map { .. }) && phase.stages.start == 0 {
            let input = MapInput::Splits { splits: Vec::new() };
            let work = Work::Map { stages: Vec::new(), input, parts: Vec::new(), side: None, verdicts: None };
            vec![TaskSpec { phase: phase.index, number: 0, work }]
        } else {
            expanded()
        };
        let memory = demand_of(self.resolved, plan, phase, &specs, scaled).memory_bytes;
        let at_once = f64::from(self.question.workers).min(tasks.max(1) as f64);
        PhaseFigures {
            phase: phase.name.clone(),
            tasks,
            cpu_seconds: cpu,
            wall_seconds: cpu / at_once.max(1.0),
            memory_bytes: memory,
        }
    }

    /// The first map phase and its time.
    fn first_map(&self, plan: &Plan) -> Option<(u32, f64)> {
        let is_first =
            |phase: &&Phase| matches!(phase.kind, PhaseKind::Map { .. }) && phase.stages.start == 0;
        let phase = plan.phases.iter().find(is_first)?;
        Some((phase.index, self.trial.cpu_seconds.get(phase.index as usize).copied()?))
    }

    /// A tokenizer that is trained takes a sample of its own, which has a bound.
    fn prepare_factor(&self, plan: &Plan, phase: &Phase) -> f64 {
        let factor = self.frame.record_factor();
        let Some((_, config)) = self.resolved.job.tokenize() else { return factor };
        let Some(train) = &config.train else { return factor };
        let before = phase.stages.start.checked_sub(1).filter(|&stage| (stage as usize) < plan.stages.len());
        let bytes = before.map_or(0, |stage| self.tally(stage).bytes_kept);
        let most = train.sample.0 as f64 / (bytes.max(1) as f64);
        factor.min(most.max(1.0))
    }

    /// All books of a stage in the sample.
    fn tally(&self, stage: u32) -> StageTally {
        let mut sum = StageTally { stage, ..StageTally::default() };
        let tallies = self.trial.outcomes.iter().flatten().flat_map(|outcome| &outcome.tallies);
        tallies.filter(|tally| tally.stage == stage).for_each(|tally| sum.append(tally));
        sum
    }

    /// A figure of a stage in each unit.
    fn by_unit(&self, stage: u32, figure: impl Fn(&StageTally) -> u64) -> Vec<f64> {
        let has = |outcome: &&TaskOutcome| outcome.tallies.iter().any(|tally| tally.stage == stage);
        let mut found = vec![0.0; self.frame.units.len()];
        for phase in &self.trial.outcomes {
            let is_by_unit = phase.len() == found.len();
            for (number, outcome) in phase.iter().enumerate().filter(|(_, outcome)| has(outcome)) {
                let tallies = outcome.tallies.iter().filter(|tally| tally.stage == stage);
                let sum: u64 = tallies.map(&figure).sum();
                if is_by_unit {
                    found[number] += sum as f64;
                    continue;
                }
                // One task for the parts of all units: nothing tells which of them it is from.
                for (place, unit) in found.iter_mut().zip(&self.frame.units) {
                    *place += sum as f64 * unit.taken / self.frame.taken().max(1.0);
                }
            }
        }
        found
    }

    fn stages(&self, plan: &Plan) -> Vec<StageFigures> {
        let factor = self.frame.record_factor();
        let mut bound: Option<String> = None;
        let mut stages = Vec::new();
        for (planned, stage) in plan.stages.iter().zip(&self.resolved.job.pipeline) {
            let tally = self.tally(planned.index);
            let was_run = self.trial.outcomes.iter().flatten().flat_map(|outcome| &outcome.tallies);
            if !was_run.into_iter().any(|tally| tally.stage == planned.index) {
                continue;
            }
            if let Stage::Dedup(_) = stage {
                bound = Some(
                    "drops are a lower bound: a copy is seen where both it and what it is a copy of are in the sample"
                        .to_owned(),
                );
            }
            let total =
                |figure: &dyn Fn(&StageTally) -> u64| self.frame.total(&self.by_unit(planned.index, figure));
            let mut rules: Vec<RuleFigures> = tally
                .dropped
                .iter()
                .map(|(rule, &seen)| RuleFigures {
                    rule: rule.clone(),
                    dropped: total(&|tally| tally.dropped.get(rule).copied().unwrap_or(0)),
                    seen,
                })
                .collect();
            rules.sort_by(|a, b| b.seen.cmp(&a.seen).then_with(|| a.rule.cmp(&b.rule)));
            stages.push(StageFigures {
                stage: planned.directory.clone(),
                records_in: total(&|tally| tally.records_in),
                kept: total(&|tally| tally.kept),
                bytes_kept: tally.bytes_kept as f64 * factor,
                rules,
                disk_bytes: self.disk(planned.index),
                bound: bound.clone(),
            });
            if let Stage::Dedup(_) = stage {
                bound = Some("behind `dedup`: upper bounds, for more duplicates will be gone".to_owned());
            }
        }
        stages
    }

    /// Bytes of a stage's files, those that only later phases read among them.
    fn disk(&self, stage: u32) -> f64 {
        let by_records = self.frame.record_factor();
        let by_tasks = self.map_tasks() as f64 / self.frame.units.len().max(1) as f64;
        let files = self.trial.outcomes.iter().flatten().flat_map(|outcome| &outcome.files);
        let size = |file: &FileRecord| match (file.kind, file.rows) {
            // A tokenizer or a classifier is there once; a task's note to the report once a task.
            (FileKind::Product, 0) if file.path.contains("/samples-") => file.bytes as f64 * by_tasks,
            (FileKind::Product | FileKind::Intermediate, 0) => file.bytes as f64,
            _ => file.bytes as f64 * by_records,
        };
        files.filter(|file| file.stage == stage).map(size).sum()
    }

    fn tokens(&self, plan: &Plan) -> Option<TokenFigures> {
        let (stage, config) = self.resolved.job.tokenize()?;
        let phase = plan.phases.iter().find(|phase| phase.kind == PhaseKind::Tokenize)?;
        let outcomes = self.trial.outcomes.get(phase.index as usize)?;
        let sum = |part: &str| -> f64 {
            let counts = outcomes.iter().filter_map(|outcome| outcome.detail[part]["tokens"].as_u64());
            counts.sum::<u64>() as f64
        };
        let (train, validation, factor) = (sum("train"), sum("validation"), self.frame.record_factor());
        let bytes = self.tally(stage).bytes_in as f64;
        Some(TokenFigures {
            train: train * factor,
            validation: validation * factor,
            bytes_per_token: bytes / (train + validation).max(1.0),
            tokenizer: match &config.tokenizer {
                Some(location) => format!("the given one, `{location}`"),
                None => format!(
                    "one trained on the sample ({bytes:.0} bytes of text); the job's own will need fewer tokens"
                ),
            },
        })
    }

    fn training(
        &self,
        plan: &Plan,
        tokens: Option<&TokenFigures>,
        scaled: &[Vec<TaskOutcome>],
    ) -> Option<TrainingFigures> {
        let (_, config) = self.resolved.job.train()?;
        // A job whose inputs are frozen has the model of `from` written out.
        let (model, steps) = (config.model.as_ref()?, config.total_steps()?);
        let taken =
            steps.saturating_mul(u64::from(config.global_batch)).saturating_mul(u64::from(model.context));
        let phase = plan.phases.iter().find(|phase| matches!(phase.kind, PhaseKind::Train { .. }))?;
        Some(TrainingFigures {
            steps,
            tokens: taken,
            epochs: tokens.filter(|it| it.train > 0.0).map(|it| taken as f64 / it.train),
            hours: self.question.tokens_per_second.map(|rate| taken as f64 / rate / 3600.0),
            memory_bytes: demand_of(self.resolved, plan, phase, &[], scaled).memory_bytes,
        })
    }

    fn notes(&self, plan: &Plan) -> Vec<String> {
        let mut notes = Vec::new();
        let taken = self.frame.taken();
        notes.push(if taken > 0.0 {
            let most = 3.0 / taken * self.frame.records().value;
            format!("a rule that is not listed drops fewer than {most:.0} records, in 95 of 100 samples")
        } else {
            "no record was taken: expected a larger `--sample`".to_owned()
        });
        if self.choice.units.len() < 2 && self.choice.all > 1 {
            notes.push("one piece of the inputs tells nothing of how others differ".to_owned());
        }
        if let (count @ 1.., bytes) = self.choice.closed {
            notes.push(format!(
                "{count} compressed {} ({}) have no place to be entered at: read from end to end, and records drawn from all of it",
                if count == 1 { "file" } else { "files" },
                ByteSize(bytes)
            ));
        }
        notes.push(
            "disk is an estimate from above: files of a sample are small, and small files compress worse"
                .to_owned(),
        );
        if !self.trial.measured_cpu {
            notes.push(
                "this system does not tell the CPU time of a process: hours are by the clock".to_owned(),
            );
        }
        if plan.phases.iter().any(|phase| matches!(phase.kind, PhaseKind::Train { .. }))
            && self.question.tokens_per_second.is_none()
        {
            notes.push(
                "the training's hours are not predicted: its rate is not known (`--tokens-per-second`)"
                    .to_owned(),
            );
        }
        if let Some(ended) = &self.trial.ended {
            notes.push(format!("not predicted from here on: {ended}"));
        }
        notes
    }
}
