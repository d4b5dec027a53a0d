//! C4's rules: lines that are no prose go, and documents that have too little left.
//!
//! Reference: Raffel et al. 2020 (JMLR 21), section 2.2, as datatrove 0.10 has it; the rule on end marks is off, as in
//! FineWeb. Lines are cut where Python's `splitlines` cuts, stripped, and joined with `\n`. Words of a line are what
//! white space parts; they are counted before marks such as `[12]` go. Sentences are counted after.
//!
//! Example: `Menu` goes as `few_words_line`; a page with `{` in a line that stays is dropped as `curly_bracket`.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use orchestrator_core::{Decision, Note, NoteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gauge::{Gauge, Rule};
use super::{Edited, RuleConfig, Rules, Scratch, Verdict, View};
use crate::files::{FileError, Files};
use crate::step::ConfigError;
use crate::words::{Span, count_sentences, is_space, lines, trim};

/// Options of `c4`. `null` turns a count off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct C4Config {
    /// Lines with a longer word, in characters, go.
    pub max_word_length: Option<u64>,
    /// Lines that do not end in `.`, `?`, `!` or a quotation mark, or end in `...`, go.
    pub filter_no_terminal_punct: bool,
    /// Lines with fewer words go.
    pub min_words_per_line: Option<u64>,
    /// Lines that say `javascript` go.
    pub filter_javascript: bool,
    /// Lines with a phrase of cookie banners go.
    pub filter_policy: bool,
    /// Marks of notes, such as `[12]` and `[edit]`, go.
    pub remove_citations: bool,
    /// Documents that say `lorem ipsum` are dropped.
    pub filter_lorem_ipsum: bool,
    /// Documents with a `{` are dropped.
    pub filter_curly_bracket: bool,
    /// Documents with fewer sentences in the lines that stay are dropped.
    pub min_sentences: Option<u64>,
}

impl Default for C4Config {
    fn default() -> Self {
        Self {
            max_word_length: Some(1000),
            filter_no_terminal_punct: false,
            min_words_per_line: Some(3),
            filter_javascript: true,
            filter_policy: true,
            remove_citations: true,
            filter_lorem_ipsum: true,
            filter_curly_bracket: true,
            min_sentences: Some(5),
        }
    }
}

impl RuleConfig for C4Config {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.max_word_length == Some(0) {
            return Err(ConfigError::new("max_word_length", "is 0; expected 1 or more, or null"));
        }
        Ok(())
    }

    fn edits(&self) -> bool {
        true
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for C4Config {
    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        vec![
            Rule::never("lorem_ipsum"),
            Rule::never("curly_bracket"),
            Rule::fewest("too_few_sentences", self.min_sentences).with_key("min_sentences"),
        ]
    }

    fn judge(
        &self,
        view: &View<'_>,
        _scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        notes: &mut Vec<Note>,
    ) -> Verdict {
        judge(self, view, gauge, notes)
    }
}

/// The first two have rules of their own; the rest are those of cookie banners.
const PHRASES: [&str; 8] = [
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];

static PHRASE_FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).build(PHRASES).expect("eight short constant phrases")
});

