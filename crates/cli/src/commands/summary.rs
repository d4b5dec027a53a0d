//! What is said of a job: while it runs, and when it has ended.

use std::fmt::Write as _;

use anyhow::anyhow;
use orchestrator_analytics::{self as analytics, Report, Run, Section};
use orchestrator_proto::v1::{JobDetail, JobState, PhaseState, Reused};
use serde_json::{Value, json};

use crate::commands::progress;
use crate::commands::remote::state_name;
use crate::commands::runs::stats_text;
use crate::console::{Console, count, table};
use crate::failure::Failure;

/// Characters of what a model was given and of what it wrote, and lines of that, in a summary.
const PROMPT_CHARACTERS: usize = 80;
const SAMPLE_CHARACTERS: usize = 400;
const SAMPLE_LINES: usize = 8;

/// Prints the summary of an ended job; an error unless it succeeded. Who reads JSON gets one document in either case: of a
/// job that failed or was cancelled what `describe` says, with its error and the tasks in quarantine.
pub(crate) fn finish(detail: &JobDetail, output: &str, console: &Console) -> Result<(), Failure> {
    let summary = detail.summary.clone().unwrap_or_default();
    if summary.state() != JobState::Succeeded {
        let mut message = format!("job {} {}", summary.job, state_name(summary.state()));
        if !summary.error.is_empty() {
            let _ = write!(message, ": {}", summary.error);
        }
        for task in &detail.quarantined {
            let phase = detail.phases.get(task.phase as usize).map_or("?", |phase| phase.name.as_str());
            let _ = write!(
                message,
                "\n  phase {} ({phase}) task {} after {} attempts: {}",
                task.phase, task.task, task.attempts, task.error
            );
        }
        if console.is_json() {
            console.result(&detail_json(detail), String::new)?;
        }
        message += &evidence(output);
        return Err(Failure::Failed(anyhow!(message)));
    }
    succeeded(Some(&summary.job), output, console)
}

/// Prints the summary of a run that has come to its end. `job` is its id, where a coordinator knows it.
pub(crate) fn succeeded(job: Option<&str>, output: &str, console: &Console) -> Result<(), Failure> {
    // The report task has gathered the figures already; of a remote output nothing else is fetched.
    let read = Run::open(output)
        .and_then(|run| Ok(analytics::stored_report(&run)?.map(|it| (analytics::stats(&run), it))));
    let report = read.unwrap_or_else(|error| {
        console.note(&format!("the figures of `{output}` cannot be read: {error}"));
        None
    });
    let value = json!({ "job": job, "state": "succeeded", "output": output,
        "stages": report.as_ref().map(|(stats, _)| &stats.stages),
        "headline": report.as_ref().map(|(_, report)| &report.headline) });
    console.result(&value, || match &report {
        Some((stats, report)) => format!("{}\n{}", stats_text(stats), closing(report, output)),
        None => format!("the job succeeded; output: {output}"),
    })
}

/// What dedup stages that stopped the job found: the largest clusters, and what sources would lose.
fn evidence(output: &str) -> String {
    // Without a run that can be read, the error says what there is to say.
    let audits = Run::open(output).and_then(|run| analytics::cluster_audits(&run)).unwrap_or_default();
    let mut text = String::new();
    for (stage, audit) in audits.iter().filter(|(_, audit)| audit.stop.is_some()) {
        let _ = write!(
            text,
            "\n  {stage}: {} of {} documents would go, in {} clusters",
            count(audit.duplicates),
            count(audit.documents),
            count(audit.clusters)
        );
        if let Some(similarity) = &audit.similarity {
            let _ =
                write!(text, "; mean Jaccard of {} sampled pairs {:.2}", similarity.pairs, similarity.mean);
        }
        for cluster in audit.largest.iter().take(3) {
            let begins = cluster.samples.first().map_or(String::new(), |sample| visible(&sample.text, 60));
            let _ = write!(text, "\n    {} documents: {begins}", count(cluster.documents));
        }
        for loss in audit.sources.most.iter().take(3) {
            let _ = write!(
                text,
                "\n    source `{}` loses {} of {}",
                loss.source,
                count(loss.dropped),
                count(loss.documents)
            );
        }
    }
    text
}

