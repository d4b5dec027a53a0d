//! Verbs that look into a run's output.

use anyhow::anyhow;
use orchestrator_analytics::{self as analytics, Found, Run, Table, Verdict};
use orchestrator_core::units::ByteSize;

use crate::args::{DiffArgs, QueryArgs, TraceArgs};
use crate::console::{Console, bare_table, count, drawn, percent, table};
use crate::failure::Failure;

/// Rows that a query prints at most.
const QUERY_ROWS: usize = 1_000;

fn open(url: &str) -> Result<Run, Failure> {
    Run::open(url).map_err(Failure::reading)
}

/// Figures per stage.
pub(crate) fn stats(url: &str, console: &Console) -> Result<(), Failure> {
    let stats = analytics::stats(&open(url)?);
    console.result(&stats, || stats_text(&stats))
}

/// The funnel as a table: a line a stage, a line a rule.
pub(crate) fn stats_text(stats: &analytics::Stats) -> String {
    let mut rows = Vec::new();
    for stage in &stats.stages {
        let figures = [
            count(stage.records_in),
            count(stage.kept),
            count(stage.dropped),
            percent(stage.dropped, stage.records_in),
            ByteSize(stage.bytes_kept).to_string(),
        ];
        // Zeros would say that a training lost all documents.
        let has_documents = !matches!(stage.stage.as_str(), "train" | "export");
        let [records_in, kept, dropped, share, text] =
            figures.map(|figure| if has_documents { figure } else { "–".to_owned() });
        rows.push([stage.stage.clone(), records_in, kept, dropped, share, text]);
        for rule in &stage.rules {
            let name = format!("  {}", rule.rule);
            let share = percent(rule.count, stage.records_in);
            rows.push([name, String::new(), String::new(), count(rule.count), share, String::new()]);
        }
    }
    table(["stage", "in", "kept", "dropped", "of in", "text kept"], &[1, 2, 3, 4, 5], rows)
}

/// What changed between two runs.
pub(crate) fn diff(args: &DiffArgs, console: &Console) -> Result<(), Failure> {
    let difference = analytics::diff(&open(&args.first)?, &open(&args.second)?).map_err(Failure::reading)?;
    console.result(&difference, || difference_text(&difference))
}

fn difference_text(difference: &analytics::Difference) -> String {
    if difference.is_none() {
        return format!("no difference: {} documents with equal fates", count(difference.unchanged));
    }
    let pair = |[one, two]: [u64; 2]| {
        if one == two { count(one) } else { format!("{} → {}", count(one), count(two)) }
    };
    let mut rows = Vec::new();
    for stage in &difference.stages {
        let same = match (stage.same_digest, stage.same_fingerprint) {
            (true, _) => "same bytes",
            (false, true) => "other bytes of the same job",
            (false, false) => "differs",
        };
        rows.push([stage.stage.clone(), same.to_owned(), pair(stage.records_in), pair(stage.kept)]);
        if let Some(documents) = stage.measured_otherwise.filter(|&documents| documents > 0) {
            let said = format!("{} measured otherwise", count(documents));
            rows.push([String::new(), said, String::new(), String::new()]);
        }
        for rule in &stage.rules {
            rows.push([format!("  {}", rule.rule), String::new(), String::new(), pair(rule.counts)]);
        }
    }
    let moves = difference.transitions.iter().map(|found| {
        [
            count(found.documents),
            found.from.clone(),
            found.to.clone(),
            found.examples.first().cloned().unwrap_or_default(),
        ]
    });
    format!(
        "{}\n{}\n{} documents have equal fates",
        table(["stage", "", "in", "kept, dropped by rule"], &[2, 3], rows),
        table(["documents", "first run", "second run", "for example"], &[0], moves.collect()),
        count(difference.unchanged)
    )
}

/// One SQL statement.
pub(crate) fn query(args: &QueryArgs, console: &Console) -> Result<(), Failure> {
    let answer = analytics::query(&open(&args.run)?, &args.sql, QUERY_ROWS).map_err(Failure::reading)?;
    console.result(&answer, || {
        let mut table = bare_table();
        table.set_header(answer.columns.iter().map(|column| column.name.as_str()));
        for row in &answer.rows {
            table.add_row(row.iter().map(Table::text));
        }
        let more = if answer.limited {
            format!("\nmore rows than {QUERY_ROWS}: add a LIMIT")
        } else {
            String::new()
        };
        format!("{}{more}", drawn(table))
    })
}

