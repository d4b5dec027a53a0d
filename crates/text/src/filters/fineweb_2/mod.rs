//! FineWeb-2's rules: those of Gopher and FineWeb with thresholds and stop words of each language.
//!
//! English thresholds throw away what is ordinary in other languages: German words are longer, Russian ones have more
//! marks between them. FineWeb-2 measured each language's Wikipedia and reference texts and published a file for each.
//!
//! Reference: Penedo et al. 2025 (arXiv 2506.20920) and its pipeline (github.com/huggingface/fineweb-2): repetition
//! without paragraphs and line characters, then FineWeb's rules without short lines and with `char_dup_ratio` 0.1, then
//! Gopher's quality; no C4. Rules are named as datatrove names them.
//!
//! Built in are the thresholds of 24 languages that write words with white space between them, from that repository's
//! `configs` (commits d331bee8 and 05e67295; Norwegian's are Bokmål's). Its other files, 1,868 in all, can be named in
//! `files` as they are published. FineWeb-2 cut words with a tokenizer for each language where we take Unicode's word
//! bounds, so its files for languages without white space (Chinese, Japanese, Thai) mean something else here.
//!
//! Example: a French page of which 30 % of the characters are in copies of earlier lines is dropped as `dup_line_frac`
//! above 0.264.

mod thresholds;

use std::collections::BTreeMap;

use orchestrator_core::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::thresholds::{BUILT_IN, Thresholds, read_published};
use super::gauge::{Gauge, Rule};
use super::{
    GopherQualityConfig, RuleConfig, Rules, Scratch, Verdict, View, fineweb, gopher_quality,
    gopher_repetition,
};
use crate::files::{FileError, Files, whole};
use crate::language::short_code;
use crate::step::ConfigError;

/// The largest file of thresholds: the published ones have half a kilobyte.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// Thresholds of `fineweb-2` that are the same for all languages, and where those of single languages come from.
/// `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fineweb2Config {
    /// Thresholds of single languages by ISO 639 code, each by itself; what is not given is as published.
    pub thresholds: BTreeMap<String, Fineweb2Language>,
    /// Files as FineWeb-2 publishes them, `fra_Latn.yml` for one, or globs; they replace what is built in.
    pub files: Vec<String>,
    /// What stands for languages without thresholds of their own; FineWeb's for English, with stop words for English
    /// alone.
    pub others: Fineweb2Language,
    /// Characters in copies of earlier lines ÷ characters without newlines, at most.
    pub char_dup_ratio: Option<f64>,
    /// Fewest words that are not all punctuation.
    pub gopher_short_doc: Option<u64>,
    /// Most words that are not all punctuation.
    pub gopher_long_doc: Option<u64>,
    /// Most `#` per word.
    pub gopher_too_many_hashes: Option<f64>,
    /// Most `...` and `…` per word.
    pub gopher_too_many_ellipsis: Option<f64>,
    /// Largest share of lines that start with a bullet (`•` or `-`).
    pub gopher_too_many_bullets: Option<f64>,
    /// Largest share of lines that end with an ellipsis.
    pub gopher_too_many_end_ellipsis: Option<f64>,
    /// Fewest distinct stop words, where the language has a list of them.
    pub gopher_enough_stop_words: Option<u64>,
}

/// Thresholds of one language. What is not given is as published; a rule is turned off by a threshold that nothing
/// passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fineweb2Language {
    /// Largest share of lines that are copies of earlier ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dup_line_frac: Option<f64>,
    /// Characters in all occurrences of the most frequent pair of words ÷ characters, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_2_gram: Option<f64>,
    /// The same for three words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_3_gram: Option<f64>,
    /// The same for four words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_4_gram: Option<f64>,
    /// Characters in runs of five words that occurred before ÷ characters, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_5_n_grams: Option<f64>,
    /// The same for six words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_6_n_grams: Option<f64>,
    /// The same for seven words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_7_n_grams: Option<f64>,
    /// The same for eight words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_8_n_grams: Option<f64>,
    /// The same for nine words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_9_n_grams: Option<f64>,
    /// The same for ten words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated_10_n_grams: Option<f64>,
    /// Smallest share of lines that end with an end mark of any script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_punct_ratio: Option<f64>,
    /// Most newlines per word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_ratio: Option<f64>,
    /// Smallest mean length of words that are not all punctuation, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gopher_below_avg_threshold: Option<f64>,
    /// Largest mean length of those words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gopher_above_avg_threshold: Option<f64>,
    /// Smallest share of words with a letter in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gopher_below_alpha_threshold: Option<f64>,
    /// The stop words, as they are written: case counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_words: Option<Vec<String>>,
}

