//! Personal data and secrets: found, and replaced, given pseudonyms, or a reason to drop the document.
//!
//! ```text
//! text ─▶ one scan for digits ─▶ each kind looks at its anchors (`@`, `+`, digits, key prefixes) ─▶ spans
//!      ─▶ overlaps: the longest, then the table's order, then the first ─▶ tokens, pseudonyms or a drop
//! ```
//!
//! A kind is one file with its rules and tests, and one line in [`KINDS`]. Every finder checks what can be checked
//! (check digits, ranges, formats), since a false find costs text: an order number is no card.

mod api_key;
mod chinese_id;
mod chinese_mobile;
mod credit_card;
mod digits;
mod email;
mod high_entropy;
mod iban;
mod ip_address;
mod named_secret;
mod phone;
mod private_key;
mod scrub;
mod secret;
mod us_ssn;

use std::borrow::Cow;
use std::ops::Range;

use orchestrator_core::{Decision, Document, Note, NoteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::{ConfigError, Languages, Step, applies};
use digits::DigitRun;
use scrub::MOST_ROUNDS;

/// A kind of personal data or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// PEM private keys.
    PrivateKey,
    /// Keys and tokens of well-known services that begin with a prefix of their own.
    ApiKey,
    /// Tokens and keys of other shapes: Twilio, Azure, Telegram, Discord, webhooks, and passwords in addresses.
    Secret,
    /// E-mail addresses.
    Email,
    /// Public IPv4 and IPv6 addresses.
    IpAddress,
    /// International bank account numbers.
    Iban,
    /// Credit and debit cards.
    CreditCard,
    /// Chinese resident identity numbers.
    ChineseId,
    /// Phone numbers: in international form, as North America prints them, or behind a label such as `Tel.:`.
    Phone,
    /// Chinese mobile numbers without a country code.
    ChineseMobile,
    /// US social security numbers.
    UsSsn,
    /// Values of names like `password` and `api_key`. Only looked for where `kinds` names it.
    NamedSecret,
    /// Strings that look random, in quotes or after `=`. Only looked for where `kinds` names it.
    HighEntropy,
}

impl Kind {
    /// All kinds, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|finder| finder.kind)
    }
}

/// What a finder may look at.
struct Scan<'a> {
    text: &'a str,
    runs: &'a [DigitRun],
}

struct Finder {
    kind: Kind,
    /// The rule of notes and drops.
    rule: &'static str,
    token: &'static str,
    find: fn(&Scan<'_>, &mut Vec<Range<usize>>),
}

/// The table of kinds. Of two spans of one length the earlier kind wins.
const KINDS: &[Finder] = &[
    Finder { kind: Kind::PrivateKey, rule: "private_key", token: "PRIVATE_KEY", find: private_key::find },
    Finder { kind: Kind::ApiKey, rule: "api_key", token: "API_KEY", find: api_key::find },
    Finder { kind: Kind::Secret, rule: "secret", token: "SECRET", find: secret::find },
    Finder { kind: Kind::Email, rule: "email", token: "EMAIL", find: email::find },
    Finder { kind: Kind::IpAddress, rule: "ip_address", token: "IP_ADDRESS", find: ip_address::find },
    Finder { kind: Kind::Iban, rule: "iban", token: "IBAN", find: iban::find },
    Finder { kind: Kind::CreditCard, rule: "credit_card", token: "CREDIT_CARD", find: credit_card::find },
    Finder { kind: Kind::ChineseId, rule: "chinese_id", token: "CHINESE_ID", find: chinese_id::find },
    Finder { kind: Kind::Phone, rule: "phone", token: "PHONE", find: phone::find },
    Finder { kind: Kind::ChineseMobile, rule: "chinese_mobile", token: "PHONE", find: chinese_mobile::find },
    Finder { kind: Kind::UsSsn, rule: "us_ssn", token: "US_SSN", find: us_ssn::find },
    Finder { kind: Kind::NamedSecret, rule: "named_secret", token: "SECRET", find: named_secret::find },
    Finder { kind: Kind::HighEntropy, rule: "high_entropy", token: "SECRET", find: high_entropy::find },
];

/// Kinds that are looked for only where the job names them: most of what they find is no secret.
const ON_REQUEST: &[Kind] = &[Kind::NamedSecret, Kind::HighEntropy];

/// What is done with what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PiiAction")]
pub enum Action {
    /// A token of its kind stands for it, such as `<EMAIL>`.
    #[default]
    Replace,
    /// A token with a keyed hash of its value, such as `<EMAIL_0123456789ab>`: equal values get equal pseudonyms.
    Pseudonym,
    /// The document is dropped.
    Drop,
}

/// Which personal data is looked for, and what is done with it.
///
/// What is found is looked for again in the text that replaces it, until nothing is left; a text in which there is no end
/// of it after eight rounds is dropped by the rule `pii_unsettled`. With `leak_test` every document
/// is looked at once more before it is written, by this stage and by every later one that edits text: a text that is not
/// byte for byte what this stage left is scanned again, and a span that is found in it fails the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiiConfig {
    /// The kinds to look for; where not given, all but `named_secret` and `high_entropy`.
    pub kinds: Option<Vec<Kind>>,
    /// What is done with what is found.
    pub action: Action,
    /// File with the secret of the pseudonyms, at least 16 bytes: whoever has it can test a guess against a pseudonym. A
    /// file, so that the secret itself stands in no job file.
    pub key_file: Option<String>,
    /// Scan what is written once more, and fail the job where a span survived.
    pub leak_test: bool,
    /// Languages to scrub; all where not given.
    pub languages: Languages,
    /// Writes this stage's documents even where the next stage could read them in passing.
    pub keep: bool,
}

