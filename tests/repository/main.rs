//! What the repository says of itself: the crates and their directions, the manifests for Kubernetes.

#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use support::{Ran, python_tool, repository};

type Crates = BTreeMap<String, BTreeSet<String>>;

/// The table of crates in docs/architecture.md: crate → what it depends on.
fn table() -> Crates {
    let text =
        std::fs::read_to_string(repository().join("docs/architecture.md")).expect("docs/architecture.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut crates = Crates::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, dependencies] = cells[..] else { panic!("three cells in `{row}`") };
        let dependencies = match dependencies {
            "–" => BTreeSet::new(),
            "all above" => crates.keys().cloned().collect(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        crates.insert(name.to_owned(), dependencies);
    }
    crates
}

/// The same as Cargo knows it. What only tests or build scripts use binds nobody.
fn metadata() -> Crates {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(repository());
    let metadata = Ran::of(&mut command).ended(0).json();
    let short =
        |name: &Value| name.as_str().and_then(|name| name.strip_prefix("orchestrator-")).map(str::to_owned);
    let packages = metadata["packages"].as_array().expect("packages");
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies");
        all.iter().filter(|one| one["kind"].is_null()).filter_map(|one| short(&one["name"])).collect()
    };
    packages
        .iter()
        .map(|package| (short(&package["name"]).expect("our prefix"), dependencies(package)))
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() {
    let (table, metadata) = (table(), metadata());
    assert_eq!(
        table.keys().collect::<Vec<_>>(),
        metadata.keys().collect::<Vec<_>>(),
        "docs/architecture.md lists every crate"
    );
    for (name, dependencies) in &metadata {
        assert_eq!(&table[name], dependencies, "the row of `{name}` in docs/architecture.md");
    }
}

#[test]
fn the_control_plane_does_not_reach_the_tensor_engine() {
    let metadata = metadata();
    for from in ["coordinator", "scheduler", "proto", "job", "storage", "analytics"] {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            open.extend(metadata[&name].iter().filter(|next| !reached.contains(*next)).cloned());
            reached.insert(name);
        }
        for engine in ["model", "train", "pipeline", "worker"] {
            assert!(!reached.contains(engine), "`{from}` reaches `{engine}`");
        }
    }
}

#[test]
fn manifests_for_kubernetes_are_valid() {
    let Some(python) = python_tool("python") else {
        println!("skipped: no Python environment; `.ci/tools` makes one");
        return;
    };
    let root = repository();
    let mut command = Command::new(python);
    command.arg(root.join("tests/deploy/validate.py")).arg(root.join("deploy/kubernetes"));
    let schemas = root.join("../shared/data/kubernetes_schemas");
    if schemas.is_dir() {
        command.arg(schemas);
    } else {
        println!("skipped: ../shared is absent, JobSet and Kueue kinds stay unchecked");
    }
    let ran = Ran::of(&mut command).ended(0);
    println!("{}", ran.stdout);
}
