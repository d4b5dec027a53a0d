use std::collections::BTreeSet;

use orchestrator_core::units::ByteSize;
use proptest::prelude::*;

use super::*;
use crate::dedup::{ParagraphConfig, Seen, SubstringConfig, TokenUnit};

fn document(text: &str) -> Document {
    Document::new("a", 0, text)
}

/// What a stage makes of documents, in order: the whole of it, with the slices one after the other.
fn run(config: &DedupConfig, texts: &[String]) -> Vec<(Document, Decision, Vec<Note>)> {
    config.validate().expect("a good configuration");
    let mut divider = Divider::new(config).expect("a method that cuts");
    let (mut items, mut base) = (Vec::new(), 0);
    for text in texts {
        base += divider.items(&document(text), &mut |hash, place| items.push((hash, base + place)));
    }
    let sizing = config.sizing(items.len() as u64).expect("it fits");
    let mut repeated = BTreeSet::new();
    for slice in 0..sizing.slices {
        let mut seen = Seen::new(config, &sizing);
        let holds = |hash: u128| (((hash >> 64) * u128::from(sizing.slices)) >> 64) as u32 == slice;
        for &(hash, place) in items.iter().filter(|(hash, _)| holds(*hash)) {
            if seen.see(hash, place, divider.gap()).expect("room") {
                repeated.insert(place);
            }
        }
    }
    let mut base = 0;
    let cut = |text: &String| {
        let (mut document, mut notes) = (document(text), Vec::new());
        let (places, decision) =
            divider.cut(&mut document, &mut notes, &mut |place| repeated.contains(&(base + place)));
        base += places;
        (document, decision, notes)
    };
    texts.iter().map(cut).collect()
}

fn substrings(min_tokens: u32, tokens: TokenUnit) -> DedupConfig {
    DedupConfig {
        method: Method::Substring,
        substring: SubstringConfig { min_tokens, tokens, ..SubstringConfig::default() },
        min_left: 0,
        memory: ByteSize(64 << 10),
        ..DedupConfig::default()
    }
}

/// The slow and plain way: every window against every one before it, character by character.
fn naive(texts: &[String], length: usize) -> Vec<String> {
    let texts: Vec<Vec<char>> = texts.iter().map(|text| text.chars().collect()).collect();
    let left = |number: usize| {
        let text = &texts[number];
        let mut goes = vec![false; text.len()];
        for (start, window) in text.windows(length).enumerate() {
            let in_document = || {
                (0..(start + 1).saturating_sub(length)).any(|before| text[before..before + length] == *window)
            };
            let before =
                || texts[..number].iter().any(|text| text.windows(length).any(|other| other == window));
            if before() || in_document() {
                goes[start..start + length].fill(true);
            }
        }
        text.iter().zip(goes).filter(|(_, goes)| !goes).map(|(c, _)| c).collect()
    };
    (0..texts.len()).map(left).collect()
}

proptest! {
    /// Exactly the substrings that occurred before go, each of them whole, and nothing else.
    #[test]
    fn substrings_are_those_that_a_quadratic_search_finds(
        texts in prop::collection::vec("[ab字]{0,60}", 1..6),
        length in 5u32..12,
    ) {
        let config = substrings(length, TokenUnit::Characters);
        let expected = naive(&texts, length as usize);
        for ((document, decision, notes), (text, expected)) in run(&config, &texts).iter().zip(texts.iter().zip(&expected)) {
            if expected.is_empty() && !text.is_empty() {
                prop_assert_eq!(decision, &Decision::drop("too_little_left", 0));
                prop_assert_eq!(&document.text, text);
                prop_assert!(!notes.is_empty() && notes.iter().all(|note| note.kind == NoteKind::Found));
                continue;
            }
            prop_assert_eq!(&document.text, expected);
            let mut again = text.clone();
            for note in notes.iter().rev() {
                prop_assert!(note.end - note.start >= u64::from(length));
                again.replace_range(note.start as usize..note.end as usize, "");
            }
            prop_assert_eq!(&again, expected, "a text is what came in without what its notes tell");
        }
    }

    /// The same in words: a text of one-letter words is one of characters.
    #[test]
    fn words_are_compared_as_characters_are(texts in prop::collection::vec("[ab]{0,40}", 1..5), length in 5u32..9) {
        let spaced: Vec<String> = texts.iter().map(|text| text.chars().flat_map(|c| [' ', c]).collect()).collect();
        let expected = naive(&texts, length as usize);
        for ((document, _, _), expected) in run(&substrings(length, TokenUnit::Words), &spaced).iter().zip(expected) {
            if !expected.is_empty() {
                prop_assert_eq!(document.text.replace(' ', ""), expected);
            }
        }
    }

    /// No paragraph that occurred is forgotten, and without a filter none is taken for one that did.
    #[test]
    fn paragraphs_are_the_first_of_their_kind(
        texts in prop::collection::vec(prop::collection::vec(0u8..20, 0..12), 1..8),
        rate in prop::sample::select(vec![0.0, 1e-9, 0.3]),
    ) {
        let lines: Vec<Vec<String>> =
            texts.iter().map(|text| text.iter().map(|n| format!("line of number {n}\n")).collect()).collect();
        let config = DedupConfig {
            method: Method::Paragraph,
            paragraph: ParagraphConfig {
                unit: Unit::Line, false_positive_rate: rate, ..ParagraphConfig::default()
            },
            min_left: 0,
            ..DedupConfig::default()
        };
        let mut seen = BTreeSet::new();
        let texts: Vec<String> = lines.iter().map(|lines| lines.concat()).collect();
        for (lines, (document, decision, notes)) in lines.iter().zip(run(&config, &texts)) {
            let new: Vec<&str> = lines.iter().filter(|line| seen.insert((*line).clone())).map(String::as_str).collect();
            let left: Vec<&str> = document.text.split_inclusive('\n').collect();
            if decision != Decision::Keep {
                prop_assert!(new.is_empty() || rate > 0.2);
                continue;
            }
            prop_assert!(left.iter().all(|line| new.contains(line)), "none is forgotten");
            if rate < 0.3 {
                prop_assert_eq!(&left, &new);
                prop_assert_eq!(notes.len(), lines.len() - new.len());
            }
        }
    }
}