/// What becomes of a line.
enum Fate {
    Stays,
    Goes(&'static str),
    Drops(&'static str),
}

/// Which phrases are in a line.
#[derive(Default)]
struct Phrases {
    lorem_ipsum: bool,
    javascript: bool,
    policy: bool,
}

impl Phrases {
    fn find(line: &str) -> Self {
        let mut phrases = Self::default();
        for found in PHRASE_FINDER.find_overlapping_iter(line) {
            match found.pattern().as_usize() {
                0 => phrases.lorem_ipsum = true,
                1 => phrases.javascript = true,
                _ => phrases.policy = true,
            }
        }
        phrases
    }
}

fn judge(config: &C4Config, view: &View<'_>, gauge: &mut Gauge<'_>, notes: &mut Vec<Note>) -> Verdict {
    let text = view.text;
    let any_phrase = PHRASE_FINDER.is_match(text);
    let mut kept = String::with_capacity(text.len());
    let mut kept_words = Vec::with_capacity(view.words.len());
    let mut line_words = Vec::new();
    let mut sentences = 0;
    let mut next_word = 0;
    let mut first = true;
    let mut first_drop = true;
    for line in lines(text) {
        let line = trim(text, line);
        let from = next_word + view.words[next_word..].partition_point(|word| word.start < line.start);
        next_word = from + view.words[from..].iter().take_while(|word| word.end <= line.end).count();
        let original = line.of(text);
        let noted = notes.len();
        let edited = if config.remove_citations {
            remove_citations(original, line.start, notes)
        } else {
            Cow::from(original)
        };
        let mut fate = judge_line(config, original, &edited, any_phrase);
        if let Fate::Drops(rule) = fate {
            if first_drop && gauge.fails(rule, || Decision::drop(rule, 1)) {
                return Verdict::Keep;
            }
            // What later rules would measure, were it not for this one.
            first_drop = false;
            let lenient =
                C4Config { filter_lorem_ipsum: false, filter_curly_bracket: false, ..config.clone() };
            fate = judge_line(&lenient, original, &edited, any_phrase);
        }
        match fate {
            Fate::Goes(rule) => {
                notes.truncate(noted);
                if !original.is_empty() {
                    notes.push(note(rule, line.start, line.end));
                }
                continue;
            }
            Fate::Stays | Fate::Drops(_) => {}
        }
        if !first {
            kept.push('\n');
        }
        first = false;
        line_words.clear();
        match &edited {
            Cow::Borrowed(_) => {
                let shifted = view.words[from..next_word].iter();
                line_words.extend(
                    shifted.map(|word| Span { start: word.start - line.start, end: word.end - line.start }),
                );
            }
            Cow::Owned(edited) => view.splitter.split_into(edited, &mut line_words),
        }
        sentences += count_sentences(&edited, &line_words);
        let start = kept.len();
        kept.push_str(&edited);
        kept_words
            .extend(line_words.iter().map(|word| Span { start: word.start + start, end: word.end + start }));
    }
    if gauge.fewer("too_few_sentences", sentences, config.min_sentences) {
        return Verdict::Keep;
    }
    strip(&mut kept, &mut kept_words);
    if kept == text { Verdict::Keep } else { Verdict::Edit(Edited { text: kept, words: Some(kept_words) }) }
}

/// Takes white space off both ends of the joined lines. A line may have become empty, or blank at an end, where a mark
/// stood.
fn strip(text: &mut String, words: &mut [Span]) {
    text.truncate(text.trim_end_matches(is_space).len());
    let lead = text.len() - text.trim_start_matches(is_space).len();
    if lead > 0 {
        text.drain(..lead);
        for word in words {
            word.start -= lead;
            word.end -= lead;
        }
    }
}

fn judge_line(config: &C4Config, original: &str, edited: &str, any_phrase: bool) -> Fate {
    let mut words: u64 = 0;
    for word in original.split(is_space).filter(|word| !word.is_empty()) {
        words += 1;
        if let Some(most) = config.max_word_length
            && word.len() as u64 > most
            && word.chars().count() as u64 > most
        {
            return Fate::Goes("long_word_line");
        }
    }
    if config.filter_no_terminal_punct
        && (!edited.ends_with(['.', '?', '!', '"', '\'']) || edited.ends_with("..."))
    {
        return Fate::Goes("no_end_mark_line");
    }
    if config.min_words_per_line.is_some_and(|least| words < least) {
        return Fate::Goes("few_words_line");
    }
    let phrases = if any_phrase { Phrases::find(edited) } else { Phrases::default() };
    if config.filter_lorem_ipsum && phrases.lorem_ipsum {
        return Fate::Drops("lorem_ipsum");
    }
    if config.filter_javascript && phrases.javascript {
        return Fate::Goes("javascript_line");
    }
    if config.filter_curly_bracket && memchr::memchr(b'{', edited.as_bytes()).is_some() {
        return Fate::Drops("curly_bracket");
    }
    if config.filter_policy && phrases.policy {
        return Fate::Goes("policy_line");
    }
    Fate::Stays
}

/// Takes out `[12]`, `[]`, `[edit]` and `[citation needed]`, with a note for each; `offset` is the line's place.
fn remove_citations<'a>(line: &'a str, offset: usize, notes: &mut Vec<Note>) -> Cow<'a, str> {
    let mut edited = String::new();
    let mut copied = 0;
    for open in memchr::memchr_iter(b'[', line.as_bytes()) {
        let rest = &line[open + 1..];
        let digits = rest.find(|c: char| !c.is_numeric()).unwrap_or(rest.len());
        let Some(inside) = [&rest[..digits], "edit", "citation needed"]
            .into_iter()
            .find(|inside| rest.starts_with(inside) && rest[inside.len()..].starts_with(']'))
        else {
            continue;
        };
        let end = open + inside.len() + 2;
        edited.push_str(&line[copied..open]);
        copied = end;
        notes.push(note("citation", offset + open, offset + end));
    }
    if copied == 0 {
        return Cow::Borrowed(line);
    }
    edited.push_str(&line[copied..]);
    Cow::Owned(edited)
}

