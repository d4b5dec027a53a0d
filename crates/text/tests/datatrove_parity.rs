//! How often our verdicts, edited texts and signatures equal datatrove's on real documents.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use orchestrator_core::{Decision, Document};
use orchestrator_text::Step;
use orchestrator_text::filters::{FilterConfig, FilterStep, RuleSet};
use orchestrator_text::minhash::{Hash, Hasher, MinHashConfig};
use xxhash_rust::xxh64::xxh64;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

fn reader(path: &Path) -> Box<dyn Read> {
    let file = File::open(path).expect("a listed file");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file).expect("a zstd frame")),
        _ => Box::new(file),
    }
}

/// The texts of a JSONL set, by row.
fn texts(name: &str, wanted: usize) -> Vec<String> {
    let folders = ["web_text", "docs_corpus", "lm_text"];
    let path =
        folders.iter().map(|folder| PathBuf::from(DATA).join(folder).join(name)).find(|path| path.exists());
    BufReader::new(reader(&path.expect("a set of the index")))
        .lines()
        .take(wanted)
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("a JSON row");
            row["text"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

fn step(rules: RuleSet) -> FilterStep {
    let config = FilterConfig { rules: Some(vec![rules]), ..FilterConfig::default() };
    FilterStep::new(&config).expect("valid")
}

fn verdict(step: &mut FilterStep, text: &str) -> (String, String) {
    let mut document = Document::new("x", 0, text);
    match step.apply(&mut document, &mut Vec::new()) {
        Decision::Keep => ("pass".to_owned(), document.text),
        Decision::Drop(reason) => (reason.rule.into_owned(), String::new()),
    }
}

#[test]
fn verdicts_and_signatures_agree_with_datatrove() {
    let index = PathBuf::from(DATA).join("golden/datatrove_verdicts.tsv.gz");
    if !index.exists() {
        println!("skipped: ../shared is absent");
        return;
    }
    let mut rows: BTreeMap<String, Vec<(usize, Vec<String>)>> = BTreeMap::new();
    for line in BufReader::new(reader(&index)).lines().skip(1) {
        let fields: Vec<String> = line.expect("a line").split('\t').map(str::to_owned).collect();
        rows.entry(fields[0].clone())
            .or_default()
            .push((fields[1].parse().expect("a row"), fields[2..].to_vec()));
    }
    let sets = [RuleSet::GopherRepetition, RuleSet::GopherQuality, RuleSet::C4, RuleSet::Fineweb];
    let mut steps = sets.map(step);
    let mut hasher = Hasher::new(&MinHashConfig { hash: Hash::Sha1_64, ..MinHashConfig::default() });
    let (mut documents, mut agree, mut edits, mut equal_edits, mut signed, mut equal_signatures) =
        (0, [0; 4], 0, 0, 0, 0);
    for (file, wanted) in &rows {
        let texts = texts(file, wanted.iter().map(|(row, _)| row + 1).max().unwrap_or(0));
        for (row, expected) in wanted {
            documents += 1;
            for (index, rules) in sets.into_iter().enumerate() {
                let (name, text) = verdict(&mut steps[index], &texts[*row]);
                if name == expected[index] {
                    agree[index] += 1;
                } else {
                    println!("{file} {row}: {name}, expected {}", expected[index]);
                }
                if rules == RuleSet::C4 && expected[index] == "pass" {
                    edits += 1;
                    equal_edits += usize::from(format!("{:016x}", xxh64(text.as_bytes(), 0)) == expected[4]);
                }
            }
            let signature = hasher.signature(&texts[*row]);
            let bytes: Vec<u8> = signature.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
            let ours = signature.map_or(String::new(), |_| format!("{:016x}", xxh64(&bytes, 0)));
            signed += 1;
            if ours == expected[5] || (ours.is_empty() && !expected[5].chars().all(|c| c.is_ascii_hexdigit()))
            {
                equal_signatures += 1;
            } else {
                println!("{file} {row}: signature {ours}, expected {}", expected[5]);
            }
        }
    }
    println!(
        "documents {documents}, agree {agree:?}, edits {equal_edits}/{edits}, signatures {equal_signatures}/{signed}"
    );
    assert_eq!(agree, [documents; 4], "verdicts of each rule set that agree");
    assert_eq!((equal_edits, equal_signatures), (edits, signed), "texts that C4 leaves; signatures");
}