impl Default for PiiConfig {
    fn default() -> Self {
        Self {
            kinds: None,
            action: Action::default(),
            key_file: None,
            leak_test: true,
            languages: None,
            keep: false,
        }
    }
}

impl PiiConfig {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.kinds.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::new("kinds", "is empty: expected at least one, or no such key"));
        }
        if self.action == Action::Pseudonym && self.key_file.is_none() {
            let message = "is absent; action `pseudonym` expects a file with a secret of at least 16 bytes";
            return Err(ConfigError::new("key_file", message));
        }
        Ok(())
    }
}

/// A span and the place of its kind in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    span: Range<usize>,
    finder: usize,
}

/// Scrubs documents of personal data.
pub struct PiiStep {
    config: PiiConfig,
    /// Places in the table of the kinds that are looked for.
    finders: Vec<usize>,
    key: [u8; 32],
    runs: Vec<DigitRun>,
    spans: Vec<Range<usize>>,
    /// A hash of the last text in which nothing was found.
    clean: Option<u128>,
}

impl PiiStep {
    /// Checks the configuration and makes the step. `key` is what `key_file` holds.
    pub fn new(config: &PiiConfig, key: Option<&[u8]>) -> Result<Self, ConfigError> {
        config.validate()?;
        let key = key.unwrap_or_default().trim_ascii();
        if config.action == Action::Pseudonym && key.len() < 16 {
            let message = format!("holds {} bytes; expected a secret of at least 16", key.len());
            return Err(ConfigError::new("key_file", message));
        }
        let wanted = |finder: &Finder| match &config.kinds {
            Some(kinds) => kinds.contains(&finder.kind),
            None => !ON_REQUEST.contains(&finder.kind),
        };
        Ok(Self {
            finders: (0..KINDS.len()).filter(|&index| wanted(&KINDS[index])).collect(),
            key: blake3::derive_key("orchestrator pii pseudonyms v1", key),
            config: config.clone(),
            runs: Vec::new(),
            spans: Vec::new(),
            clean: None,
        })
    }

    /// The kinds and byte ranges of what is found in a text, in order and without overlap.
    pub fn spans(&mut self, text: &str) -> Vec<(Kind, Range<usize>)> {
        self.find(text).into_iter().map(|found| (KINDS[found.finder].kind, found.span)).collect()
    }

