//! What is wrong with a job file: where, what was expected, and the line itself.

use std::fmt;

use orchestrator_core::redact;

use super::tree::Position;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub at: Position,
    /// The key's path: `pipeline[3].filter.rules`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The line it stands in, cut to a sane length.
    pub line: String,
}

/// A job file that is no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct JobFileError {
    /// The file, as the user named it.
    pub file: String,
    /// All that was found, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Longest line that is shown.
const LONGEST_LINE: usize = 160;

impl Problem {
    pub(super) fn new(
        text: &str,
        at: Position,
        path: String,
        mut message: String,
        help: Option<String>,
    ) -> Self {
        // A URL with credentials is a mistake that is told of in logs, which must not hold them.
        let line = redact(text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default());
        // A tab is one character and many columns: the mark below must stand under the right one.
        let line = line.chars().take(LONGEST_LINE).map(|c| if c == '\t' { ' ' } else { c }).collect();
        message = redact(&message);
        Self { at, path, message, help: help.map(|help| redact(&help)), line }
    }
}

impl fmt::Display for JobFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{}:{}:{}: ", self.file, problem.at.line, problem.at.column)?;
            if !problem.path.is_empty() {
                write!(f, "{}: ", problem.path)?;
            }
            write!(f, "{}", problem.message)?;
            let number = problem.at.line.to_string();
            let margin = " ".repeat(number.len());
            if !problem.line.trim().is_empty() {
                write!(f, "\n{margin} |\n{number} | {}", problem.line.trim_end())?;
                let column = (problem.at.column as usize).clamp(1, LONGEST_LINE + 1);
                write!(f, "\n{margin} | {}^", " ".repeat(column - 1))?;
            }
            if let Some(help) = &problem.help {
                write!(f, "\n{margin} = {help}")?;
            }
        }
        Ok(())
    }
}
