//! Verbs that look after a run: is it whole, and what can go.

use anyhow::anyhow;
use orchestrator_analytics::{self as analytics, Depth, Diagnosis, Orphan, Run};
use orchestrator_core::units::ByteSize;
use orchestrator_storage::{RelativePath, Store};
use serde_json::json;

use crate::args::{DoctorArgs, GcArgs};
use crate::console::{Console, count};
use crate::failure::Failure;

/// Where attempts and gangs write before a commit; of a finished run nothing there is needed.
const WRITTEN_BEFORE_COMMITS: [&str; 2] = [".orchestrator/attempts", ".orchestrator/gangs"];
/// Orphans that a diagnosis names; `gc` names them all.
const ORPHANS_SHOWN: usize = 10;

fn diagnose(url: &str, depth: Depth) -> Result<Diagnosis, Failure> {
    let run = Run::open(url).map_err(Failure::reading)?;
    analytics::doctor(&run, depth).map_err(|error| Failure::Failed(error.into()))
}

/// Compares a run with its manifests; a run that is not whole is a failure.
pub(crate) fn doctor(args: &DoctorArgs, console: &Console) -> Result<(), Failure> {
    let depth = if args.fast { Depth::Sizes } else { Depth::Hashes };
    let diagnosis = diagnose(&args.run, depth)?;
    console.result(&diagnosis, || diagnosis_text(&diagnosis, depth))?;
    if diagnosis.findings.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(anyhow!(
        "`{}` is not as its manifests say: {} findings",
        args.run,
        count(diagnosis.findings.len() as u64)
    )))
}

fn diagnosis_text(diagnosis: &Diagnosis, depth: Depth) -> String {
    let compared = match depth {
        Depth::Hashes => "sizes and hashes",
        Depth::Sizes => "sizes",
    };
    let mut lines = vec![format!(
        "{} files ({}) compared by {compared}; the job is {}",
        count(diagnosis.files),
        ByteSize(diagnosis.bytes),
        if diagnosis.is_finished { "finished" } else { "not finished" }
    )];
    lines
        .extend(diagnosis.findings.iter().map(|finding| format!("  {}: {}", finding.place, finding.problem)));
    if diagnosis.findings.is_empty() {
        lines.push("all is as the manifests say".to_owned());
    }
    if !diagnosis.orphans.is_empty() {
        let left = diagnosis.orphans.len();
        lines.push(format!("{} files that no manifest names", count(left as u64)));
        lines.extend(diagnosis.orphans.iter().take(ORPHANS_SHOWN).map(|orphan| format!("  {}", orphan.path)));
        if left > ORPHANS_SHOWN {
            lines.push("  … (`orchestrator gc` lists them all)".to_owned());
        }
    }
    lines.join("\n")
}

/// Lists what no manifest names, and deletes it if told to; of a finished run alone, which needs none of it.
pub(crate) fn gc(args: &GcArgs, console: &Console) -> Result<(), Failure> {
    let diagnosis = diagnose(&args.run, Depth::Sizes)?;
    if !diagnosis.is_finished && args.delete {
        return Err(Failure::usage(anyhow!(
            "the job of `{}` is not finished: what no manifest names may be in use, or is needed to go on; end the job \
             first (`orchestrator run`, `retry`), or delete the whole output",
            args.run
        )));
    }
    let orphans = &diagnosis.orphans;
    if args.delete {
        delete(&args.run, orphans).map_err(|error| Failure::Failed(error.into()))?;
    }
    let bytes: u64 = orphans.iter().filter_map(|orphan| orphan.bytes).sum();
    let value = json!({"orphans": orphans, "bytes": bytes, "deleted": args.delete,
        "is_finished": diagnosis.is_finished});
    console.result(&value, || {
        let mut lines: Vec<String> = orphans.iter().map(|orphan| orphan.path.clone()).collect();
        let (files, size) = (count(orphans.len() as u64), ByteSize(bytes));
        lines.push(match (orphans.is_empty(), args.delete) {
            (true, _) => "nothing is left over".to_owned(),
            (false, true) => format!("deleted {files} files ({size})"),
            (false, false) if diagnosis.is_finished => {
                format!("{files} files ({size}) can go: `--delete` deletes them")
            }
            (false, false) => format!(
                "{files} files ({size}) that no manifest names; the job is not finished, so they may be in use or needed to \
                 go on, and none is deleted"
            ),
        });
        lines.join("\n")
    })
}

fn delete(url: &str, orphans: &[Orphan]) -> Result<(), orchestrator_storage::Error> {
    let store = Store::open(url)?;
    for orphan in orphans {
        match orphan.bytes {
            Some(_) => store.delete(&RelativePath::new(orphan.path.as_str())?)?,
            None => store.delete_temporary(&orphan.path)?,
        }
    }
    // With them go the directories that they lay in.
    WRITTEN_BEFORE_COMMITS
        .iter()
        .try_for_each(|directory| store.delete_prefix(&RelativePath::new(*directory)?))
}
