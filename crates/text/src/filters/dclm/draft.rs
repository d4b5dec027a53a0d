//! A text with parts cut out of it, that knows where each of its bytes stood.

use std::borrow::Cow;

use orchestrator_core::{Note, NoteKind};

/// What is left of a text.
pub(super) struct Draft<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where each kept piece begins in `text`, and where it began in the original. Sorted; empty where nothing is cut.
    pieces: Vec<(usize, usize)>,
}

/// A part to cut: its place, and the rule that cuts it.
pub(super) type Cut = (std::ops::Range<usize>, &'static str);

impl<'a> Draft<'a> {
    /// The whole text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), pieces: Vec::new() }
    }

    /// Where a byte stood in the original.
    fn origin(&self, at: usize) -> usize {
        match self.pieces.partition_point(|&(start, _)| start <= at).checked_sub(1) {
            Some(piece) => self.pieces[piece].1 + (at - self.pieces[piece].0),
            None => at,
        }
    }

    /// Cuts parts out, sorted and disjoint, and notes where they stood.
    pub(super) fn cut(&mut self, cuts: &[Cut], notes: &mut Vec<Note>) {
        if cuts.is_empty() {
            return;
        }
        let mut text = String::with_capacity(self.text.len());
        let mut pieces = Vec::new();
        let mut from = 0;
        let whole = (self.text.len()..self.text.len(), "");
        for (range, rule) in cuts.iter().chain([&whole]) {
            if from < range.start {
                let piece = |at| (text.len() + at - from, self.origin(at));
                pieces.push(piece(from));
                let inner = self.pieces.iter().map(|&(start, _)| start);
                pieces.extend(inner.filter(|&start| from < start && start < range.start).map(piece));
                text.push_str(&self.text[from..range.start]);
            }
            from = range.end;
            if !range.is_empty() {
                let (start, end) = (self.origin(range.start), self.origin(range.end - 1) + 1);
                let kind = NoteKind::Removed;
                notes.push(Note { rule: Cow::Borrowed(rule), kind, start: start as u64, end: end as u64 });
            }
        }
        (self.text, self.pieces) = (Cow::Owned(text), pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_in_what_is_left_are_noted_where_they_stood() {
        let original = "ab12cd34ef";
        let mut draft = Draft::new(original);
        let mut notes = Vec::new();
        draft.cut(&[(2..4, "digits"), (6..8, "digits")], &mut notes);
        assert_eq!(draft.text, "abcdef");
        draft.cut(&[(0..1, "a"), (3..5, "de")], &mut notes);
        assert_eq!(draft.text, "bcf");
        draft.cut(&[(2..3, "f")], &mut notes);
        assert_eq!(draft.text, "bc");
        let spans: Vec<_> = notes
            .iter()
            .map(|note| (&original[note.start as usize..note.end as usize], &*note.rule))
            .collect();
        assert_eq!(spans, [("12", "digits"), ("34", "digits"), ("a", "a"), ("d34e", "de"), ("f", "f")]);
    }
}
