//! Prints what the scrubber finds, for `benches/compare/pii.py`.
//!
//! Reads JSON strings from the standard input, one a line, and prints a JSON array of (kind, first byte, one past the
//! last) for each. Every kind is looked for, those on request too where `--all` is given.

use std::io::{BufRead, Write};

use orchestrator_text::pii::{Kind, PiiConfig, PiiStep};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = PiiConfig::default();
    if std::env::args().any(|argument| argument == "--all") {
        config.kinds = Some(Kind::all().collect());
    }
    let mut step = PiiStep::new(&config, None)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let found: Vec<_> =
            step.spans(&text).into_iter().map(|(kind, span)| (kind, span.start, span.end)).collect();
        serde_json::to_writer(&mut out, &found)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
