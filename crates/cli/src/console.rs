//! The two streams: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};
pub(crate) use orchestrator_core::units::count;
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Format;
use crate::failure::Failure;

/// Checks what `--log` says. The library takes any word for the name of a module, and what it cannot read for nothing.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    // Spans and fields hold commas and `=` of their own.
    let has_spans = text.contains(['[', '{']);
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let wrong = directives.find(|directive| !has_spans && !has_level(directive));
    match (wrong, EnvFilter::try_new(text)) {
        (None, Ok(_)) => Ok(text.to_owned()),
        (wrong, _) => Err(format!(
            "`{}` is no filter: expected `error`, `warn`, `info`, `debug`, `trace` or `off`, or one for a module, such as \
             `orchestrator_worker=debug`",
            wrong.unwrap_or(text)
        )),
    }
}

/// Whether a directive is a level or ends with one.
fn has_level(directive: &str) -> bool {
    let level = directive.split_once('=').map_or(directive, |(_, level)| level.trim());
    !level.is_empty() && level.parse::<LevelFilter>().is_ok()
}

/// What workers in the same process say of attempts that end, the coordinator says too.
pub(crate) const TOLD_BY_COORDINATOR: &str = ",orchestrator_worker::execute=error";

/// Starts logging to standard error.
pub(crate) fn start_logging(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}

/// Prints results in the wanted form.
pub(crate) struct Console {
    format: Format,
}

impl Console {
    /// Prints in `format`.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person watches: bars and colours only then.
    pub(crate) fn is_interactive(&self) -> bool {
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() && !self.is_json()
    }

    /// Prints a result: `value` as JSON, or `text` for a person, whose terminal is spared what it would obey: documents,
    /// file names and models hold all kinds of characters.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut rendered = match self.format {
            Format::Json => serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?,
            Format::Human => visible(&text()),
        };
        if !rendered.ends_with('\n') {
            rendered.push('\n');
        }
        write_out(&rendered)
    }

    /// Prints text that has one form alone.
    #[expect(clippy::unused_self, reason = "all printing goes through the console")]
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        write_out(text)
    }

    /// Says something that is no result.
    #[expect(clippy::unused_self, reason = "all printing goes through the console")]
    pub(crate) fn note(&self, text: &str) {
        // Nobody left to read it: nothing to do about that.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Says why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if !matches!(failure, Failure::Told) {
            self.note(&format!("error: {failure}"));
        }
    }
}

/// A text with a space for each control character that does not lay it out.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Failed(error.into())),
    }
}

/// A table with a header; the named columns are aligned right.
pub(crate) fn table<const N: usize>(header: [&str; N], right: &[usize], rows: Vec<[String; N]>) -> String {
    let mut table = bare_table();
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    drawn(table)
}

/// A table of ours without anything in it.
pub(crate) fn bare_table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Draws a table: a line a row. Rules stand between rows only where a row takes several lines, which could not be told from
/// the next row otherwise.
pub(crate) fn drawn(mut table: Table) -> String {
    let ruled = table.style().row_separator;
    table.style_mut().row_separator = LineStyle::none();
    // Top, header, the rule below it, bottom.
    if table.lines().count() > table.row_count() + 4 {
        table.style_mut().row_separator = ruled;
    }
    table.to_string()
}

/// A number as JSON has it, in at most six digits: `6e-5` is written so, and not with the digits that only a computer needs.
pub(crate) fn digits(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    if rounded != 0.0 && !(1e-4..1e15).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

/// `part` of `whole` in per cent; a dash when there is no whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert_eq!(visible("a\u{1b}[2J\tb\r\nc\u{9b}31m\u{7}é"), "a [2J\tb \nc 31m é");
    }

    #[test]
    fn filters_of_the_log_are_levels_or_modules_with_one() {
        for good in
            ["warn", "OFF", "", "orchestrator_worker=debug", "warn,hyper=off,h2=error", "[task{n=1}]=info"]
        {
            assert_eq!(log_filter(good).as_deref(), Ok(good));
        }
        for bad in ["nonsense", "foo=bar=baz", "foo=", "foo=loud", "warn,nonsense"] {
            let said = log_filter(bad).expect_err(bad);
            assert!(said.contains("expected `error`"), "{said}");
        }
    }

    #[test]
    fn a_row_of_one_line_needs_no_rule() {
        let rows = |text: &str| vec![[text.to_owned()], ["b".to_owned()]];
        assert_eq!(table(["x"], &[], rows("a")).lines().count(), 6);
        assert_eq!(table(["x"], &[], rows("a\na")).lines().count(), 8, "two lines, and a rule");
    }

    #[test]
    fn numbers_have_the_digits_that_people_read() {
        let shown = [0.000_059_999_999_999_999_995, 6e-4, 3.216_987_654, 0.0, 120.0, 1e300].map(digits);
        assert_eq!(shown, ["6e-5", "0.0006", "3.21699", "0", "120", "1e300"]);
    }
}
