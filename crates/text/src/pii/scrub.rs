//! Replaces what was found, and looks again: what stood beside a span may be whole only without it.

use super::{Action, Found, KINDS, PiiStep};

/// After so many rounds a text in which something is still found is given up: it was made to be.
pub(super) const MOST_ROUNDS: usize = 8;

/// A place of the original text and what stands for it now.
#[derive(Clone, Copy)]
struct Edit {
    was: (usize, usize),
    is: (usize, usize),
    finder: usize,
}

impl PiiStep {
    /// Replaces `found` in `text`, and what is found after that; gives all spans in bytes of the text as it was, or none
    /// where there is no end of them.
    pub(super) fn scrub(&mut self, text: &mut String, mut found: Vec<Found>) -> Option<Vec<Found>> {
        let mut edits: Vec<Edit> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            edits = self.replace(text, &found, &edits);
            found = self.find(text);
            if found.is_empty() {
                self.note_clean(text);
                let place = |edit: Edit| Found { span: edit.was.0..edit.was.1, finder: edit.finder };
                return Some(edits.into_iter().map(place).collect());
            }
        }
        None
    }

    /// One round: `edits` are those of the rounds before, in order; gives those and the new ones, in order.
    fn replace(&self, text: &mut String, found: &[Found], edits: &[Edit]) -> Vec<Edit> {
        let mut scrubbed = String::with_capacity(text.len());
        let mut all: Vec<Edit> = Vec::with_capacity(edits.len() + found.len());
        let mut before = edits.iter().copied().peekable();
        let (mut copied, mut shift) = (0, 0_isize);
        for Found { span, finder } in found {
            // Earlier edits that end before this span only move.
            while let Some(edit) = before.next_if(|edit| edit.is.1 <= span.start) {
                all.push(moved(edit, scrubbed.len(), copied));
                shift = edit.was.1 as isize - edit.is.1 as isize;
            }
            let mut was = (offset(span.start, shift), 0);
            // A span that reaches over earlier edits takes their place.
            while let Some(edit) = before.next_if(|edit| edit.is.0 < span.end) {
                if edit.is.0 <= span.start {
                    was.0 = edit.was.0;
                }
                shift = edit.was.1 as isize - edit.is.1 as isize;
                was.1 = edit.was.1;
            }
            was.1 = was.1.max(offset(span.end, shift));
            scrubbed.push_str(&text[copied..span.start]);
            let start = scrubbed.len();
            let kind = &KINDS[*finder];
            if self.config.action == Action::Pseudonym {
                scrubbed.push_str(&self.pseudonym(kind, &text[span.clone()]));
            } else {
                scrubbed.push('<');
                scrubbed.push_str(kind.token);
                scrubbed.push('>');
            }
            all.push(Edit { was, is: (start, scrubbed.len()), finder: *finder });
            copied = span.end;
        }
        all.extend(before.map(|edit| moved(edit, scrubbed.len(), copied)));
        scrubbed.push_str(&text[copied..]);
        *text = scrubbed;
        all
    }
}

/// The edit where it stands when the text from `copied` on comes to stand at `at`.
fn moved(edit: Edit, at: usize, copied: usize) -> Edit {
    let place = |old: usize| at + old.saturating_sub(copied);
    Edit { is: (place(edit.is.0), place(edit.is.1)), ..edit }
}

fn offset(place: usize, shift: isize) -> usize {
    place.saturating_add_signed(shift)
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, PiiConfig};
    use super::*;

    fn step() -> PiiStep {
        PiiStep::new(&PiiConfig::default(), None).expect("valid")
    }

    #[test]
    fn spans_of_later_rounds_are_places_of_the_first_text() {
        let original = "aa 1111 bb 2222 cc 3333 dd";
        let finder = 0;
        let at = |text: &str, what: &str| {
            let start = text.find(what).expect("it is there");
            Found { span: start..start + what.len(), finder }
        };
        let mut text = original.to_owned();
        let first = step().replace(&mut text, &[at(original, "2222")], &[]);
        let second_found = [at(&text, "1111"), at(&text, "3333")];
        let second = step().replace(&mut text, &second_found, &first);
        let token = format!("<{}>", KINDS[0].token);
        assert_eq!(text, format!("aa {token} bb {token} cc {token} dd"));
        let was: Vec<&str> = second.iter().map(|edit| &original[edit.was.0..edit.was.1]).collect();
        assert_eq!(was, ["1111", "2222", "3333"]);
        assert!(second.iter().all(|edit| text[edit.is.0..edit.is.1] == token));
        // Over an edit: it takes the whole place.
        let over = at(&text, &format!("bb {token} c"));
        let third = step().replace(&mut text, &[over], &second);
        let was: Vec<&str> = third.iter().map(|edit| &original[edit.was.0..edit.was.1]).collect();
        assert_eq!(was, ["1111", "bb 2222 c", "3333"]);
    }

    #[test]
    fn a_text_without_end_is_given_up() {
        use crate::step::Step;
        use orchestrator_core::{Decision, Document};
        // Each number hides the next one until it is replaced.
        let (phone, card) = ("+(49) 30 901820", "4111111111111111");
        let glued = |times: usize| vec![format!("{phone},{card}"); times].concat();
        let mut document = Document::new("a", 0, glued(MOST_ROUNDS / 2));
        let mut notes = Vec::new();
        assert!(step().apply(&mut document, &mut notes).is_keep());
        assert_eq!(document.text, "<PHONE>,<CREDIT_CARD>".repeat(MOST_ROUNDS / 2));
        assert_eq!(notes.len(), MOST_ROUNDS);
        let mut document = Document::new("a", 0, glued(MOST_ROUNDS / 2 + 1));
        let decision = step().apply(&mut document, &mut Vec::new());
        assert_eq!(decision, Decision::drop("pii_unsettled", MOST_ROUNDS));
    }

    #[test]
    fn a_survivor_is_named_by_kind_and_place() {
        use crate::step::Step;
        use orchestrator_core::Document;
        let leaky = Document::new("a", 0, "mail ann@corp.example");
        let error = self::step().verify(&leaky).expect_err("an address");
        assert!(error.contains("bytes 5 to 21") && error.contains("`email`"), "{error}");
        assert!(self::step().verify(&Document::new("a", 0, "mail <EMAIL>")).is_ok());
        // What the step itself left is known; what another stage made of it is looked at.
        let mut step = self::step();
        let mut document = leaky.clone();
        assert!(step.apply(&mut document, &mut Vec::new()).is_keep() && step.verify(&document).is_ok());
        document.text += " bob@corp.example";
        assert!(step.verify(&document).is_err());
        assert!(step.verify(&leaky).is_err(), "the last document's word does not count for others");
        let off = PiiConfig { leak_test: false, ..PiiConfig::default() };
        assert!(PiiStep::new(&off, None).expect("valid").verify(&leaky).is_ok());
        let cards = PiiConfig { kinds: Some(vec![Kind::CreditCard]), ..PiiConfig::default() };
        assert!(PiiStep::new(&cards, None).expect("valid").verify(&leaky).is_ok());
    }
}
