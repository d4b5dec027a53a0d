//! Who is killed, and when.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::corpus::Dice;
use crate::support::output::names;

/// The rank processes below `parents`.
pub(crate) fn ranks(parents: &[u32]) -> Vec<u32> {
    let processes = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse::<u32>().ok());
    processes
        .filter(|&id| parent(id).is_some_and(|parent| parents.contains(&parent)) && is_rank(id))
        .collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; the state and the parent follow the last bracket.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_rank(process: u32) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).nth(1) == Some(b"rank")
}

/// Waits for a random moment: some milliseconds from now, or just when published files change.
pub(crate) fn moment(dice: &mut Dice, output: &Path, longest_ms: u64) -> String {
    if dice.between(0, 2) == 0 {
        let wait = dice.between(1, longest_ms);
        std::thread::sleep(Duration::from_millis(wait));
        return format!("after {wait} ms");
    }
    let before = published(output);
    let patience = Instant::now() + Duration::from_millis(longest_ms);
    let mut seen = before.clone();
    while seen == before && Instant::now() < patience {
        seen = published(output);
    }
    let wait = dice.between(0, 4_000);
    std::thread::sleep(Duration::from_micros(wait));
    let new: Vec<&String> = seen.difference(&before).collect();
    format!("{wait} µs after the appearance of {new:?}")
}

/// The files that are being published, by their names.
fn published(output: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for top in ["stages", "checkpoints"] {
        for directory in names(&output.join(top)) {
            let files = names(&output.join(top).join(&directory));
            found.extend(files.into_iter().map(|file| format!("{directory}/{file}")));
        }
    }
    for top in ["tokens", "model", ""] {
        found.extend(names(&output.join(top)).into_iter().map(|file| format!("{top}/{file}")));
    }
    found
}
