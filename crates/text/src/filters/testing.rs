//! Judging one text by one rule set, for the sets' own tests.

use orchestrator_core::{Decision, Document, Note, Reason};

use super::gauge::Gauge;
use super::{RuleConfig, Scratch, Verdict, View, character_count};
use crate::files::NoFiles;

/// What a set makes of a document, or why it drops it.
pub(super) fn verdict(
    config: &dyn RuleConfig,
    document: &Document,
    notes: &mut Vec<Note>,
) -> Result<Verdict, Reason> {
    let rules = config.build(&NoFiles).expect("a set without files");
    let splitter = rules.splitter(document.language.as_deref());
    let mut words = Vec::new();
    if let Some(splitter) = splitter {
        splitter.split_into(&document.text, &mut words);
    }
    let view = View {
        text: &document.text,
        url: document.url.as_deref(),
        language: document.language.as_deref(),
        words: &words,
        splitter: splitter.unwrap_or_default(),
        characters: character_count(&document.text),
    };
    let mut gauge = Gauge::default();
    let verdict = rules.judge(&view, &mut Scratch::default(), &mut gauge, notes);
    match gauge.into_drop() {
        Some(Decision::Drop(reason)) => Err(reason),
        Some(Decision::Keep) | None => Ok(verdict),
    }
}

/// Lines of so many words that do not repeat, each put into its place in `line`.
pub(super) fn prose(lines: usize, words: usize, line: impl Fn(&str) -> String) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let word = |at: usize, n: usize| format!("w{}o{}{}rd", letter(at * words + n), letter(at), letter(n * 5));
    let each = |at: usize| line(&(0..words).map(|n| word(at, n)).collect::<Vec<_>>().join(" "));
    (0..lines).map(each).collect::<Vec<_>>().join("\n")
}

/// The rule and value that a text is dropped by, if it is.
pub(super) fn drop(config: &dyn RuleConfig, text: &str) -> Option<(String, String)> {
    let reason = verdict(config, &Document::new("test", 0, text), &mut Vec::new()).err()?;
    Some((reason.rule.into_owned(), reason.value))
}

/// Asserts the drop rule and value of each text.
pub(super) fn assert_drops(config: &dyn RuleConfig, cases: &[(&str, Option<(&str, &str)>)]) {
    for (text, expected) in cases {
        let found = drop(config, text);
        let found = found.as_ref().map(|(rule, value)| (rule.as_str(), value.as_str()));
        assert_eq!(found, *expected, "{}", text.chars().take(200).collect::<String>());
    }
}