    fn find(&mut self, text: &str) -> Vec<Found> {
        digits::find_runs(text, &mut self.runs);
        let scan = Scan { text, runs: &self.runs };
        let mut found = Vec::new();
        for &finder in &self.finders {
            self.spans.clear();
            (KINDS[finder].find)(&scan, &mut self.spans);
            found.extend(self.spans.drain(..).map(|span| Found { span, finder }));
        }
        without_overlaps(found)
    }

    /// Remembers a text that was searched in vain, so that the leak test need not search it again.
    fn note_clean(&mut self, text: &str) {
        self.clean = self.config.leak_test.then(|| print(text));
    }

    fn pseudonym(&self, finder: &Finder, value: &str) -> String {
        // Ways to write one value are one value: case, blanks and hyphens do not count.
        let canonical: String = value
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '(' | ')'))
            .flat_map(char::to_lowercase)
            .collect();
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(finder.token.as_bytes()).update(&[0]).update(canonical.as_bytes());
        let hash = hasher.finalize().to_hex();
        format!("<{}_{}>", finder.token, &hash[..12])
    }
}

fn print(text: &str) -> u128 {
    xxhash_rust::xxh3::xxh3_128(text.as_bytes())
}

/// Of overlapping spans keeps the longest, then the kind that stands first in the table, then the first.
fn without_overlaps(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_unstable_by_key(|found| (found.span.start, found.span.end, found.finder));
    let mut kept: Vec<Found> = Vec::with_capacity(found.len());
    let mut group = Vec::new();
    let mut group_end = 0;
    // Only spans of one chain of overlaps can exclude each other, so each chain is settled alone.
    for next in found {
        if next.span.start >= group_end {
            settle(&mut group, &mut kept);
        }
        group_end = group_end.max(next.span.end);
        group.push(next);
    }
    settle(&mut group, &mut kept);
    kept
}

fn settle(group: &mut Vec<Found>, kept: &mut Vec<Found>) {
    group.sort_unstable_by_key(|found| (std::cmp::Reverse(found.span.len()), found.finder, found.span.start));
    let first = kept.len();
    for found in group.drain(..) {
        if kept[first..]
            .iter()
            .all(|other| found.span.end <= other.span.start || found.span.start >= other.span.end)
        {
            kept.push(found);
        }
    }
    kept[first..].sort_unstable_by_key(|found| found.span.start);
}

impl Step for PiiStep {
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
        if !applies(&self.config.languages, None, document) {
            return Decision::Keep;
        }
        self.clean = None;
        let found = self.find(&document.text);
        let Some(first) = found.first() else {
            self.note_clean(&document.text);
            return Decision::Keep;
        };
        if self.config.action == Action::Drop {
            return Decision::drop(KINDS[first.finder].rule, found.len());
        }
        let Some(spans) = self.scrub(&mut document.text, found) else {
            return Decision::drop("pii_unsettled", MOST_ROUNDS);
        };
        notes.extend(spans.into_iter().map(|Found { span, finder }| Note {
            rule: Cow::Borrowed(KINDS[finder].rule),
            kind: NoteKind::Replaced,
            start: span.start as u64,
            end: span.end as u64,
        }));
        Decision::Keep
    }

    fn verify(&mut self, document: &Document) -> Result<(), String> {
        if !self.config.leak_test || !applies(&self.config.languages, None, document) {
            return Ok(());
        }
        if self.clean == Some(print(&document.text)) {
            return Ok(());
        }
        match self.find(&document.text).first() {
            None => Ok(()),
            Some(Found { span, finder }) => Err(format!(
                "document `{}`: bytes {} to {} of what would be written are still of the kind `{}`: expected none after \
                 `pii`; stages that edit text belong before it",
                document.id, span.start, span.end, KINDS[*finder].rule
            )),
        }
    }
}

