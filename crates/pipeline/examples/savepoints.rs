//! Measures what savepoints cost a map task that nobody disturbs, and what is gained when somebody does.
//!
//! ```sh
//! cargo run --release -p orchestrator-pipeline --example savepoints -- DIRECTORY [MIB] [ROUNDS]
//! ```
//!
//! Writes MIB (256) of JSON lines to DIRECTORY, runs the task over them ROUNDS (5) times with savepoints and as often
//! without, in turn, and prints the medians of CPU and wall time; then the most that a kill could have cost, and what an
//! attempt that goes on from the last savepoint takes.

#![expect(clippy::print_stdout, reason = "a measurement for a person")]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use orchestrator_core::{FROZEN_FILES, Savepoint, TaskOutcome};
use orchestrator_job::{Job, Plan, TaskSpec, expand};
use orchestrator_pipeline::{
    Host, JobContext, Progress, Reporter, Resume, SavepointSink, TaskContext, TaskError, inputs,
};
use orchestrator_storage::{AllowedRoots, Store};

/// The phase that reads the file, behind the indexing.
const MAP: u32 = 1;

type Trouble = Box<dyn std::error::Error>;

struct NoReport;

impl Reporter for NoReport {
    fn write(&self, _: &TaskContext) -> Result<TaskOutcome, TaskError> {
        Ok(TaskOutcome::default())
    }
}

/// Keeps what it hears, and how far the attempt was by then.
#[derive(Default)]
struct Kept {
    savepoints: Mutex<Vec<(Savepoint, u64)>>,
    progress: Arc<Progress>,
}

impl SavepointSink for Kept {
    fn report(&self, savepoint: &Savepoint) {
        let mut savepoints = self.savepoints.lock().unwrap_or_else(PoisonError::into_inner);
        savepoints.push((savepoint.clone(), self.progress.done().1));
    }
}

/// The most that a kill could have cost: what was read when a savepoint became known, and was in none before it.
fn worst_loss(savepoints: &[(Savepoint, u64)]) -> u64 {
    let begins = std::iter::once(0).chain(savepoints.iter().map(|(savepoint, _)| savepoint.bytes_read));
    savepoints.iter().zip(begins).map(|((_, read), begin)| read.saturating_sub(begin)).max().unwrap_or(0)
}

fn main() -> Result<(), Trouble> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| arguments.get(place).map_or(Ok(default), |text| text.parse());
    let directory = Path::new(arguments.first().ok_or("expected a directory to work in")?);
    let (mib, rounds) = (number(1, 256)?, number(2, 5)?);
    let (context, spec) = prepare(directory, mib << 20)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut kept = Arc::new(Kept::default());
    for _ in 0..rounds {
        without.push(measure(&context, &spec, directory, Resume::default(), Arc::default())?);
        kept = Arc::new(Kept::default());
        let resume = Resume { from: None, sink: Some(Arc::clone(&kept) as _) };
        with.push(measure(&context, &spec, directory, resume, Arc::clone(&kept.progress))?);
    }
    let savepoints = kept.savepoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let bytes: u64 = savepoints.iter().map(|(savepoint, _)| savepoint.bytes).sum();
    let (with, without) = (median(&mut with), median(&mut without));
    println!("{mib} MiB, medians of {rounds}: CPU-seconds, wall seconds");
    println!("  without savepoints {:.2} {:.2}", without.0, without.1);
    println!("  with {} of them, {} MiB {:.2} {:.2}", savepoints.len(), bytes >> 20, with.0, with.1);
    println!(
        "  cost {:.2} % of CPU, {:.2} % of time",
        (with.0 / without.0 - 1.0) * 100.0,
        (with.1 / without.1 - 1.0) * 100.0
    );
    let (worst, all) = (worst_loss(&savepoints), kept.progress.done().1);
    println!(
        "  the worst moment for a kill costs {worst} of {all} bytes of text, {:.2} %",
        worst as f64 / all.max(1) as f64 * 100.0
    );
    let from = savepoints.last().map(|(savepoint, _)| savepoint.clone());
    let went_on = measure(&context, &spec, directory, Resume { from, sink: None }, Arc::default())?;
    println!("  from the last savepoint on {:.2} {:.2}", went_on.0, went_on.1);
    Ok(())
}

