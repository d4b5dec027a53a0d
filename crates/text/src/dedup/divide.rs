//! Documents divided into what is compared, and documents without what occurred before.
//!
//! ```text
//! first map ── Divider::items ──▶ (hash, place) … ──▶ seen, in the order of documents ──▶ places that occurred before
//! next map ─── Divider::cut ◀──────────────────────────────────────────────────────────── "was this place?"
//!                 └▶ text without them, a note each; or too little is left
//! ```
//!
//! Both passes divide the same text the same way, so that a place is all that has to be known of an item.

use std::ops::Range;

use orchestrator_core::{Decision, Document, Note, NoteKind};

use super::paragraph::{Paragraphs, Unit};
use super::substring::Substrings;
use super::{DedupConfig, Method};
use crate::step::{Languages, applies};

/// Divides documents for a method that cuts.
pub struct Divider {
    kind: Kind,
    languages: Languages,
    rule: &'static str,
    min_left: u64,
    max_cut: f64,
}

enum Kind {
    Paragraphs(Paragraphs),
    Substrings(Substrings),
}

impl Divider {
    /// For a validated configuration; `None` where its method drops documents for others.
    pub fn new(config: &DedupConfig) -> Option<Self> {
        let (kind, rule) = match config.method {
            Method::Exact | Method::Minhash => return None,
            Method::Paragraph => {
                let rule = match config.paragraph.unit {
                    Unit::Paragraph => "repeated_paragraph",
                    Unit::Line => "repeated_line",
                };
                (Kind::Paragraphs(Paragraphs::new(&config.paragraph)), rule)
            }
            Method::Substring => (Kind::Substrings(Substrings::new(&config.substring)), "repeated_substring"),
        };
        let DedupConfig { languages, min_left, max_cut, .. } = config;
        Some(Self { kind, languages: languages.clone(), rule, min_left: *min_left, max_cut: *max_cut })
    }

    /// How far apart, in places, two equal items are at least if the second repeats the first: so far that neither is part
    /// of the other.
    pub fn gap(&self) -> u64 {
        match &self.kind {
            Kind::Paragraphs(_) => 1,
            Kind::Substrings(substrings) => substrings.gap(),
        }
    }

    /// Hands the hash and the place in the document of each of its items to `take`, in order of places. Returns how many
    /// places the document takes: the next one's begin there.
    pub fn items(&mut self, document: &Document, take: &mut dyn FnMut(u128, u64)) -> u64 {
        if !applies(&self.languages, None, document) {
            return 0;
        }
        match &mut self.kind {
            Kind::Paragraphs(paragraphs) => {
                let mut places = 0;
                paragraphs.each(&document.text, &mut |hash| {
                    take(hash, places);
                    places += 1;
                });
                places
            }
            Kind::Substrings(substrings) => substrings.each(&document.text, take),
        }
    }

    /// Cuts out of a document what occurred before. `seen` is asked for the place of every item, in order. Returns how
    /// many places the document takes, and whether enough is left; if not, the document is as it was.
    pub fn cut(
        &mut self,
        document: &mut Document,
        notes: &mut Vec<Note>,
        seen: &mut dyn FnMut(u64) -> bool,
    ) -> (u64, Decision) {
        if !applies(&self.languages, None, document) {
            return (0, Decision::Keep);
        }
        let (cuts, places) = match &mut self.kind {
            Kind::Paragraphs(paragraphs) => {
                let mut places = 0;
                let cuts = paragraphs.cuts(&document.text, &mut || {
                    places += 1;
                    seen(places - 1)
                });
                (cuts, places)
            }
            Kind::Substrings(substrings) => substrings.cuts(&document.text, seen),
        };
        if cuts.is_empty() {
            return (places, Decision::Keep);
        }
        (places, self.apply(document, notes, &cuts))
    }

    fn apply(&self, document: &mut Document, notes: &mut Vec<Note>, cuts: &[Range<usize>]) -> Decision {
        let characters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count() as u64;
        let cut: u64 = cuts.iter().map(|cut| characters(&document.text[cut.clone()])).sum();
        let all = characters(&document.text);
        let left = all - cut;
        let share = cut as f64 / all as f64;
        let reason = if left < self.min_left || left == 0 {
            Some(("too_little_left", left.to_string()))
        } else if share > self.max_cut {
            Some(("mostly_repeated", format!("{share:.4}")))
        } else {
            None
        };
        if let Some((rule, value)) = reason {
            // Nothing is cut out of what goes as a whole; what would have been is shown in its text.
            notes.extend(cuts.iter().map(|cut| Note {
                rule: rule.into(),
                kind: NoteKind::Found,
                start: cut.start as u64,
                end: cut.end as u64,
            }));
            return Decision::drop(rule, value);
        }
        let mut text = String::with_capacity(document.text.len());
        let mut at = 0;
        for cut in cuts {
            text.push_str(&document.text[at..cut.start]);
            at = cut.end;
            notes.push(Note {
                rule: self.rule.into(),
                kind: NoteKind::Removed,
                start: cut.start as u64,
                end: cut.end as u64,
            });
        }
        text.push_str(&document.text[at..]);
        document.text = text;
        Decision::Keep
    }
}

#[cfg(test)]
mod tests;