impl Default for Fineweb2Config {
    fn default() -> Self {
        let quality = GopherQualityConfig::default();
        Self {
            thresholds: BTreeMap::new(),
            files: Vec::new(),
            others: Fineweb2Language::default(),
            char_dup_ratio: Some(0.1),
            gopher_short_doc: quality.gopher_short_doc,
            gopher_long_doc: quality.gopher_long_doc,
            gopher_too_many_hashes: quality.gopher_too_many_hashes,
            gopher_too_many_ellipsis: quality.gopher_too_many_ellipsis,
            gopher_too_many_bullets: quality.gopher_too_many_bullets,
            gopher_too_many_end_ellipsis: quality.gopher_too_many_end_ellipsis,
            gopher_enough_stop_words: quality.gopher_enough_stop_words,
        }
    }
}

impl Fineweb2Language {
    fn thresholds(&self) -> [(&'static str, Option<f64>); 15] {
        [
            ("dup_line_frac", self.dup_line_frac),
            ("top_2_gram", self.top_2_gram),
            ("top_3_gram", self.top_3_gram),
            ("top_4_gram", self.top_4_gram),
            ("duplicated_5_n_grams", self.duplicated_5_n_grams),
            ("duplicated_6_n_grams", self.duplicated_6_n_grams),
            ("duplicated_7_n_grams", self.duplicated_7_n_grams),
            ("duplicated_8_n_grams", self.duplicated_8_n_grams),
            ("duplicated_9_n_grams", self.duplicated_9_n_grams),
            ("duplicated_10_n_grams", self.duplicated_10_n_grams),
            ("line_punct_ratio", self.line_punct_ratio),
            ("list_ratio", self.list_ratio),
            ("gopher_below_avg_threshold", self.gopher_below_avg_threshold),
            ("gopher_above_avg_threshold", self.gopher_above_avg_threshold),
            ("gopher_below_alpha_threshold", self.gopher_below_alpha_threshold),
        ]
    }
}

/// The rules with the thresholds of every language.
struct Fineweb2 {
    languages: BTreeMap<String, Thresholds>,
    others: Thresholds,
    english: Thresholds,
}

impl RuleConfig for Fineweb2Config {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("char_dup_ratio", self.char_dup_ratio),
            ("gopher_too_many_hashes", self.gopher_too_many_hashes),
            ("gopher_too_many_ellipsis", self.gopher_too_many_ellipsis),
            ("gopher_too_many_bullets", self.gopher_too_many_bullets),
            ("gopher_too_many_end_ellipsis", self.gopher_too_many_end_ellipsis),
        ]
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for code in self.thresholds.keys() {
            let is_code = matches!(code.len(), 2 | 3) && code.bytes().all(|byte| byte.is_ascii_lowercase());
            if !is_code || short_code(code) != code {
                let message =
                    format!("is no language: expected an ISO 639 code such as `{}`", short_code(code));
                return Err(ConfigError::new(format!("thresholds.{code}"), message));
            }
        }
        let own = self.thresholds.iter().map(|(code, own)| (format!("thresholds.{code}"), own));
        for (place, own) in own.chain([("others".to_owned(), &self.others)]) {
            for (key, value) in own.thresholds() {
                if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                    let message = format!("is {value}; expected a number that is not negative");
                    return Err(ConfigError::new(format!("{place}.{key}"), message));
                }
            }
        }
        Ok(())
    }

    fn locations(&mut self) -> Vec<(String, &mut String)> {
        let files = self.files.iter_mut().enumerate();
        files.map(|(index, path)| (format!("files[{index}]"), path)).collect()
    }

    fn build(&self, files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        let mut published: BTreeMap<String, Fineweb2Language> =
            BUILT_IN.iter().map(|(code, published)| (code.clone(), published.thresholds())).collect();
        let mut named: BTreeMap<String, String> = BTreeMap::new();
        for location in &self.files {
            files.each(location, &mut |name, content| {
                let (code, thresholds) = read_published(name, &whole(name, content, MOST_FILE_BYTES)?)?;
                if let Some(first) = named.insert(code.clone(), name.to_owned()).filter(|first| first != name)
                {
                    let message =
                        format!("and `{first}` are both for `{code}`: expected one file a language");
                    return Err(FileError::new(name, message));
                }
                published.insert(code, thresholds);
                Ok(())
            })?;
        }
        let common = Thresholds::common(self);
        let nothing = Fineweb2Language::default();
        let codes = published.keys().chain(self.thresholds.keys());
        let mut languages = BTreeMap::new();
        for code in codes {
            let own = self.thresholds.get(code).unwrap_or(&nothing);
            let base = match published.get(code) {
                Some(published) => common.clone().overlay(published),
                None => common.clone().overlay(&without_stop_words(&self.others)),
            };
            // A list given here counts again for the rule that an empty one turns off.
            let mut base = base;
            base.quality.gopher_enough_stop_words = self.gopher_enough_stop_words;
            languages.insert(code.clone(), base.overlay(own));
        }
        Ok(Box::new(Fineweb2 {
            languages,
            others: common.clone().overlay(&without_stop_words(&self.others)),
            english: common.overlay(&self.others),
        }))
    }
}

