//! Gathers a report.

use polars::prelude::col;

use super::{
    Digested, Headline, Report, Section, TrainingSummary, decontamination, documents, job, malformed, samples,
};
use crate::error::Error;
use crate::repeats::repeated_stages;
use crate::run::Run;
use crate::stats::stats;
use crate::tables::{scan_tokens, token_shards};
use crate::trace::number;
use crate::training::{Metrics, thin};

/// Points of one curve in a report: more than a screen has columns for.
const CURVE_POINTS: usize = 800;

/// Reads the report that a finished run left; `None` where there is none.
pub fn stored_report(run: &Run) -> Result<Option<Report>, Error> {
    run.files().json("report.json")
}

/// Gathers the report of a run.
pub fn report(run: &Run) -> Result<Report, Error> {
    let metrics = Metrics::read(run)?;
    let stages = stats(run).stages;
    let seen = samples::Seen::read(run)?;
    let audits = documents::audits(run)?;
    Ok(Report {
        schema_version: 1,
        name: run.name().map(str::to_owned),
        seed: run.seed(),
        digest: stages.last().map(|s| Digested { stage: s.stage.clone(), digest: s.digest.clone() }),
        inputs: job::inputs(run),
        options: job::options(run)?,
        parameters: job::parameters(run)?,
        vocabulary: job::vocabulary(run),
        headline: headline(run, metrics.as_ref())?,
        lengths: documents::lengths(run, &seen),
        languages: documents::languages(run, &seen),
        duplicates: documents::duplicates(run, &audits)?,
        audits,
        decontamination: decontamination::hits(run, &seen)?,
        repeats: repeated_stages(run)?,
        training: match &metrics {
            Some(metrics) => Section::Data(training(metrics)),
            None => Section::absent("This run has not trained a model: there is no metrics.jsonl."),
        },
        generated: samples::generated(run)?,
        kept_samples: samples::kept(run)?,
        dropped_samples: samples::dropped(run, &seen),
        stages,
    })
}

fn headline(run: &Run, metrics: Option<&Metrics>) -> Result<Headline, Error> {
    let documents = || run.document_stages().filter(|stage| stage.manifest.records_in > 0);
    let last = documents().filter(|stage| stage.name != "tokenize").last().or_else(|| documents().last());
    let tokens = match scan_tokens(run, &token_shards(run)?)? {
        Some(frame) => Some(number(&frame.select([col("length").sum()]).collect()?, "length", 0)?),
        None => None,
    };
    let steps = metrics.map_or(&[][..], |metrics| &metrics.0);
    // Every read step brings records of its own.
    let reads = run.stages().iter().filter(|stage| stage.name == "read");
    Ok(Headline {
        records_in: reads.fold(0, |sum, stage| sum.saturating_add(stage.manifest.records_in)),
        documents_kept: last.map_or(0, |stage| stage.manifest.kept),
        bytes_kept: last.map_or(0, |stage| stage.manifest.bytes_kept),
        tokens,
        steps: steps.last().map(|step| step.step),
        loss: steps.iter().rev().find_map(|step| step.loss),
        validation_loss: steps.iter().rev().find_map(|step| step.validation_loss),
        malformed: malformed::malformed(run)?,
    })
}

fn training(metrics: &Metrics) -> TrainingSummary {
    let validation = metrics.curve(|step| step.validation_loss);
    let speed = metrics.curve(|step| step.tokens_per_second);
    let mut speeds: Vec<f64> = speed.iter().map(|point| point.value).collect();
    speeds.sort_by(f64::total_cmp);
    TrainingSummary {
        steps: metrics.0.len() as u64,
        tokens: metrics.0.iter().filter_map(|step| step.tokens).max(),
        loss: thin(&metrics.curve(|step| step.loss), CURVE_POINTS),
        best_validation: validation.iter().min_by(|a, b| a.value.total_cmp(&b.value)).copied(),
        validation_loss: thin(&validation, CURVE_POINTS),
        tokens_per_second: thin(&speed, CURVE_POINTS),
        median_tokens_per_second: speeds.get(speeds.len() / 2).copied(),
    }
}
