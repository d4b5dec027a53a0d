//! `plan`: what a job does, and with a sample what will come of it.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context;
use orchestrator_core::units::ByteSize;
use orchestrator_job::Plan;
use orchestrator_pipeline::Host;
use orchestrator_pipeline::sample::{self, Estimate, Prediction, Question, SampleError};
use orchestrator_storage::AllowedRoots;

use crate::args::PlanArgs;
use crate::commands::daemons;
use crate::console::{Console, count, table};
use crate::failure::Failure;
use crate::job_file;
use crate::reporter::AnalyticsReporter;

/// Prints the plan of a job, or what a sample tells of it.
pub(crate) fn run(args: &PlanArgs, console: &Console) -> Result<(), Failure> {
    let loaded = job_file::load(&args.job)?;
    let Some(fraction) = args.sample else {
        let plan = Plan::new(&loaded.job);
        return console.result(&plan, || plan.render());
    };
    let resolved = job_file::freeze(loaded, console)?;
    let directory = tempfile::Builder::new()
        .prefix("orchestrator-sample-")
        .tempdir()
        .context("a directory for the sample cannot be made")?;
    let host = Host {
        scratch: directory.path().join("scratch"),
        reporter: Arc::new(AnalyticsReporter),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let question = Question {
        fraction,
        seed: args.sample_seed,
        workers: args.workers.unwrap_or_else(daemons::cores).max(1),
        tokens_per_second: args.tokens_per_second,
    };
    let told = sample::predict(&resolved, host, directory.path(), question).map_err(failure)?;
    console.result(&told, || text(&told))
}

fn failure(error: SampleError) -> Failure {
    match error {
        SampleError::Nothing => Failure::usage(error),
        SampleError::Load(_)
        | SampleError::Job(_)
        | SampleError::Storage(_)
        | SampleError::Task { .. }
        | SampleError::Inputs(_) => Failure::Failed(error.into()),
    }
}

fn text(told: &Prediction) -> String {
    let sample = &told.sample;
    let mut text = format!(
        "a sample of {}: {} of {} records seen in {} of {} pieces ({} of {})\n",
        sample.fraction,
        count(sample.taken),
        count(sample.seen),
        count(sample.units[0] as u64),
        count(sample.units[1] as u64),
        ByteSize(sample.bytes[0]),
        ByteSize(sample.bytes[1]),
    );
    let mut rows = Vec::new();
    for stage in &told.stages {
        let size = |bytes: f64| ByteSize(bytes as u64).to_string();
        let share = |part: Estimate| match stage.records_in.value {
            all if all > 0.0 => format!("{:.1} %", 100.0 * part.value / all),
            _ => String::new(),
        };
        rows.push([
            stage.stage.clone(),
            rounded(stage.records_in.value),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        rows.push([
            "  kept".to_owned(),
            rounded(stage.kept.value),
            interval(stage.kept),
            share(stage.kept),
            size(stage.bytes_kept),
            size(stage.disk_bytes),
        ]);
        rows.extend(stage.rules.iter().map(|rule| {
            [
                format!("  {}", rule.rule),
                rounded(rule.dropped.value),
                interval(rule.dropped),
                share(rule.dropped),
                String::new(),
                String::new(),
            ]
        }));
    }
    text += &table(["stage", "records", "95 of 100", "of in", "text", "disk"], &[1, 2, 3, 4, 5], rows);
    for stage in told.stages.iter().filter_map(|stage| Some((&stage.stage, stage.bound.as_ref()?))) {
        let _ = write!(text, "\n{}: {}", stage.0, stage.1);
    }
    let rows = told.phases.iter().map(|phase| {
        [
            phase.phase.clone(),
            count(phase.tasks),
            ByteSize(phase.memory_bytes).to_string(),
            time(phase.cpu_seconds),
            time(phase.wall_seconds),
        ]
    });
    let _ = write!(
        text,
        "\n\n{}",
        table(["phase", "tasks", "memory a task", "CPU", "wall"], &[1, 2, 3, 4], rows.collect())
    );
    let _ = write!(
        text,
        "\n{} of CPU; {} with {} workers; {} on disk",
        time(told.cpu_hours * 3600.0),
        time(told.wall_hours * 3600.0),
        told.workers,
        ByteSize(told.disk_bytes as u64)
    );
    if let Some(tokens) = &told.tokens {
        let _ = write!(
            text,
            "\ntokens: {} to train on and {} held out, {:.2} bytes each; tokenizer: {}",
            rounded(tokens.train),
            rounded(tokens.validation),
            tokens.bytes_per_token,
            tokens.tokenizer
        );
    }
    if let Some(training) = &told.training {
        let _ =
            write!(text, "\ntraining: {} steps, {} tokens", count(training.steps), count(training.tokens));
        if let Some(epochs) = training.epochs {
            let _ = write!(text, ", {epochs:.2} times through the data");
        }
        if let Some(hours) = training.hours {
            let _ = write!(text, ", {}", time(hours * 3600.0));
        }
        let _ = write!(text, "; memory a rank {}", ByteSize(training.memory_bytes));
    }
    for note in &told.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn rounded(value: f64) -> String {
    count(value.round() as u64)
}

fn interval(estimate: Estimate) -> String {
    if estimate.high.is_finite() {
        format!("{}–{}", rounded(estimate.low), rounded(estimate.high))
    } else {
        format!("at least {}", rounded(estimate.low))
    }
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.1} s"),
        middle if middle < 7_200.0 => format!("{:.0} min", middle / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}
