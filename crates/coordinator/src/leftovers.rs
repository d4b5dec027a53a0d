//! What an earlier job left in an output must not pass for what this one makes.
//!
//! No manifest, no stage: so manifests go, those of stages that are about to be made and those of stages that this job does
//! not have, with their directories. With a manifest go the files that its stage left outside its directory (a model,
//! checkpoints, metrics), and the report. The manifest is the proof that they are a job's: what else lies in an output may be somebody's own. Parts of
//! stages that are made again are swept once the stage is published.

use orchestrator_storage::{Error, RelativePath, Store};

use crate::planner::PlannedJob;
use crate::publish::insist;

/// Written at the end, about all stages.
const REPORT: [&str; 2] = ["report.html", "report.json"];
/// Its checkpoints come before its manifest, so that those of a job which never got to its end have no other proof than
/// their names.
const TRAIN: &str = "train";

/// Removes what does not belong to a job whose phases before `phase` stand. Nothing of that phase has begun.
pub(crate) async fn remove(store: &Store, planned: &PlannedJob, phase: u32) -> Result<(), Error> {
    let standing: Vec<&String> = planned
        .stages
        .iter()
        .filter(|stage| stage.phase < phase)
        .flat_map(|stage| &stage.manifests)
        .collect();
    let there = insist(store, |store| store.list(&RelativePath::new("stages")?)).await?;
    let there = there.iter().filter(|entry| entry.path.file_name() == "manifest.json");
    let stale: Vec<&RelativePath> = there
        .map(|entry| &entry.path)
        .filter(|path| !standing.iter().any(|own| *own == path.as_str()))
        .collect();
    let comes_again =
        |name: &str| planned.stages.iter().any(|stage| stage.phase >= phase && stage.name == name);
    for (stage, begin) in &planned.products {
        let was_left = stale.iter().any(|path| stage_of(path) == Some(stage.as_str()));
        // What an earlier phase of a tokenize stage has just made lies beside what its last phase will make.
        let is_being_made = planned.stages.iter().any(|own| own.name == *stage) && stage != TRAIN;
        if (was_left && !is_being_made) || (stage == TRAIN && begin.contains('/') && comes_again(TRAIN)) {
            delete_all(store, begin).await?;
        }
    }
    let mut gone: Vec<RelativePath> = Vec::new();
    if !stale.is_empty() {
        gone.extend(REPORT.map(RelativePath::new).into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    // The proof goes last: a crash before leaves it to the next try.
    let own = |path: &RelativePath| {
        planned.stages.iter().flat_map(|stage| &stage.manifests).any(|manifest| manifest == path.as_str())
    };
    for path in stale {
        match path.as_str().rsplit_once('/') {
            Some((directory, _)) if !own(path) => {
                let directory = RelativePath::new(directory)?;
                insist(store, move |store| store.delete_prefix(&directory)).await?;
            }
            _ => gone.push(path.clone()),
        }
    }
    for stage in planned.stages.iter().filter(|stage| stage.phase >= phase) {
        for manifest in &stage.manifests {
            gone.push(RelativePath::new(manifest.as_str())?);
        }
    }
    for path in gone {
        insist(store, move |store| store.delete(&path)).await?;
    }
    Ok(())
}

/// `train` of `stages/04-train/manifest.json`.
fn stage_of(manifest: &RelativePath) -> Option<&str> {
    let directory = manifest.as_str().split('/').nth(1)?;
    directory.split_once('-').map(|(_, name)| name)
}

/// Deletes all files whose paths begin so.
async fn delete_all(store: &Store, begin: &str) -> Result<(), Error> {
    let Some((directory, _)) = begin.rsplit_once('/') else {
        let path = RelativePath::new(begin)?;
        return insist(store, move |store| store.delete(&path)).await;
    };
    let (directory, begin) = (RelativePath::new(directory)?, begin.to_owned());
    insist(store, move |store| {
        let files = store.list(&directory)?;
        files
            .iter()
            .filter(|entry| entry.path.as_str().starts_with(&begin))
            .try_for_each(|entry| store.delete(&entry.path))
    })
    .await
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Digest;

    use super::*;
    use crate::planner::PlannedStage;

    #[tokio::test]
    async fn only_what_stands_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let stage = |index: u32, name: &str, phase: u32| PlannedStage {
            name: name.to_owned(),
            phase,
            manifests: vec![format!("stages/{index:02}-{name}/manifest.json")],
            fingerprint: Digest(0),
            inputs: Vec::new(),
        };
        let planned = PlannedJob {
            name: "job".to_owned(),
            output: String::new(),
            max_attempts: 1,
            yaml: String::new(),
            frozen: String::new(),
            phases: Vec::new(),
            stages: vec![stage(0, "read", 0), stage(1, "tokenize", 1), stage(2, "train", 2)],
            products: [
                ("tokenize", "tokens/"),
                ("train", "checkpoints/step-"),
                ("train", "metrics.jsonl"),
                ("export", "model/"),
                ("other", "others/"),
            ]
            .map(|(stage, path)| (stage.to_owned(), path.to_owned()))
            .into(),
        };
        let stay = [
            "stages/00-read/manifest.json",
            "stages/02-train/part-00000.parquet",
            "tokens/tokenizer.json",
            "checkpoints/mine/weights",
            "others/mine.txt",
        ];
        let go = [
            "stages/01-tokenize/manifest.json",
            "stages/02-dedup/manifest.json",
            "stages/02-dedup/part-00000.parquet",
            "stages/02-train/manifest.json",
            "stages/03-export/manifest.json",
            "checkpoints/step-1/manifest.json",
            "metrics.jsonl",
            "model/config.json",
            "report.html",
        ];
        for path in stay.iter().chain(&go) {
            store.put_atomic(&RelativePath::new(*path).expect("a path"), b"x").expect("put");
        }
        for _ in 0..2 {
            remove(&store, &planned, 1).await.expect("removed");
            for path in stay {
                assert!(directory.path().join(path).exists(), "{path}");
            }
            for path in go {
                assert!(!directory.path().join(path).exists(), "{path}");
            }
        }
    }
}
