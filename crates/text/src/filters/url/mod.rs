//! Addresses on block lists.
//!
//! Drops documents by where they were fetched from, before anything costly is done with them: it needs no text, so a
//! `filter` with these rules alone can stand before `clean`. Documents whose address is not known pass.
//!
//! Reference: datatrove 0.10's `URLFilter` (FineWeb's first step), whose rules and order these are. The lists are the
//! user's own; the formats are those that people have: folders of UT1 (dsi.ut-capitole.fr/blacklists), and files with an
//! entry a line, where `#` begins a comment. Three things differ from datatrove, all to find what was meant: hosts are
//! blocked with all that lies below them, an address is compared without scheme, `www.` and final `/`, and case counts
//! in no rule but in paths.
//!
//! Of a list only 8 bytes an entry are kept, its hash: two of 10⁷ entries and 10⁹ addresses meet by chance once in 10³
//! runs.
//!
//! Example: `https://shop.example.com/x` is dropped as `domain`, `example.com`, where `example.com` is listed.

mod address;
mod lists;

use aho_corasick::{AhoCorasick, MatchKind};
use orchestrator_core::{Decision, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::lists::{HashList, read_entries};
use super::gauge::{Gauge, Rule};
use super::{RuleConfig, Rules, Scratch, Verdict, View};
use crate::files::{FileError, Files};
use crate::step::ConfigError;
use crate::words::Splitter;

/// What a folder of UT1 holds that is read: entries that are domains, and entries that are addresses.
const UT1_FILES: &str = "/{domains,urls,domains.gz,urls.gz}";
/// What a reason shows of an address.
const MOST_VALUE_BYTES: usize = 256;
/// Sub-words go into one automaton, which is larger than a hash.
const MOST_SUBWORDS: usize = 1_000_000;

/// The rules, in order. The first that an address breaks is noted, and no other.
const URL_RULES: [&str; 6] =
    ["domain", "subdomain", "url", "hard_blacklisted", "soft_blacklisted", "blacklisted_subword"];

/// Lists of `url`. Every entry is a path, URL or glob of files, which may be compressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlConfig {
    /// Folders of categories as UT1 publishes them, each with a file `domains`, a file `urls`, or both.
    pub ut1: Vec<String>,
    /// Domains and hosts (rules `domain` and `subdomain`).
    pub domains: Vec<String>,
    /// Whole addresses (rule `url`).
    pub urls: Vec<String>,
    /// Words of which one in the address is too many (rule `hard_blacklisted`).
    pub hard_words: Vec<String>,
    /// Words of which `soft_word_threshold` different ones are too many (rule `soft_blacklisted`).
    pub soft_words: Vec<String>,
    /// Strings that may stand nowhere in the letters and digits of the address (rule `blacklisted_subword`).
    pub subwords: Vec<String>,
    /// How many soft words drop a document.
    pub soft_word_threshold: u64,
}

impl Default for UrlConfig {
    fn default() -> Self {
        Self {
            ut1: Vec::new(),
            domains: Vec::new(),
            urls: Vec::new(),
            hard_words: Vec::new(),
            soft_words: Vec::new(),
            subwords: Vec::new(),
            soft_word_threshold: 2,
        }
    }
}

impl UrlConfig {
    fn lists(&mut self) -> [(&'static str, &mut Vec<String>); 6] {
        [
            ("ut1", &mut self.ut1),
            ("domains", &mut self.domains),
            ("urls", &mut self.urls),
            ("hard_words", &mut self.hard_words),
            ("soft_words", &mut self.soft_words),
            ("subwords", &mut self.subwords),
        ]
    }
}

impl RuleConfig for UrlConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let mut own = self.clone();
        if own.lists().iter().all(|(_, list)| list.is_empty()) {
            let message =
                "names no list; expected `ut1`, `domains`, `urls`, `hard_words`, `soft_words` or `subwords`";
            return Err(ConfigError::new("domains", message));
        }
        if self.soft_word_threshold == 0 {
            return Err(ConfigError::new("soft_word_threshold", "is 0; expected at least 1"));
        }
        Ok(())
    }

    fn locations(&mut self) -> Vec<(String, &mut String)> {
        self.lists()
            .into_iter()
            .flat_map(|(key, list)| {
                list.iter_mut().enumerate().map(move |(index, path)| (format!("{key}[{index}]"), path))
            })
            .collect()
    }

    fn resolve(&mut self) {
        for folder in self.ut1.iter_mut().filter(|folder| !folder.ends_with(UT1_FILES)) {
            folder.truncate(folder.trim_end_matches('/').len());
            folder.push_str(UT1_FILES);
        }
    }

    fn build(&self, files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        let mut resolved = self.clone();
        resolved.resolve();
        let mut rules = UrlRules { soft_word_threshold: self.soft_word_threshold, ..UrlRules::default() };
        for location in &resolved.ut1 {
            files.each(location, &mut |name, content| {
                let is_domains = name.rsplit('/').next().unwrap_or(name).starts_with("domains");
                if is_domains {
                    read_entries(name, content, address::normal_host, &mut rules.domains)
                } else {
                    read_entries(name, content, address::normal, &mut rules.urls)
                }
            })?;
        }
        let read = |locations: &[String], normal: fn(&str) -> String, list: &mut HashList| {
            for location in locations {
                files.each(location, &mut |name, content| read_entries(name, content, normal, list))?;
            }
            list.finish();
            Ok(())
        };
        read(&resolved.domains, address::normal_host, &mut rules.domains)?;
        read(&resolved.urls, address::normal, &mut rules.urls)?;
        read(&resolved.hard_words, address::letters, &mut rules.hard_words)?;
        read(&resolved.soft_words, address::letters, &mut rules.soft_words)?;
        rules.subwords = automaton(&resolved.subwords, files)?;
        Ok(Box::new(rules))
    }

    fn build_thresholds(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(UrlRules::default()))
    }
}