#[cfg(test)]
fn found_by(find: fn(&Scan<'_>, &mut Vec<Range<usize>>), text: &str) -> Vec<String> {
    let (mut runs, mut spans) = (Vec::new(), Vec::new());
    digits::find_runs(text, &mut runs);
    find(&Scan { text, runs: &runs }, &mut spans);
    spans.into_iter().map(|span| text[span].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrub(config: &PiiConfig, text: &str) -> (Decision, String, Vec<Note>) {
        let mut document = Document::new("test", 0, text);
        let mut notes = Vec::new();
        let decision = PiiStep::new(config, None).expect("valid").apply(&mut document, &mut notes);
        (decision, document.text, notes)
    }

    #[test]
    fn spans_become_tokens_and_notes_without_text() {
        let (decision, text, notes) =
            scrub(&PiiConfig::default(), "Mail ann@corp.example, card 4111 1111 1111 1111, host 8.8.4.10.");
        assert!(decision.is_keep());
        assert_eq!(text, "Mail <EMAIL>, card <CREDIT_CARD>, host <IP_ADDRESS>.");
        let spans: Vec<_> = notes.iter().map(|note| (note.rule.as_ref(), note.start, note.end)).collect();
        assert_eq!(spans, [("email", 5, 21), ("credit_card", 28, 47), ("ip_address", 54, 62)]);
        assert_eq!(scrub(&PiiConfig::default(), &text).1, text, "tokens are not found again");
    }

    #[test]
    fn pseudonyms_depend_on_value_and_key_alone() {
        let config =
            PiiConfig { action: Action::Pseudonym, key_file: Some("key".to_owned()), ..PiiConfig::default() };
        let scrub = |key: &str, text: &str| {
            let mut document = Document::new("s", 0, text);
            let mut step = PiiStep::new(&config, Some(key.as_bytes())).expect("valid");
            assert!(step.apply(&mut document, &mut Vec::new()).is_keep());
            document.text
        };
        let (one, two) = ("a secret of sixteen", "another secret of it");
        let first = scrub(one, "Ann@corp.example");
        assert!(first.starts_with("<EMAIL_") && first.len() == 20, "{first}");
        assert_eq!(scrub(one, "x b@c.example ann@corp.example").split(' ').nth(2), Some(first.as_str()));
        assert_ne!(scrub(two, "Ann@corp.example"), first);
        assert!(PiiStep::new(&config, Some(b"short")).is_err());
        assert!(PiiConfig { action: Action::Pseudonym, ..PiiConfig::default() }.validate().is_err());
    }

    #[test]
    fn no_kinds_at_all_are_refused() {
        let none = PiiConfig { kinds: Some(vec![]), ..PiiConfig::default() };
        let error = none.validate().expect_err("nothing to look for").to_string();
        assert_eq!(error, "`kinds`: is empty: expected at least one, or no such key");
    }

    #[test]
    fn dropping_names_the_first_kind_and_how_many() {
        let config = PiiConfig { action: Action::Drop, ..PiiConfig::default() };
        let (decision, _, notes) = scrub(&config, "a@b.example and c@d.example");
        assert_eq!((decision, notes.len()), (Decision::drop("email", 2), 0));
        assert!(scrub(&config, "nothing here").0.is_keep());
        let cards = PiiConfig { kinds: Some(vec![Kind::CreditCard]), ..config };
        assert!(scrub(&cards, "a@b.example").0.is_keep());
    }

    #[test]
    fn the_longest_span_wins_then_the_table() {
        let at = |span: Range<usize>, finder| Found { span, finder };
        assert_eq!(
            without_overlaps(vec![at(0..5, 2), at(3..9, 1), at(9..12, 0)]),
            [at(3..9, 1), at(9..12, 0)]
        );
        assert_eq!(without_overlaps(vec![at(0..5, 2), at(0..5, 1)]), [at(0..5, 1)]);
    }

    proptest! {
        #[test]
        fn any_text_is_scrubbed_without_panic_and_twice_is_once(
            text in "([a-z0-9@.+: -]{0,30}|\\PC{0,20}|eyJ[a-z.]{0,9}|192\\.0\\.2\\.[0-9]{1,3}|sk-[A-Za-z0-9]{0,50}){0,5}"
        ) {
            let (_, once, notes) = scrub(&PiiConfig::default(), &text);
            for note in notes {
                prop_assert!(text.is_char_boundary(note.start as usize) && text.is_char_boundary(note.end as usize));
            }
            prop_assert_eq!(&scrub(&PiiConfig::default(), &text).1, &once);
        }
    }
}