#[test]
fn the_first_occurrence_of_a_long_repetition_stays_whole() {
    let config = substrings(5, TokenUnit::Characters);
    let left = |text: &str| run(&config, &[text.to_owned()]).remove(0).0.text;
    assert_eq!(left(&"a".repeat(9)), "a".repeat(9), "no two windows lie side by side");
    assert_eq!(left(&"a".repeat(10)), "a".repeat(5));
    assert_eq!(left(&"a".repeat(1000)), "a".repeat(5));
    assert_eq!(left(&"abc".repeat(100)), "abcabc", "two periods hold the window");
}

#[test]
fn windows_of_neighbouring_documents_do_not_overlap() {
    // The last window of one document and the first of the next are side by side, whatever their places.
    let texts = ["xabcdefg".to_owned(), "cdefgy".to_owned(), "four".to_owned(), "cdefgz".to_owned()];
    let left: Vec<String> = run(&substrings(5, TokenUnit::Characters), &texts)
        .into_iter()
        .map(|(document, ..)| document.text)
        .collect();
    assert_eq!(left, ["xabcdefg", "y", "four", "z"]);
}

#[test]
fn too_little_left_drops_a_document_with_the_number() {
    let long = "Every word of this line is there again further down in the next document.\n";
    let texts = [
        long.to_owned(),
        format!("{long}A few more.\n"),
        format!("{long}Another line, as long as the one above it is.\n"),
    ];
    let paragraphs = |min_left, max_cut| DedupConfig {
        method: Method::Paragraph,
        paragraph: ParagraphConfig { unit: Unit::Line, ..ParagraphConfig::default() },
        min_left,
        max_cut,
        ..DedupConfig::default()
    };
    let decisions = |config: &DedupConfig| {
        run(config, &texts).into_iter().map(|(_, decision, _)| decision).collect::<Vec<_>>()
    };
    let little = Decision::drop("too_little_left", 9);
    assert_eq!(decisions(&paragraphs(30, 1.0)), [Decision::Keep, little, Decision::Keep]);
    assert_eq!(decisions(&paragraphs(9, 1.0)), [Decision::Keep, Decision::Keep, Decision::Keep]);
    let [_, few, half] = &decisions(&paragraphs(0, 0.5))[..] else { panic!("three") };
    assert_eq!(few, &Decision::drop("mostly_repeated", "0.8696"));
    assert_eq!(half, &Decision::drop("mostly_repeated", "0.6250"));
    assert!(decisions(&paragraphs(0, 0.7))[2].is_keep());
}

#[test]
fn other_languages_pass_by_and_are_not_seen() {
    let config = DedupConfig { languages: Some(vec!["de".into()]), ..substrings(5, TokenUnit::Characters) };
    let mut divider = Divider::new(&config).expect("it cuts");
    let mut english = Document { language: Some("en".into()), ..document("abcdefghij") };
    assert_eq!(divider.items(&english, &mut |_, _| panic!("none")), 0);
    assert_eq!(divider.cut(&mut english, &mut Vec::new(), &mut |_| panic!("none")), (0, Decision::Keep));
}
