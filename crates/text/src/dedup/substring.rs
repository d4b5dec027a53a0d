//! Substrings of so many tokens that occurred before.
//!
//! ```text
//! tokens   t0 t1 t2 … ─▶ every window of N tokens ─▶ its hash ─▶ a window at least N tokens before it is equal?
//!                                              the tokens of all windows for which one is ─▶ go
//! ```
//!
//! A stretch of N tokens or more occurred before if and only if each of its windows of N tokens did, at the same distance;
//! so the union of windows that occurred before is the union of all such stretches, and no suffix array is needed to find
//! it: see `docs/decisions/repeats.md`. The task is that of Lee et al., "Deduplicating Training Data Makes Language Models
//! Better" (2022), whose tokens are those of a BPE vocabulary.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::rolling::Rolling;
use crate::decontaminate::words::is_of_word;
use crate::step::ConfigError;
use crate::words::is_unspaced;

/// What substrings are counted in. Either way the tokens together are the text, so that equal tokens are equal bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenUnit {
    /// A word with the white space before it; every other character with the white space before it, too: marks, and each
    /// character of a script that is written without blanks.
    #[default]
    Words,
    /// Every character.
    Characters,
}

/// Which substrings are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubstringConfig {
    /// Tokens of the shortest substring that is removed. 50 words are some 70 tokens of a usual BPE vocabulary in English.
    pub min_tokens: u32,
    /// What counts as a token.
    pub tokens: TokenUnit,
    /// With `tokens: characters`: leave what is removed of a word at either end, so that no word is cut in two.
    pub word_bounds: bool,
}

impl Default for SubstringConfig {
    fn default() -> Self {
        Self { min_tokens: 50, tokens: TokenUnit::Words, word_bounds: false }
    }
}

/// Tokens of the longest shortest substring.
const MOST_TOKENS: u32 = 10_000;
/// Of the shortest: shorter ones repeat in any text.
const LEAST_TOKENS: u32 = 5;

impl SubstringConfig {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !(LEAST_TOKENS..=MOST_TOKENS).contains(&self.min_tokens) {
            let message = format!("is {}; expected {LEAST_TOKENS} to {MOST_TOKENS} tokens", self.min_tokens);
            return Err(ConfigError::new("substring.min_tokens", message));
        }
        if self.word_bounds && self.tokens == TokenUnit::Words {
            let message = "is for `tokens: characters`; words are never cut in two";
            return Err(ConfigError::new("substring.word_bounds", message));
        }
        Ok(())
    }
}

/// Divides texts into tokens and windows.
pub(super) struct Substrings {
    config: SubstringConfig,
    window: Rolling,
}

impl Substrings {
    pub(super) fn new(config: &SubstringConfig) -> Self {
        Self { config: config.clone(), window: Rolling::new(config.min_tokens as usize) }
    }

    /// Tokens that lie between two windows that do not overlap, at least.
    pub(super) fn gap(&self) -> u64 {
        self.config.min_tokens.into()
    }

    /// Hands the hash and the place (its first token) of every window to `take`, in order; returns the number of places.
    ///
    /// Windows of two documents never overlap, so that all tokens of a document count, but those of one without a window.
    pub(super) fn each(&mut self, text: &str, take: &mut dyn FnMut(u128, u64)) -> u64 {
        self.window.clear();
        let mut tokens = 0;
        for token in tokens_of(text, self.config.tokens) {
            tokens += 1;
            let hash = xxh3_128(&text.as_bytes()[token]);
            if let Some(hash) = self.window.push(hash) {
                take(hash, tokens - self.gap());
            }
        }
        if tokens < self.gap() { 0 } else { tokens }
    }

    /// The stretches that go, and the number of places; `seen` is asked for every window's place, in order, whether an
    /// equal one came before.
    pub(super) fn cuts(&self, text: &str, seen: &mut dyn FnMut(u64) -> bool) -> (Vec<Range<usize>>, u64) {
        let gap = self.gap();
        let mut cuts: Vec<Range<usize>> = Vec::new();
        // Starts of the last `gap` tokens: a window's place is known to be one when its last token is there.
        let mut starts = std::collections::VecDeque::with_capacity(gap as usize);
        let mut tokens = 0_u64;
        for token in tokens_of(text, self.config.tokens) {
            tokens += 1;
            starts.push_back(token.start);
            if tokens < gap {
                continue;
            }
            let start = starts.pop_front().unwrap_or_default();
            if seen(tokens - gap) {
                match cuts.last_mut() {
                    Some(last) if last.end >= start => last.end = token.end,
                    _ => cuts.push(start..token.end),
                }
            }
        }
        if self.config.word_bounds {
            for cut in &mut cuts {
                *cut = within_words(text, cut.clone());
            }
            cuts.retain(|cut| !cut.is_empty());
        }
        (cuts, if tokens < gap { 0 } else { tokens })
    }
}

