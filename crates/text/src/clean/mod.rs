//! From what was fetched to plain text: main text of HTML, Unicode form, white space, boilerplate.
//!
//! ```text
//! HTML ─extract─▶ text ─remove spans (Markdown, Gutenberg, boilerplate)─▶ characters ─▶ white space ─▶ long enough?
//!     └ html_too_large, html_too_deep, html_too_many_nodes, extraction_failed, no_main_text  └ too_short
//! ```

mod characters;
mod mojibake;
mod page;
mod spans;
#[cfg(test)]
mod tests;

use orchestrator_core::{Decision, Document, Media, Note, NoteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::html::Structure;
use crate::step::{ConfigError, Languages, Step, applies};

/// What is taken of an HTML page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extract {
    /// The article: no navigation, no advertisements, no comments.
    #[default]
    Main,
    /// All visible text.
    All,
}

/// The Unicode normalisation form of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnicodeForm {
    /// As it came.
    None,
    /// Canonical composition: changes no meaning.
    #[default]
    Nfc,
    /// Compatibility composition: also folds ligatures, full-width letters and superscripts.
    Nfkc,
}

/// What is done with white space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whitespace {
    /// Nothing.
    Keep,
    /// Line ends become `\n` and lose trailing white space; at most one blank line in a row. Indentation stays.
    #[default]
    Lines,
    /// Also every run of white space in a line becomes one space, and indentation goes.
    Collapse,
}

/// What is done with Markdown source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Markdown {
    /// The source is the text.
    #[default]
    Keep,
    /// Comments, images, badges and link targets go; links keep their words. Fenced code stays as it is.
    Strip,
}

/// Turns what was fetched into clean text.
///
/// Drop rules: `no_main_text`, `html_too_large`, `html_too_deep`, `html_too_many_nodes`, `extraction_failed`,
/// `too_short` (with the number of characters). Notes tell the removed spans; those of an HTML page are one note, `main_text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CleanConfig {
    /// What is taken of an HTML page.
    pub extract: Extract,
    /// What of an HTML page's structure its text shows.
    pub structure: Structure,
    /// The Unicode normalisation form.
    pub unicode: UnicodeForm,
    /// Remove control characters (but for tab and newline), byte order marks and noncharacters.
    pub strip_control: bool,
    /// What is done with white space.
    pub whitespace: Whitespace,
    /// What is done with Markdown source.
    pub markdown: Markdown,
    /// Remove the header and licence that Project Gutenberg puts around a book.
    pub gutenberg: bool,
    /// Remove short lines about cookies, subscriptions and copyright.
    pub boilerplate_lines: bool,
    /// Repair UTF-8 that somebody once read as Windows-1252, -1251, -1250 or as a Macintosh's (`Ã¼` for `ü`), where that is
    /// sure enough; short runs that words could end in, `Ü“`, stay.
    pub repair_mojibake: bool,
    /// Documents with fewer characters are dropped.
    pub min_characters: u64,
    /// Judge only documents in these languages.
    pub languages: Languages,
    /// Write this stage's documents even where it is fused with its neighbours.
    pub keep: bool,
}

impl Default for CleanConfig {
    fn default() -> Self {
        Self {
            extract: Extract::Main,
            structure: Structure::Lines,
            unicode: UnicodeForm::Nfc,
            strip_control: true,
            whitespace: Whitespace::Lines,
            markdown: Markdown::Keep,
            gutenberg: true,
            boilerplate_lines: false,
            repair_mojibake: false,
            min_characters: 1,
            languages: None,
            keep: false,
        }
    }
}

impl CleanConfig {
    /// Every combination is possible; here for the stages' common face.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// The `clean` stage.
pub struct CleanStep {
    config: CleanConfig,
}

impl CleanStep {
    /// Builds the stage.
    pub fn new(config: &CleanConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config: config.clone() })
    }
}

impl Step for CleanStep {
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
        if !applies(&self.config.languages, None, document) {
            return Decision::Keep;
        }
        let is_html = document.media == Media::Html;
        if is_html {
            let text = match page::text(&document.text, self.config.extract, self.config.structure) {
                Ok(text) => text,
                Err(fault) => return Decision::drop(fault.rule(), document.text.len()),
            };
            let end = document.text.len() as u64;
            notes.push(Note { rule: "main_text".into(), kind: NoteKind::Replaced, start: 0, end });
            document.text = text;
            document.media = Media::Plain;
        }
        let removed = spans::find(&document.text, document.media, &self.config);
        if !removed.is_empty() {
            document.text = spans::remove(&document.text, &removed);
        }
        if !is_html {
            notes.extend(removed.into_iter().map(|(rule, span)| Note {
                rule: rule.into(),
                kind: NoteKind::Removed,
                start: span.start as u64,
                end: span.end as u64,
            }));
        }
        if let Some(text) = characters::normalise(&document.text, &self.config) {
            document.text = text;
        }
        let characters = document.text.chars().count() as u64;
        if characters < self.config.min_characters {
            return Decision::drop("too_short", characters);
        }
        Decision::Keep
    }
}