/// The beginning of a text on one line, without what a terminal would obey.
fn visible(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn closing(report: &Report, output: &str) -> String {
    let mut text = String::new();
    if let Some(malformed) = &report.headline.malformed {
        let _ = writeln!(
            text,
            "malformed        {} in {} of {} files; what is cut short or cannot be opened counts once, whatever was in it",
            count(malformed.records),
            count(malformed.files),
            count(malformed.of_files)
        );
        for file in &malformed.most {
            let _ = writeln!(
                text,
                "                 {} {}: {}",
                count(file.records),
                visible(&file.source, 60),
                visible(&file.first, 100)
            );
        }
    }
    if let Section::Data(duplicates) = &report.duplicates {
        let _ = writeln!(
            text,
            "duplicates       {} in {} clusters, the largest of {}",
            count(duplicates.dropped),
            count(duplicates.clusters),
            count(duplicates.largest)
        );
    }
    if let Some(tokens) = report.headline.tokens {
        let _ = writeln!(text, "tokens           {}", count(tokens));
    }
    if let Section::Data(training) = &report.training {
        let curve: Vec<String> = thinned(&training.validation_loss, 8)
            .into_iter()
            .map(|point| format!("{}: {:.3}", point.step, point.value))
            .collect();
        let _ = writeln!(text, "steps            {}", count(training.steps));
        let curve = match curve.as_slice() {
            [] => format!("not measured: {}", analytics::NOT_VALIDATED),
            points => points.join("  "),
        };
        let _ = writeln!(text, "validation loss  {curve}");
    }
    if let Section::Data(samples) = &report.generated
        && let Some(sample) = samples.first()
    {
        if !sample.prompt.trim().is_empty() {
            let _ = writeln!(text, "a prompt         {}", tail(&sample.prompt, PROMPT_CHARACTERS));
        }
        let _ = writeln!(text, "what it writes   {}", bounded(&sample.text).join("\n                 "));
    }
    let _ = write!(text, "report           {}/report.html", output.trim_end_matches('/'));
    text
}

/// The end of a text on one line.
fn tail(text: &str, most: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.chars().count().checked_sub(most) {
        None | Some(0) => line,
        Some(over) => format!("…{}", line.chars().skip(over).collect::<String>()),
    }
}

/// The first lines of a text that say something, so many that they do not fill a screen.
fn bounded(text: &str) -> Vec<String> {
    let shown: String = text.chars().take(SAMPLE_CHARACTERS).collect();
    let mut lines: Vec<String> =
        shown.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let is_cut = shown.len() < text.len() || lines.len() > SAMPLE_LINES;
    lines.truncate(SAMPLE_LINES);
    if is_cut && let Some(last) = lines.last_mut() {
        last.push('…');
    }
    lines
}

/// At most `most` points, the first and the last among them.
fn thinned(points: &[analytics::Point], most: usize) -> Vec<&analytics::Point> {
    let last = points.len().saturating_sub(1);
    if points.len() <= most {
        return points.iter().collect();
    }
    (0..most).filter_map(|place| points.get(place * last / (most - 1))).collect()
}

/// More lines on what differs help nobody.
const REASONS_MAX: usize = 20;

/// What `--reuse` keeps and does anew, for people.
pub(crate) fn reused_text(reused: &Reused) -> String {
    let list = |phases: &[String]| if phases.is_empty() { "nothing".to_owned() } else { phases.join(", ") };
    let mut text = format!("kept: {}\ndone anew: {}", list(&reused.kept), list(&reused.run));
    for (place, reason) in reused.because.iter().take(REASONS_MAX).enumerate() {
        let _ = write!(text, "\n{} {reason}", if place == 0 { "because" } else { "       " });
    }
    if let Some(more) = reused.because.len().checked_sub(REASONS_MAX).filter(|&more| more > 0) {
        let _ = write!(text, "\n        and {more} more differences");
    }
    text
}

/// The same for programs.
pub(crate) fn reused_json(reused: &Reused) -> Value {
    json!({ "kept": reused.kept, "run": reused.run, "because": reused.because })
}

/// A job's state as JSON.
pub(crate) fn detail_json(detail: &JobDetail) -> Value {
    let summary = detail.summary.clone().unwrap_or_default();
    let phases: Vec<Value> = detail
        .phases
        .iter()
        .map(|phase| {
            json!({ "phase": phase.phase, "name": phase.name, "state": phase_state(phase.state()),
                "tasks": phase.tasks, "tasks_done": phase.tasks_done, "tasks_running": phase.tasks_running,
                "records": phase.records, "bytes": phase.bytes, "generation": phase.generation,
                "progress": serde_json::from_str::<Value>(&phase.progress).unwrap_or(Value::Null) })
        })
        .collect();
    let running: Vec<Value> = detail
        .running
        .iter()
        .map(|attempt| {
            json!({ "phase": attempt.phase, "task": attempt.task, "attempt": attempt.attempt,
                "worker": attempt.worker, "age_ms": attempt.age_ms,
                "since_heartbeat_ms": attempt.since_heartbeat_ms, "doing": attempt.doing })
        })
        .collect();
    let quarantined: Vec<Value> = detail
        .quarantined
        .iter()
        .map(|task| {
            json!({ "phase": task.phase, "task": task.task, "attempts": task.attempts, "error": task.error })
        })
        .collect();
    json!({ "job": summary.job, "name": summary.name, "state": state_name(summary.state()),
        "output": summary.output, "error": summary.error, "phases": phases, "running": running,
        "quarantined": quarantined, "waiting": detail.waiting, "priority": summary.priority })
}

fn phase_state(state: PhaseState) -> &'static str {
    match state {
        PhaseState::Unspecified => "unknown",
        PhaseState::Waiting => "waiting",
        PhaseState::Running => "running",
        PhaseState::Published => "published",
        PhaseState::Failed => "failed",
        PhaseState::Cancelled => "cancelled",
    }
}