/// English stop words say nothing of other languages.
fn without_stop_words(others: &Fineweb2Language) -> Fineweb2Language {
    let stop_words = others.stop_words.clone().or(Some(Vec::new()));
    Fineweb2Language { stop_words, ..others.clone() }
}

impl Rules for Fineweb2 {
    fn language(&self) -> Option<&'static str> {
        None
    }

    fn rules(&self, language: Option<&str>) -> Vec<Rule> {
        let thresholds = self.of(language);
        // An empty document is measured by nothing before: that it is empty need stand here once alone.
        let repetition = thresholds.repetition.rules(None).into_iter().filter(|rule| rule.name != "empty");
        repetition.chain(thresholds.fineweb.rules(None)).chain(thresholds.quality.rules(None)).collect()
    }

    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        judge(self.of(view.language), view, scratch, gauge);
        Verdict::Keep
    }
}

impl Fineweb2 {
    /// The thresholds of a language.
    fn of(&self, language: Option<&str>) -> &Thresholds {
        match language {
            Some(code) => {
                self.languages.get(code).unwrap_or(if code == "en" { &self.english } else { &self.others })
            }
            None => &self.english,
        }
    }
}

fn judge(thresholds: &Thresholds, view: &View<'_>, scratch: &mut Scratch, gauge: &mut Gauge<'_>) -> bool {
    gopher_repetition::judge(&thresholds.repetition, view, &mut scratch.grams, gauge)
        || fineweb::judge(&thresholds.fineweb, view, &mut scratch.grams, gauge)
        || gopher_quality::judge(&thresholds.quality, view, gauge)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orchestrator_core::{Decision, Document};

    use super::*;
    use crate::Step;
    use crate::files::testing::Memory;
    use crate::filters::{Filter, FilterConfig, FilterStep, Profile};

    fn step(config: Fineweb2Config, files: &dyn Files) -> FilterStep {
        let config =
            FilterConfig { profile: Profile::Fineweb2, fineweb_2: Some(config), ..FilterConfig::default() };
        Arc::new(Filter::new(&config, files).expect("valid")).into()
    }

    fn drop(step: &mut FilterStep, language: Option<&str>, text: &str) -> Option<(String, String)> {
        let mut document =
            Document { language: language.map(str::to_owned), ..Document::new("test", 0, text) };
        match step.apply(&mut document, &mut Vec::new()) {
            Decision::Keep => None,
            Decision::Drop(reason) => Some((reason.rule.into_owned(), reason.value)),
        }
    }

    /// Words of about seven letters that do not repeat, with a stop word before each of the first `stop_words`.
    fn prose(stop_words: &[&str]) -> String {
        let mut text: Vec<String> = stop_words.iter().map(|&word| word.to_owned()).collect();
        text.extend((0..120u32).map(|n| {
            let letters = |n: u32| char::from(b'a' + (n % 23) as u8);
            format!("q{}{}w{}ner", letters(n), letters(n / 23 + 3 * n), letters(n * 7))
        }));
        text.join(" ") + "."
    }

    #[test]
    fn stop_words_are_those_of_the_language() {
        let mut step = step(Fineweb2Config::default(), &crate::files::NoFiles);
        let french = prose(&["de", "la", "le"]);
        assert_eq!(drop(&mut step, Some("fr"), &french), None);
        assert_eq!(
            drop(&mut step, Some("ru"), &french),
            Some(("gopher_enough_stop_words".into(), "0".into()))
        );
        assert_eq!(drop(&mut step, Some("sw"), &french), None, "a language without a list has no such rule");
        assert_eq!(drop(&mut step, None, &prose(&["the", "of"])), None);
        assert!(drop(&mut step, Some("en"), &french).is_some());
    }

    #[test]
    fn single_thresholds_and_published_files_replace_what_is_built_in() {
        let files = Memory(vec![(
            "configs/swh_Latn.yml",
            "dup_line_frac: 0.2\ntop_n_grams:\n- - 2\n  - 0.3\nline_punct_thr: 0.1\nlanguage_score: 0.5\n\
             min_avg_word_length: 0\nmax_avg_word_length: 5\nstopwords:\n- na\n- ya\n- 'no'\n",
        )]);
        let config = Fineweb2Config { files: vec!["configs/".into()], ..Fineweb2Config::default() };
        let text = prose(&["na", "ya"]);
        let dropped = drop(&mut step(config.clone(), &files), Some("sw"), &text).expect("long words");
        assert_eq!(dropped.0, "gopher_above_avg_threshold");
        let own = Fineweb2Language { gopher_above_avg_threshold: Some(9.0), ..Fineweb2Language::default() };
        let config = Fineweb2Config { thresholds: [("sw".to_owned(), own)].into(), ..config };
        assert_eq!(drop(&mut step(config, &files), Some("sw"), &text), None);
    }

    #[test]
    fn every_published_language_is_whole() {
        assert_eq!(BUILT_IN.len(), 25);
        for (code, published) in BUILT_IN.iter() {
            assert_eq!(short_code(code), code);
            let thresholds = published.thresholds();
            assert!(thresholds.thresholds().iter().all(|(_, value)| value.is_some()), "{code}");
            assert!(thresholds.stop_words.is_some_and(|words| words.len() >= 8), "{code}");
        }
    }

    #[test]
    fn wrong_files_and_values_are_named() {
        let read = |name: &str, text: &str| read_published(name, text).expect_err("wrong").to_string();
        assert!(read("thresholds.yml", "").contains("has no language in its name"));
        assert!(read("fra_Latn.yml", "dup_lines: 1").contains("`fra_Latn.yml`: is no file of thresholds"));
        assert!(read("fra_Latn.yml", "new_line_ratio: -1").contains("the threshold -1"));
        let own = Fineweb2Language { list_ratio: Some(-1.0), ..Fineweb2Language::default() };
        let wrong = Fineweb2Config { thresholds: [("fr".into(), own)].into(), ..Fineweb2Config::default() };
        assert_eq!(wrong.validate().expect_err("negative").key, "thresholds.fr.list_ratio");
        let long = [("fra".to_owned(), Fineweb2Language::default())].into();
        let long = Fineweb2Config { thresholds: long, ..Fineweb2Config::default() };
        assert!(long.validate().expect_err("a longer code").message.contains("`fr`"));
        let two = Memory(vec![("c/srp_Cyrl.yml", "{}"), ("c/srp_Latn.yml", "{}")]);
        let config = Fineweb2Config { files: vec!["c/".into()], ..Fineweb2Config::default() };
        assert!(config.build(&two).err().expect("two for one").to_string().contains("both for `sr`"));
    }
}
