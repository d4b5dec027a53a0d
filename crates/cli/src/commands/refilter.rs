//! `refilter`: what other thresholds would do, from stored scores.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use orchestrator_job::Job;
use orchestrator_pipeline::Host;
use orchestrator_pipeline::refilter::{self, Move, RefilterError, Refiltered, StageOutcome};
use orchestrator_storage::documents::MovesWriter;
use orchestrator_storage::{AllowedRoots, Store};

use crate::args::RefilterArgs;
use crate::console::{Console, count, table};
use crate::failure::Failure;
use crate::job_file;
use crate::reporter::AnalyticsReporter;

/// Says what other thresholds would do to a run's documents.
pub(crate) fn run(args: &RefilterArgs, console: &Console) -> Result<(), Failure> {
    let output = Store::open(&args.run).map_err(Failure::usage)?;
    let before = job_of(&output, &args.run)?;
    let after = match &args.job {
        // Where the run lies is no difference.
        Some(path) => Job { output: before.output.clone(), ..job_file::load(path)?.job },
        None => args.set.iter().try_fold(before, |job, (key, value)| {
            job.with(key, value.clone()).map_err(|error| Failure::usage(anyhow!("`--set`: {error}")))
        })?,
    };
    let host = Host {
        scratch: std::env::temp_dir(),
        reporter: Arc::new(AnalyticsReporter),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let mut list = args.changed.as_deref().map(List::create).transpose()?;
    let told = refilter::refilter(&output, host, &after, &mut |moved| {
        list.as_mut().map_or(Ok(()), |list| list.push(moved))
    })
    .map_err(failure)?;
    if let Some(list) = list {
        list.finish().context("the list of changed documents cannot be written")?;
    }
    console.result(&told, || text(&told))
}

fn failure(error: RefilterError) -> Failure {
    match error {
        RefilterError::Unchanged(_)
        | RefilterError::Fixed(_)
        | RefilterError::NoScores(_)
        | RefilterError::Untold { .. }
        | RefilterError::Unpublished(_)
        | RefilterError::Stage { .. }
        | RefilterError::Load(_) => Failure::usage(error),
        RefilterError::Storage(_) | RefilterError::Unfaithful { .. } | RefilterError::List(_) => {
            Failure::Failed(error.into())
        }
    }
}

/// The job that a run was made by.
fn job_of(output: &Store, run: &str) -> Result<Job, Failure> {
    let bytes = orchestrator_storage::try_read_job(output)
        .map_err(Failure::usage)?
        .ok_or_else(|| Failure::usage(anyhow!("`{run}` is no run: expected a directory with `job.yaml`")))?;
    let text =
        String::from_utf8(bytes).context("`job.yaml` of the run is not UTF-8").map_err(Failure::usage)?;
    Ok(orchestrator_job::parse(&text, "job.yaml")?.job)
}

/// The file of documents that change.
enum List {
    Parquet(Box<MovesWriter<BufWriter<File>>>),
    Lines(BufWriter<File>),
}

impl List {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path)
            .with_context(|| format!("`{}` cannot be written", path.display()))
            .map_err(Failure::usage)?;
        let file = BufWriter::new(file);
        let is_parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        Ok(if is_parquet {
            Self::Parquet(Box::new(MovesWriter::new(file).map_err(|error| Failure::Failed(error.into()))?))
        } else {
            Self::Lines(file)
        })
    }

    fn push(&mut self, moved: Move<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Move { id, stage, before, after } = moved;
        match self {
            Self::Parquet(writer) => writer.push(id, stage, before, after)?,
            Self::Lines(file) => writeln!(file, "{id}\t{stage}\t{before}\t{after}")?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Parquet(writer) => writer.finish()?.flush()?,
            Self::Lines(mut file) => file.flush()?,
        }
        Ok(())
    }
}

fn text(told: &Refiltered) -> String {
    let mut text = String::new();
    for change in &told.changes {
        let _ = writeln!(text, "{change}");
    }
    let rows = told.stages.iter().flat_map(rows).collect();
    text += &table(["stage", "before", "after", "change"], &[1, 2, 3], rows);
    for stage in &told.stages {
        let StageOutcome { now_kept, now_dropped, other_rule, .. } = stage;
        if now_kept + now_dropped + other_rule > 0 {
            let _ = write!(
                text,
                "\n{}: {} documents more are kept, {} more dropped, {} dropped by another rule",
                stage.stage,
                count(*now_kept),
                count(*now_dropped),
                count(*other_rule)
            );
        }
        if stage.unmeasured > 0 {
            let _ = write!(
                text,
                "\n{}: {} documents come in that it never measured; what it makes of them is not known, and they are in \
                 no figure after",
                stage.stage,
                count(stage.unmeasured)
            );
        }
    }
    if let Some(ends) = &told.ends {
        let _ = write!(text, "\nthe account ends here: {ends}");
    }
    text
}

fn rows(stage: &StageOutcome) -> Vec<[String; 4]> {
    let row = |name: String, [before, after]: [u64; 2]| {
        let change = i128::from(after) - i128::from(before);
        let change = match change {
            0 => String::new(),
            more if more > 0 => format!("+{}", count(after - before)),
            _ => format!("-{}", count(before - after)),
        };
        [name, count(before), count(after), change]
    };
    let mut rows = vec![row(format!("{}: in", stage.stage), stage.records_in)];
    rows.push(row("  kept".to_owned(), stage.kept));
    rows.extend(stage.rules.iter().map(|rule| row(format!("  {}", rule.rule), rule.counts)));
    rows
}