/// Finds any of the sub-words.
fn automaton(locations: &[String], files: &dyn Files) -> Result<Option<AhoCorasick>, FileError> {
    let mut words: Vec<String> = Vec::new();
    for location in locations {
        files.each(location, &mut |name, content| {
            crate::files::each_line(name, content, |number, line| {
                if words.len() >= MOST_SUBWORDS {
                    let message = format!("is one too many: expected at most {MOST_SUBWORDS} sub-words");
                    return Err(FileError::at(name, number, message));
                }
                words.extend(
                    lists::entry(name, number, line)?.map(address::letters).filter(|word| !word.is_empty()),
                );
                Ok(())
            })
        })?;
    }
    words.sort_unstable();
    words.dedup();
    if words.is_empty() {
        return Ok(None);
    }
    let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&words);
    let first = || locations.first().cloned().unwrap_or_default();
    built.map(Some).map_err(|error| FileError::new(first(), format!("are too many sub-words: {error}")))
}

/// The lists, read.
#[derive(Default)]
struct UrlRules {
    domains: HashList,
    urls: HashList,
    hard_words: HashList,
    soft_words: HashList,
    subwords: Option<AhoCorasick>,
    soft_word_threshold: u64,
}

impl Rules for UrlRules {
    fn language(&self) -> Option<&'static str> {
        None
    }

    fn splitter(&self, _language: Option<&str>) -> Option<Splitter> {
        None
    }

    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        URL_RULES.map(Rule::never).to_vec()
    }

    fn judge(
        &self,
        view: &View<'_>,
        _scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        if let Some(Decision::Drop(reason)) = view.url.and_then(|url| self.judge_url(url))
            && let Some(rule) = URL_RULES.into_iter().find(|rule| *rule == reason.rule)
        {
            gauge.fails(rule, || Decision::Drop(reason));
        }
        Verdict::Keep
    }
}

impl UrlRules {
    fn judge_url(&self, url: &str) -> Option<Decision> {
        let host = address::normal_host(url);
        let registered = address::registered_domain(&host);
        if let Some(domain) = registered.filter(|domain| self.domains.contains(domain)) {
            return Some(Decision::drop("domain", domain));
        }
        // The host and what it lies below, down to the registered domain, or to its last two labels where there is none.
        let mut below = Some(host.as_str());
        while let Some(name) = below.filter(|name| Some(*name) != registered && !name.is_empty()) {
            if self.domains.contains(name) {
                return Some(Decision::drop("subdomain", name));
            }
            below = if registered.is_some() { name.split_once('.').map(|(_, rest)| rest) } else { None };
        }
        let normal = address::normal(url);
        if self.urls.contains(&normal) {
            let most = normal.floor_char_boundary(MOST_VALUE_BYTES);
            return Some(Decision::drop("url", &normal[..most]));
        }
        self.judge_words(url)
    }