/// A job over one file, and its map task.
fn prepare(directory: &Path, bytes: u64) -> Result<(Arc<JobContext>, TaskSpec), Trouble> {
    std::fs::create_dir_all(directory.join("out/.orchestrator"))?;
    let path = directory.join("big.jsonl");
    let mut file = BufWriter::new(std::fs::File::create(&path)?);
    let (mut written, mut line) = (0, 0u64);
    while written < bytes {
        let mut text = String::new();
        for word in 0..300 + line % 400 {
            let drawn = (line * 1_000 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            text.push_str(
                ["the ", "of ", "river ", "sand and ", "that ", "walked ", "to be "][(drawn % 7) as usize],
            );
            if drawn.is_multiple_of(11) {
                text.push_str(&drawn.to_string());
                text.push_str(". ");
            }
        }
        let row = serde_json::json!({"text": text, "url": format!("https://example.org/{line}")}).to_string();
        writeln!(file, "{row}")?;
        written += row.len() as u64 + 1;
        line += 1;
    }
    file.flush()?;
    let output = directory.join("out");
    let job: Job = serde_json::from_value(serde_json::json!({
        "name": "savepoints", "output": output, "target_bytes": "64 GiB",
        "pipeline": [
            {"read": {"paths": [path]}},
            {"filter": {"rules": ["gopher-quality", "c4"]}},
            {"dedup": {"method": "minhash"}},
        ],
    }))?;
    let (_, read) = job.read().ok_or("expected a read stage")?;
    let frozen = inputs::freeze(read, &job.output).map_err(|fault| fault.error)?.files;
    std::fs::write(output.join("job.yaml"), job.to_yaml()?)?;
    std::fs::write(output.join(FROZEN_FILES), "[]")?;
    let host = Host {
        scratch: directory.join("scratch"),
        reporter: Arc::new(NoReport),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let context = JobContext::load(Store::open(output.to_str().ok_or("expected a path in UTF-8")?)?, host)?;
    // The file is smaller than a task may be, so that the indexing before the map has no tasks.
    let specs = expand(&job, &Plan::new(&job), MAP, &frozen, &[Vec::new()])?;
    let spec = specs.into_iter().next().ok_or("expected a task")?;
    Ok((Arc::new(context), spec))
}

/// CPU and wall seconds of one attempt. The segments of the newest one stay.
fn measure(
    context: &Arc<JobContext>,
    spec: &TaskSpec,
    directory: &Path,
    resume: Resume,
    progress: Arc<Progress>,
) -> Result<(f64, f64), Trouble> {
    let attempt = if resume.from.is_some() { "attempt-2" } else { "attempt-1" };
    let _ = std::fs::remove_dir_all(directory.join("out").join(attempt));
    let context = TaskContext {
        job: Arc::clone(context),
        attempt_path: attempt.to_owned(),
        phase: MAP,
        progress,
        resume,
    };
    let (cpu, begun) = (cpu_seconds()?, Instant::now());
    orchestrator_pipeline::run(&context, spec)?;
    Ok((cpu_seconds()? - cpu, begun.elapsed().as_secs_f64()))
}

fn median(measured: &mut [(f64, f64)]) -> (f64, f64) {
    let middle = measured.len() / 2;
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let cpu = measured[middle].0;
    measured.sort_by(|a, b| a.1.total_cmp(&b.1));
    (cpu, measured[middle].1)
}

/// User and system time of this process (proc(5): fields 14 and 15, in hundredths on every Linux that matters).
fn cpu_seconds() -> Result<f64, Trouble> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("expected a name in brackets in /proc/self/stat")?.1;
    let fields: Vec<f64> =
        after.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(fields.iter().sum::<f64>() / 100.0)
}
