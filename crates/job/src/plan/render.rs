//! The plan for people: what `orchestrator plan` prints.

use std::fmt::Write as _;

use super::{Phase, PhaseKind, Plan};
use crate::expand::FEW_DOCUMENTS;
use crate::task::Side;

/// Room for a phase's number and name before what it does.
const NAME_WIDTH: usize = 11;

impl Plan {
    /// The plan as text, a line a phase and a line a stage.
    pub fn render(&self) -> String {
        let mut text = String::from("phases\n");
        for phase in &self.phases {
            let line = format!("  {:>2}  {:<NAME_WIDTH$} {}", phase.index, phase.name, self.describe(phase));
            writeln!(text, "{}", line.trim_end()).expect("a string takes all that is written");
        }
        text.push_str("\nstages\n");
        for stage in &self.stages {
            let leaves = match stage.name.as_str() {
                "tokenize" => "tokens/",
                "train" => "checkpoints/, metrics.jsonl",
                "export" => "model/",
                _ if stage.writes_parts => "parts, dropped, notes",
                "language" => "dropped, notes",
                _ => "dropped, notes (`keep: true` writes its documents too)",
            };
            writeln!(text, "  {:<15} {leaves}", stage.directory).expect("a string takes all that is written");
        }
        text
    }

    fn describe(&self, phase: &Phase) -> String {
        let names = || {
            let names =
                self.stages.get(phase.stages.start as usize..phase.stages.end as usize).unwrap_or_default();
            names.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(" + ")
        };
        match phase.kind {
            PhaseKind::Index => {
                "a task for each input too big for one task; finds where it can be cut".to_owned()
            }
            PhaseKind::Map { side } => {
                let over = if phase.stages.start == 0 { "group of splits" } else { "part" };
                let side = match side {
                    Some(Side::Signatures { .. }) => "; leaves signatures",
                    Some(Side::Items { .. }) => "; leaves hashes of their parts",
                    Some(Side::Scores { .. }) => "; leaves scores",
                    Some(Side::Sizes { .. }) => "; leaves sizes",
                    None => "",
                };
                format!("a task for each {over}: {}{side}", names())
            }
            PhaseKind::Bands => "a task for each slice of the hash space; finds pairs (shuffle)".to_owned(),
            PhaseKind::Verify => "a task for each part; compares the texts of pairs".to_owned(),
            PhaseKind::Clusters => "one task; joins pairs to clusters, keeps one document of each".to_owned(),
            PhaseKind::Repeats => {
                "a task for each slice of the hash space; finds what occurred before (barrier)".to_owned()
            }
            PhaseKind::Cutoff => "one task; finds the score of the wanted fraction (barrier)".to_owned(),
            PhaseKind::Mixture => "one task; decides how often each group is seen (barrier)".to_owned(),
            PhaseKind::Classifier => "one task; trains the model that scores documents".to_owned(),
            PhaseKind::Prepare => {
                "one task; trains or loads the tokenizer, holds out validation (barrier)".to_owned()
            }
            PhaseKind::Tokenize => format!(
                "a task for each part, one for all where fewer than {FEW_DOCUMENTS} documents are left; encodes"
            ),
            PhaseKind::Train { world, min } if world == min => format!("a gang of {world}"),
            PhaseKind::Train { world, min } => format!("a gang of {world}, at least {min}"),
            PhaseKind::Export => "one task; writes the model".to_owned(),
            PhaseKind::Report => "one task; writes the report".to_owned(),
        }
    }
}