    fn judge_words(&self, url: &str) -> Option<Decision> {
        let lower = url.to_ascii_lowercase();
        let mut words: Vec<&str> =
            lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        if let Some(word) = words.iter().find(|word| self.hard_words.contains(word)) {
            return Some(Decision::drop("hard_blacklisted", word));
        }
        words.sort_unstable();
        words.dedup();
        words.retain(|word| self.soft_words.contains(word));
        if words.len() as u64 >= self.soft_word_threshold {
            return Some(Decision::drop("soft_blacklisted", words.join(" ")));
        }
        let letters = address::letters(url);
        let found = self.subwords.as_ref()?.find(&letters)?;
        Some(Decision::drop("blacklisted_subword", &letters[found.range()]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orchestrator_core::Document;

    use super::*;
    use crate::Step;
    use crate::files::NoFiles;
    use crate::files::testing::Memory;
    use crate::filters::{Filter, FilterConfig, FilterStep, RuleSet};

    fn files() -> Memory {
        Memory(vec![
            (
                "ut1/adult/{domains",
                "example.org\n# a comment\n\nhost.fine.co.uk\n10.0.0.9\nblog.blogspot.com\n",
            ),
            ("ut1/adult/{urls", "example.com/bad/page\n"),
            ("hard.txt", "casino\n"),
            ("soft.txt", "win\r\nbet\r\nfree\r\n"),
            ("sub.txt", "xx-bad\n"),
        ])
    }

    /// The folder's files as a store would list them.
    struct Folder(Memory);

    impl Files for Folder {
        fn each(&self, location: &str, read: &mut crate::files::ReadFile<'_>) -> Result<(), FileError> {
            match location.strip_suffix(UT1_FILES) {
                Some(folder) => {
                    self.0.each(folder, &mut |name, content| read(&name.replace('{', ""), content))
                }
                None => self.0.each(location, read),
            }
        }
    }

    fn step() -> FilterStep {
        let url = UrlConfig {
            ut1: vec!["ut1/adult/".into()],
            hard_words: vec!["hard.txt".into()],
            soft_words: vec!["soft.txt".into()],
            subwords: vec!["sub.txt".into()],
            ..UrlConfig::default()
        };
        let config =
            FilterConfig { rules: Some(vec![RuleSet::Url]), url: Some(url), ..FilterConfig::default() };
        Arc::new(Filter::new(&config, &Folder(files())).expect("lists")).into()
    }

    #[test]
    fn each_list_has_its_rule() {
        let mut step = step();
        for (url, expected) in [
            ("https://example.com/", None),
            ("https://www.example.org/x", Some(("domain", "example.org"))),
            ("HTTP://a.b.EXAMPLE.org", Some(("domain", "example.org"))),
            ("https://notexample.org/", None),
            ("https://user:pw@a.host.fine.co.uk:80/x", Some(("subdomain", "host.fine.co.uk"))),
            ("https://fine.co.uk/", None),
            ("https://blog.blogspot.com/2020", Some(("subdomain", "blog.blogspot.com"))),
            ("https://other.blogspot.com/2020", None),
            ("http://10.0.0.9/", Some(("subdomain", "10.0.0.9"))),
            ("https://www.example.com/bad/page/", Some(("url", "example.com/bad/page"))),
            ("https://example.com/bad/Page", None),
            ("https://example.com/the-Casino", Some(("hard_blacklisted", "casino"))),
            ("https://example.com/casinos", None),
            ("https://example.com/win/win", None),
            ("https://example.com/win/free-bet", Some(("soft_blacklisted", "bet free win"))),
            ("https://example.com/a-XXb-ad", Some(("blacklisted_subword", "xxbad"))),
            ("", None),
            ("no address at all ://", None),
        ] {
            let mut document = Document { url: Some(url.into()), ..Document::new("test", 0, "") };
            let decision = step.apply(&mut document, &mut Vec::new());
            let expected = expected
                .map_or(Decision::Keep, |(rule, value): (&'static str, _)| Decision::drop(rule, value));
            assert_eq!(decision, expected, "{url}");
        }
        assert!(
            step.apply(&mut Document::new("test", 0, ""), &mut Vec::new()).is_keep(),
            "no address, no rule"
        );
    }

    #[test]
    fn folders_are_read_by_the_names_of_their_files_and_resolved_once() {
        let mut config = UrlConfig { ut1: vec!["/data/adult/".into()], ..UrlConfig::default() };
        config.resolve();
        assert_eq!(config.ut1, ["/data/adult/{domains,urls,domains.gz,urls.gz}"]);
        let once = config.clone();
        config.resolve();
        assert_eq!(config, once);
        let keys: Vec<String> = config.locations().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["ut1[0]"]);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let config =
            |url| FilterConfig { rules: Some(vec![RuleSet::Url]), url: Some(url), ..FilterConfig::default() };
        let empty = config(UrlConfig::default());
        assert_eq!(empty.validate().expect_err("no list").key, "url.domains");
        let missing = config(UrlConfig { domains: vec!["gone.txt".into()], ..UrlConfig::default() });
        let error = Filter::new(&missing, &NoFiles).err().expect("no files").to_string();
        assert!(error.starts_with("`gone.txt`"), "{error}");
    }
}
