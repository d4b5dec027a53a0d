//! `compat`: our decisions beside a peer's.

use std::io::{BufWriter, Write};

use orchestrator_analytics::{
    self as analytics, By, CompatOptions, Compatibility, Error, Example, Peer, Run, Selection,
};

use crate::args::{CompatArgs, JoinBy, PeerName};
use crate::console::{Console, count, percent, table};
use crate::failure::Failure;

/// Pairs of fates that a person is shown; `--output json` has all.
const PAIRS: usize = 60;

/// Compares a run with a peer's output.
pub(crate) fn run(args: &CompatArgs, console: &Console) -> Result<(), Failure> {
    let run = Run::open(&args.run).map_err(Failure::usage)?;
    let options = CompatOptions {
        peer: match args.peer {
            PeerName::Datatrove => Peer::Datatrove,
            PeerName::Dolma => Peer::Dolma,
        },
        directory: args.directory.clone(),
        by: args.by.map(|by| match by {
            JoinBy::Id => By::Id,
            JoinBy::Record => By::Record,
            JoinBy::Url => By::Url,
            JoinBy::Text => By::Text,
        }),
        selection: Selection {
            kept: args.kept.clone(),
            removed: args.removed.clone(),
            minhash_input: args.minhash_input.clone(),
        },
        mixer: args.mixer.clone(),
        scratch: None,
    };
    let found = match &args.differences {
        None => analytics::compat(&run, &options, None).map_err(failure)?,
        Some(path) => {
            let written = |error: std::io::Error| {
                Failure::Failed(
                    anyhow::Error::new(error).context(format!("cannot write `{}`", path.display())),
                )
            };
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            // Whole or not there.
            let file = tempfile::NamedTempFile::new_in(directory.unwrap_or(".".as_ref())).map_err(written)?;
            let mut out = BufWriter::new(file);
            let found =
                analytics::compat(&run, &options, Some(&mut out as &mut dyn Write)).map_err(failure)?;
            let file = out.into_inner().map_err(|error| written(error.into_error()))?;
            file.persist(path).map_err(|error| written(error.error))?;
            found
        }
    };
    console.result(&found, || text(&found))
}

/// What is wrong with what was asked, or with what lies there.
fn failure(error: Error) -> Failure {
    match error {
        Error::NoPeerOutput { .. }
        | Error::NothingDecided(_)
        | Error::NoKey { .. }
        | Error::NothingInCommon { .. } => Failure::usage(error),
        other => Failure::Failed(other.into()),
    }
}

fn text(found: &Compatibility) -> String {
    let (documents, verdicts, texts) = (&found.documents, &found.verdicts, &found.texts);
    let of = documents.in_both;
    let peer = match found.peer {
        Peer::Datatrove => "datatrove",
        Peer::Dolma => "dolma",
    };
    let line = |name: &str, number: u64, of: u64| [name.to_owned(), count(number), percent(number, of)];
    let mut rows = vec![
        line("documents in both", of, of),
        line("  verdicts agree", verdicts.both_kept + verdicts.both_dropped, of),
        line("    both kept", verdicts.both_kept, of),
        line("      texts equal", texts.equal, verdicts.both_kept),
        line("      texts differ", texts.differ, verdicts.both_kept),
        line("    both dropped", verdicts.both_dropped, of),
        line("      for a reason of one name", verdicts.same_reason, verdicts.both_dropped),
        line("  only we dropped", verdicts.only_we_dropped, of),
        line("  only they dropped", verdicts.only_they_dropped, of),
        line("only ours", documents.ours - of, documents.ours),
        line("only theirs", documents.theirs - of, documents.theirs),
    ];
    for (name, number) in [
        ("texts of which one is not known", texts.unknown),
        ("ours whose key is not known", documents.ours_without_key),
        ("theirs without a key", documents.theirs_without_key),
        ("ours with the key of another", documents.ours_repeated),
        ("kept by the mixer though its configuration excludes them", found.contradictions),
    ] {
        if number > 0 {
            rows.push([name.to_owned(), count(number), String::new()]);
        }
    }
    let mut lines = vec![
        format!("joined by {} with {peer}", found.by.name()),
        table(["", "documents", ""], &[1, 2], rows),
    ];
    let shown = found.pairs.iter().take(PAIRS);
    let pairs = shown.map(|pair| {
        let example = pair.examples.first().map_or_else(String::new, example_text);
        [count(pair.documents), pair.ours.clone(), pair.theirs.clone(), example]
    });
    lines.push(table(["documents", "ours", "theirs", "for example"], &[0], pairs.collect()));
    if found.pairs.len() > PAIRS {
        lines.push(format!(
            "and {} more pairs: `--output json` has them",
            count((found.pairs.len() - PAIRS) as u64)
        ));
    }
    if let Some(example) = texts.examples.first() {
        lines.push(format!("texts differ, for example, of {}", example_text(example)));
    }
    let other = found.stated.iter().filter(|stated| stated.stated != stated.found);
    lines.extend(other.map(|stated| {
        format!(
            "its figures say that `{}` dropped {}, and its files hold {}",
            stated.reason,
            count(stated.stated),
            count(stated.found)
        )
    }));
    lines.join("\n")
}

fn example_text(example: &Example) -> String {
    let names = [example.id.as_deref(), example.place.as_deref()];
    names.into_iter().flatten().collect::<Vec<_>>().join("  ")
}