/// What happened to one document, or what a checkpoint was trained on.
pub(crate) fn trace(args: &TraceArgs, console: &Console) -> Result<(), Failure> {
    let run = open(&args.run)?;
    if args.what.starts_with("step-") {
        let found =
            analytics::checkpoint_documents(&run, &args.what, args.limit).map_err(Failure::reading)?;
        return console.result(&found, || lineage_text(&found));
    }
    if run.stages().is_empty() {
        return Err(Failure::usage(anyhow!(
            "no stage is finished in `{}`, so that no document can be found there: expected a run's output (`--run RUN`)",
            args.run
        )));
    }
    let trace = analytics::trace(&run, &args.what).map_err(|error| match error {
        analytics::Error::UnknownDocument { .. } => {
            Failure::usage(anyhow!("{error}{}", how_to_find(&args.what, &args.run)))
        }
        error => Failure::reading(error),
    })?;
    console.result(&trace, || trace_text(&trace))
}

/// What to do about a key that names no document.
fn how_to_find(what: &str, run: &str) -> String {
    if what.len() < 32 && !what.is_empty() && what.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return format!(": an id has 32 hexadecimal digits, this has {}", what.len());
    }
    if what.contains("://") || what.len() == 32 {
        return String::new();
    }
    format!(
        ": expected an id of 32 hexadecimal digits, or a URL; the documents of a file are found with `orchestrator query \
         {run} \"SELECT id FROM STAGE WHERE source = '{what}'\"`"
    )
}

fn lineage_text(found: &analytics::CheckpointDocuments) -> String {
    let shards = found.shards.iter().map(|shard| {
        [shard.shard.clone(), count(shard.documents), count(shard.tokens), shard.documents_file.clone()]
    });
    let sources = found
        .sources
        .iter()
        .map(|source| [source.source.clone(), count(source.documents), count(source.tokens)]);
    let documents = found.first_documents.iter().map(|document| {
        [
            document.id.clone(),
            format!("{} {}", document.source, document.record),
            document.url.clone().unwrap_or_default(),
        ]
    });
    let mut text = format!(
        "{} draws its batches from shards with {} documents ({} tokens)\n{}\n{} of {} sources, those with most documents\n{}\nthe first {} of {} documents (`--limit` shows more)\n{}",
        found.checkpoint,
        count(found.documents),
        count(found.tokens),
        table(["shard", "documents", "tokens", "their ids"], &[1, 2], shards.collect()),
        count(found.sources.len() as u64),
        count(found.sources_total),
        table(["source", "documents", "tokens"], &[1, 2], sources.collect()),
        count(found.first_documents.len() as u64),
        count(found.documents),
        table(["id", "source", "url"], &[], documents.collect()),
    );
    if found.without_source > 0 {
        text.push('\n');
        text.push_str(&count(found.without_source));
        text.push_str(" documents are in no part any more");
    }
    text
}

fn trace_text(trace: &analytics::Trace) -> String {
    let mut lines = vec![format!(
        "document {}\n  {} record {}{}",
        trace.document.id,
        trace.document.source,
        trace.document.record,
        trace.document.url.as_deref().map_or_else(String::new, |url| format!("\n  {url}")),
    )];
    for other in &trace.others {
        lines.push(format!("  the same URL: {} ({} record {})", other.id, other.source, other.record));
    }
    for step in &trace.steps {
        let verdict = match &step.verdict {
            Verdict::Kept => "kept".to_owned(),
            Verdict::Dropped { rule, value, survivor } => match survivor {
                Some(survivor) => format!(
                    "dropped: {rule}, in favour of {} ({} record {})",
                    survivor.id, survivor.source, survivor.record
                ),
                None => format!("dropped: {rule} ({value})"),
            },
            Verdict::Unknown => "not known".to_owned(),
        };
        lines.push(format!("{:02} {:<10} {verdict}", step.number, step.stage));
        for note in &step.notes {
            lines.push(format!(
                "   {:<10} {} {} bytes {}..{}",
                "", note.what, note.rule, note.start, note.end
            ));
        }
    }
    for place in &trace.tokens {
        lines.push(format!(
            "tokens        {} sequence {}, {} tokens from {}",
            place.shard, place.sequence, place.length, place.offset
        ));
    }
    if !trace.checkpoints.is_empty() {
        lines.push(format!("checkpoints   {} draw on that shard", trace.checkpoints.join(", ")));
    }
    for earlier in &trace.earlier {
        lines.push(format!("before that, in `{}` up to `{}`:", earlier.run, earlier.stage));
        match &earlier.found {
            Found::Trace(trace) => lines.push(trace_text(trace)),
            Found::Absent(reason) => lines.push(format!("  {reason}")),
        }
    }
    lines.join("\n")
}