/// A job's state for a person.
pub(crate) fn detail_text(detail: &JobDetail) -> String {
    let summary = detail.summary.clone().unwrap_or_default();
    let mut text = format!(
        "{} ({}): {}\noutput {}\n",
        summary.job,
        summary.name,
        state_name(summary.state()),
        summary.output
    );
    if !summary.error.is_empty() {
        let _ = writeln!(text, "error  {}", summary.error);
    }
    for waiting in &detail.waiting {
        let _ = writeln!(text, "waits  {waiting}");
    }
    let rows = detail.phases.iter().map(|phase| {
        [
            phase.phase.to_string(),
            phase.name.clone(),
            phase_state(phase.state()).to_owned(),
            format!("{}/{}", phase.tasks_done, phase.tasks),
            count(phase.records),
            progress::told(&phase.progress),
        ]
    });
    text += &table(["", "phase", "state", "tasks", "records", "progress"], &[0, 3, 4], rows.collect());
    if !detail.running.is_empty() {
        let rows = detail.running.iter().map(|attempt| {
            [
                format!("{}.{}", attempt.phase, attempt.task),
                attempt.attempt.to_string(),
                attempt.worker.clone(),
                format!("{:.1} s", attempt.age_ms as f64 / 1e3),
                format!("{} ms", attempt.since_heartbeat_ms),
                attempt.doing.clone(),
            ]
        });
        text.push('\n');
        text += &table(["task", "attempt id", "worker", "age", "heard", "doing"], &[1, 3, 4], rows.collect());
    }
    for task in &detail.quarantined {
        let _ = write!(
            text,
            "\nquarantined: phase {} task {} after {} attempts: {}",
            task.phase, task.task, task.attempts, task.error
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use orchestrator_proto::v1::PhaseDetail;

    use super::*;

    #[test]
    fn a_sample_of_newlines_does_not_fill_the_screen() {
        let lines = bounded(&"a\n\n\n\n".repeat(90));
        assert_eq!((lines.len(), lines[0].as_str(), lines[7].as_str()), (8, "a", "a…"));
        assert_eq!(bounded("one\n two"), ["one", " two"]);
        assert!(bounded("\n\n").is_empty());
        assert_eq!(tail("the \n end of a story", 8), "… a story");
        assert_eq!(tail("short", 8), "short");
    }

    #[test]
    fn a_table_shows_what_a_gang_tells_in_words() {
        let phase = PhaseDetail {
            name: "train".to_owned(),
            state: PhaseState::Running.into(),
            progress: r#"{"step":20,"loss":3.21,"tokens_per_second":1234.5,"steps":100}"#.to_owned(),
            ..PhaseDetail::default()
        };
        let detail = JobDetail { phases: vec![phase], ..JobDetail::default() };
        let text = detail_text(&detail);
        assert!(text.contains("20/100, loss 3.210, 1,234 tokens/s") && !text.contains('{'), "{text}");
        assert_eq!(detail_json(&detail)["phases"][0]["progress"]["step"], 20, "programs get all of it");
    }
}
