//! The table of rule sets: a set's name in the job file, its key, and its configuration.
//!
//! Every row makes a variant of [`RuleSet`], a key of [`FilterConfig`], and the arms that lead from one to the other, so
//! that a new set is its own file and its row here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    C4Config, CuratorConfig, DclmConfig, DolmaC4Config, DolmaGopherConfig, Fineweb2Config, FinewebConfig,
    GopherQualityConfig, GopherRepetitionConfig, Profile, RuleConfig, UrlConfig,
};
use crate::step::Languages;

macro_rules! rule_sets {
    ($($(#[doc = $doc:literal])+ $name:literal $set:ident => $key:ident: $config:ident;)+) => {
        /// A published set of rules, by the project whose reading of them it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum RuleSet {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $set,)+
        }

        impl RuleSet {
            /// All sets, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$set,)+];

            /// The name in `rules`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$set => $name,)+ }
            }

            /// The key of its options.
            pub fn key(self) -> &'static str {
                match self { $(Self::$set => stringify!($key),)+ }
            }
        }

        /// Which rules judge documents, in which order, with which thresholds.
        ///
        /// A profile is a project's sets of rules in its order. Each set has a key with its thresholds, and each
        /// threshold can be given by itself; what is not given is as published. A key whose set is not among the rules
        /// is an error.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct FilterConfig {
            /// Whose reading of the published rules is followed.
            pub profile: Profile,
            /// The rule sets, in order; the first rule that fails names the drop. The profile's where not given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rules: Option<Vec<RuleSet>>,
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$config>,)+
            /// Languages to judge; each set's own where not given, English for most. Other documents pass untouched.
            pub languages: Languages,
            /// Writes this stage's documents even where the next stage could read them in passing.
            pub keep: bool,
            /// Writes what every rule measured on every document (`scores-NNNNN.parquet`), also behind the first rule that
            /// fails, for `orchestrator refilter`: thresholds are then moved without reading texts again. Nothing else
            /// changes. It costs the time of the rules that a dropped document would have been spared, and about 75 bytes a
            /// document.
            pub scores: bool,
        }

        impl FilterConfig {
            /// The options of a set: those given, else as published.
            pub(super) fn options(&self, set: RuleSet) -> Box<dyn RuleConfig> {
                match set { $(RuleSet::$set => Box::new(self.$key.clone().unwrap_or_default()),)+ }
            }

            /// Every path that the options name, with its key below the stage.
            pub fn locations(&mut self) -> Vec<(String, &mut String)> {
                let mut all = Vec::new();
                $(if let Some(config) = &mut self.$key {
                    let within = |(key, path)| (format!("{}.{key}", stringify!($key)), path);
                    all.extend(config.locations().into_iter().map(within));
                })+
                all
            }

            /// Whether options of a set are given.
            pub(super) fn is_given(&self, set: RuleSet) -> bool {
                match set { $(RuleSet::$set => self.$key.is_some(),)+ }
            }

            /// Writes out the options of a set.
            pub(super) fn write_out(&mut self, set: RuleSet) {
                match set { $(RuleSet::$set => self.$key.get_or_insert_default().resolve(),)+ }
            }
        }
    };
}

rule_sets! {
    /// datatrove: repeated paragraphs, lines and n-grams (Gopher); only further copies count.
    "gopher-repetition" GopherRepetition => gopher_repetition: GopherRepetitionConfig;
    /// datatrove: counts and lengths of words, symbols, bullets, stop words (Gopher).
    "gopher-quality" GopherQuality => gopher_quality: GopherQualityConfig;
    /// datatrove: lines that are no prose go; documents of too few sentences go (C4).
    "c4" C4 => c4: C4Config;
    /// FineWeb: line ends, short lines, repeated lines, lists.
    "fineweb" Fineweb => fineweb: FinewebConfig;
    /// FineWeb-2: the rules of Gopher and FineWeb with thresholds and stop words of each language.
    "fineweb-2" Fineweb2 => fineweb_2: Fineweb2Config;
    /// Dolma: Gopher's rules as its tagger `gopher_v1` measures them; words are what white space parts.
    "dolma-gopher" DolmaGopher => dolma_gopher: DolmaGopherConfig;
    /// Dolma: lines without an end mark go (C4 as its tagger `c4_v1` reads it).
    "dolma-c4" DolmaC4 => dolma_c4: DolmaC4Config;
    /// DCLM: the heuristics of DCLM-Baseline, a reproduction of RefinedWeb.
    "dclm" Dclm => dclm: DclmConfig;
    /// NeMo Curator: its heuristics for English.
    "curator" Curator => curator: CuratorConfig;
    /// datatrove: addresses on the user's own lists (FineWeb's first step); in no profile, since it needs lists.
    "url" Url => url: UrlConfig;
}