/// The tokens of a text, which together are the text.
fn tokens_of(text: &str, unit: TokenUnit) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        at += match unit {
            TokenUnit::Words => word(&text[start..]),
            TokenUnit::Characters => text[start..].chars().next()?.len_utf8(),
        };
        (at > start).then_some(start..at)
    })
}

/// Whether a character is of a word that may have more of them.
fn joins(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { is_of_word(c) && !is_unspaced(c) }
}

/// Bytes of the token that `text` begins with.
fn word(text: &str) -> usize {
    let blank = text.len() - text.trim_start().len();
    let rest = &text[blank..];
    match rest.chars().next() {
        None => blank,
        Some(first) if !joins(first) => blank + first.len_utf8(),
        Some(_) => blank + rest.find(|c| !joins(c)).unwrap_or(rest.len()),
    }
}

/// A stretch without the parts of words at its ends.
fn within_words(text: &str, cut: Range<usize>) -> Range<usize> {
    let inside = |at: usize| {
        let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
        before.is_some_and(joins) && after.is_some_and(joins)
    };
    let content = &text[cut.clone()];
    let start = if inside(cut.start) { content.find(|c| !joins(c)).unwrap_or(content.len()) } else { 0 };
    let end = if inside(cut.end) {
        content.char_indices().rev().find(|&(_, c)| !joins(c)).map_or(0, |(at, c)| at + c.len_utf8())
    } else {
        content.len()
    };
    cut.start + start..cut.start + end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<&str> {
        tokens_of(text, TokenUnit::Words).map(|token| &text[token]).collect()
    }

    #[test]
    fn tokens_are_words_with_the_blanks_before_them() {
        assert_eq!(
            tokens("Don't  stop,\n(now)! "),
            ["Don", "'", "t", "  stop", ",", "\n(", "now", ")", "!", " "]
        );
        assert_eq!(tokens("我喜欢 Rust。e\u{301}é"), ["我", "喜", "欢", " Rust", "。", "e\u{301}é"]);
        assert_eq!(tokens(""), Vec::<&str>::new());
        assert_eq!(tokens(" \n"), [" \n"]);
    }

    #[test]
    fn no_word_is_cut_in_two_where_asked() {
        let text = "abc def, ghi jkl";
        assert_eq!(&text[within_words(text, 1..14)], " def, ghi ");
        assert_eq!(&text[within_words(text, 3..8)], " def,");
        assert_eq!(&text[within_words(text, 0..16)], text);
        assert!(within_words(text, 1..2).is_empty());
        let text = "我喜欢Rust";
        assert_eq!(&text[within_words(text, 3..10)], "喜欢", "a character that stands alone is a word");
    }

    #[test]
    fn windows_take_their_places_and_documents_take_all_tokens() {
        let mut substrings =
            Substrings::new(&SubstringConfig { min_tokens: 5, ..SubstringConfig::default() });
        let mut places = Vec::new();
        assert_eq!(substrings.each("a b c d e f g", &mut |_, place| places.push(place)), 7);
        assert_eq!(places, [0, 1, 2]);
        assert_eq!(substrings.each("a b c d", &mut |_, _| panic!("no window")), 0);
        assert_eq!(substrings.cuts("a b c d", &mut |_| panic!("no window")), (vec![], 0));
        // Windows 0 and 2 of "a b c d e f g h i j" were seen, and window 9 of a longer text.
        let text = "a b c d e f g h i j k l m n";
        let (cuts, places) = substrings.cuts(text, &mut |place| [0, 2, 9].contains(&place));
        assert_eq!(places, 14);
        assert_eq!(
            cuts.iter().map(|cut| &text[cut.clone()]).collect::<Vec<_>>(),
            ["a b c d e f g", " j k l m n"]
        );
    }
}