fn note(rule: &'static str, start: usize, end: usize) -> Note {
    Note { rule: Cow::Borrowed(rule), kind: NoteKind::Removed, start: start as u64, end: end as u64 }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Document;

    use super::*;
    use crate::filters::testing;
    use crate::words::Splitter;

    fn run(text: &str) -> (Result<String, String>, Vec<(String, String)>) {
        let mut notes = Vec::new();
        let document = Document::new("test", 0, text);
        let outcome = match testing::verdict(&C4Config::default(), &document, &mut notes) {
            Err(reason) => Err(reason.rule.into_owned()),
            Ok(Verdict::Keep) => Ok(text.to_owned()),
            Ok(Verdict::Edit(edited)) => {
                assert_eq!(
                    edited.words.iter().flatten().map(|word| word.of(&edited.text)).collect::<Vec<_>>(),
                    Splitter::English.split(&edited.text),
                    "the words it leaves are the words of the text it leaves"
                );
                Ok(edited.text)
            }
        };
        let spans = notes
            .iter()
            .map(|note| (note.rule.to_string(), text[note.start as usize..note.end as usize].to_owned()));
        (outcome, spans.collect())
    }

    const FIVE: &str = "One is here. Two is here. Three is here. Four is here. Five is here.";

    #[test]
    fn lines_go_for_named_reasons_and_the_rest_is_joined() {
        let long = "x".repeat(1001);
        let text = format!(
            "  Home page\n{FIVE}\r\n\nPlease enable JavaScript to go on.\nWe use cookies, as all do.\nA {long} b c.\nAn end. \n"
        );
        let (outcome, notes) = run(&text);
        assert_eq!(outcome, Ok(FIVE.to_owned()));
        let rules: Vec<&str> = notes.iter().map(|(rule, _)| rule.as_str()).collect();
        assert_eq!(
            rules,
            ["few_words_line", "javascript_line", "policy_line", "long_word_line", "few_words_line"]
        );
        assert_eq!(notes[0].1, "Home page");
    }

    #[test]
    fn marks_of_notes_go_but_count_as_words() {
        let (outcome, notes) = run(&format!("{FIVE}[1] It's [edit] so.[citation needed] [x]"));
        assert_eq!(outcome, Ok(format!("{FIVE} It's  so. [x]")));
        assert_eq!(
            notes.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["[1]", "[edit]", "[citation needed]"]
        );
        let (outcome, _) = run(&format!("[1] [2] [3]\n{FIVE}\n[1] [2] [3]"));
        assert_eq!(outcome, Ok(FIVE.to_owned()));
    }

    #[test]
    fn documents_go_for_what_no_prose_has() {
        assert_eq!(run("Too few. Of them.").0, Err("too_few_sentences".to_owned()));
        assert_eq!(run(&format!("{FIVE}\nfn main() {{ it }}")).0, Err("curly_bracket".to_owned()));
        assert_eq!(run(&format!("{FIVE}\nLorem Ipsum dolor {{")).0, Err("lorem_ipsum".to_owned()));
        assert_eq!(
            run(&format!("{FIVE}\n{{}}")).0,
            Ok(FIVE.to_owned()),
            "the line went before its bracket was seen"
        );
    }
}
