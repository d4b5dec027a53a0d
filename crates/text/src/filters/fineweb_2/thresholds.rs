//! Thresholds of one language: those that are built in, those of a file as it is published, and what they are over.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Fineweb2Config, Fineweb2Language};
use crate::files::FileError;
use crate::filters::{FinewebConfig, GopherQualityConfig, GopherRepetitionConfig};
use crate::language::short_code;

/// A file as FineWeb-2 publishes it. A threshold of 0 is off, as datatrove reads it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Published {
    dup_line_frac: Option<f64>,
    top_n_grams: Vec<(usize, f64)>,
    dup_n_grams: Vec<(usize, f64)>,
    line_punct_thr: Option<f64>,
    new_line_ratio: Option<f64>,
    min_avg_word_length: Option<f64>,
    max_avg_word_length: Option<f64>,
    max_non_alpha_words_ratio: Option<f64>,
    stopwords: Option<Vec<String>>,
    /// The least score of GlotLID: a matter of the `language` stage.
    #[serde(rename = "language_score")]
    _language_score: Option<f64>,
}

pub(super) static BUILT_IN: LazyLock<BTreeMap<String, Published>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("built_in.json")).expect("the table beside this file is whole")
});

/// The thresholds of one language, as the three sets take them.
#[derive(Clone)]
pub(super) struct Thresholds {
    pub(super) repetition: GopherRepetitionConfig,
    pub(super) fineweb: FinewebConfig,
    pub(super) quality: GopherQualityConfig,
}

impl Thresholds {
    /// What holds for every language; the rest is FineWeb's for English.
    pub(super) fn common(config: &Fineweb2Config) -> Self {
        Self {
            repetition: GopherRepetitionConfig {
                dup_para_frac: None,
                dup_para_char_frac: None,
                dup_line_char_frac: None,
                ..GopherRepetitionConfig::default()
            },
            fineweb: FinewebConfig {
                short_line_ratio: None,
                char_dup_ratio: config.char_dup_ratio,
                ..FinewebConfig::default()
            },
            quality: GopherQualityConfig {
                gopher_short_doc: config.gopher_short_doc,
                gopher_long_doc: config.gopher_long_doc,
                gopher_too_many_hashes: config.gopher_too_many_hashes,
                gopher_too_many_ellipsis: config.gopher_too_many_ellipsis,
                gopher_too_many_bullets: config.gopher_too_many_bullets,
                gopher_too_many_end_ellipsis: config.gopher_too_many_end_ellipsis,
                gopher_enough_stop_words: config.gopher_enough_stop_words,
                ..GopherQualityConfig::default()
            },
        }
    }

    pub(super) fn overlay(mut self, own: &Fineweb2Language) -> Self {
        fn set<T: Clone>(place: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                place.clone_from(given);
            }
        }
        let (repetition, fineweb, quality) = (&mut self.repetition, &mut self.fineweb, &mut self.quality);
        for (place, given) in [
            (&mut repetition.dup_line_frac, own.dup_line_frac),
            (&mut repetition.top_2_gram, own.top_2_gram),
            (&mut repetition.top_3_gram, own.top_3_gram),
            (&mut repetition.top_4_gram, own.top_4_gram),
            (&mut repetition.duplicated_5_n_grams, own.duplicated_5_n_grams),
            (&mut repetition.duplicated_6_n_grams, own.duplicated_6_n_grams),
            (&mut repetition.duplicated_7_n_grams, own.duplicated_7_n_grams),
            (&mut repetition.duplicated_8_n_grams, own.duplicated_8_n_grams),
            (&mut repetition.duplicated_9_n_grams, own.duplicated_9_n_grams),
            (&mut repetition.duplicated_10_n_grams, own.duplicated_10_n_grams),
            (&mut fineweb.line_punct_ratio, own.line_punct_ratio),
            (&mut fineweb.list_ratio, own.list_ratio),
            (&mut quality.gopher_below_avg_threshold, own.gopher_below_avg_threshold),
            (&mut quality.gopher_above_avg_threshold, own.gopher_above_avg_threshold),
            (&mut quality.gopher_below_alpha_threshold, own.gopher_below_alpha_threshold),
        ] {
            if given.is_some() {
                *place = given;
            }
        }
        set(&mut quality.stop_words, own.stop_words.as_ref());
        if quality.stop_words.is_empty() {
            quality.gopher_enough_stop_words = None;
        }
        self
    }
}

impl Published {
    /// The same by our rules' names. A list may leave n-grams out; those are then as in English.
    pub(super) fn thresholds(&self) -> Fineweb2Language {
        let gram = |list: &[(usize, f64)], n| list.iter().find(|entry| entry.0 == n).map(|entry| entry.1);
        let top = |n| gram(&self.top_n_grams, n);
        let repeated = |n| gram(&self.dup_n_grams, n);
        // What datatrove skips at 0 is a largest share; nothing is above infinity.
        let largest = |value: Option<f64>| value.map(|value| if value == 0.0 { f64::MAX } else { value });
        Fineweb2Language {
            dup_line_frac: largest(self.dup_line_frac),
            top_2_gram: top(2),
            top_3_gram: top(3),
            top_4_gram: top(4),
            duplicated_5_n_grams: repeated(5),
            duplicated_6_n_grams: repeated(6),
            duplicated_7_n_grams: repeated(7),
            duplicated_8_n_grams: repeated(8),
            duplicated_9_n_grams: repeated(9),
            duplicated_10_n_grams: repeated(10),
            line_punct_ratio: self.line_punct_thr,
            list_ratio: self.new_line_ratio,
            gopher_below_avg_threshold: self.min_avg_word_length,
            gopher_above_avg_threshold: largest(self.max_avg_word_length),
            gopher_below_alpha_threshold: self.max_non_alpha_words_ratio,
            stop_words: self.stopwords.clone(),
        }
    }
}

/// Reads `fra_Latn.yml`: the language is the name up to the script.
pub(super) fn read_published(name: &str, text: &str) -> Result<(String, Fineweb2Language), FileError> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let code = stem.split(['_', '.']).next().unwrap_or_default();
    if !matches!(code.len(), 2 | 3) || !code.bytes().all(|byte| byte.is_ascii_lowercase()) {
        let message = "has no language in its name: expected one such as `fra_Latn.yml`";
        return Err(FileError::new(name, message));
    }
    let published: Published = serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        FileError::new(name, format!("is no file of thresholds: {first}"))
    })?;
    let thresholds = published.thresholds();
    let lists = published.top_n_grams.iter().chain(&published.dup_n_grams).map(|(_, value)| *value);
    let values = thresholds.thresholds().into_iter().filter_map(|(_, value)| value);
    if let Some(value) = lists.chain(values).find(|value| !(value.is_finite() && *value >= 0.0)) {
        return Err(FileError::new(
            name,
            format!("has the threshold {value}; expected none that is negative"),
        ));
    }
    Ok((short_code(code).to_owned(), thresholds))
}
