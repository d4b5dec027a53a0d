//! Language scores beside fastText's own, legacy encodings read back, misread texts repaired: on the Declaration of Human
//! Rights in 388 files.
//!
//! `golden/lid_udhr.tsv` holds the two best labels that fastText 0.9.3 (PyPI) gives each file with `lid.176.ftz`, newlines as
//! blanks. All tests need `../shared/data/langid` and say so where it is absent.

use std::collections::BTreeMap;

use encoding_rs::Encoding;
use orchestrator_core::Document;
use orchestrator_text::Step;
use orchestrator_text::charset::{self, Hints};
use orchestrator_text::clean::{CleanConfig, CleanStep};
use orchestrator_text::fasttext::{Model, Scratch};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/langid");

/// The files: code and text. `None` where they are absent.
fn files() -> Option<Vec<(String, String)>> {
    let rows = std::fs::read(format!("{DATA}/udhr2_iso639-3.jsonl.zst")).ok()?;
    let rows = zstd::decode_all(&rows[..]).expect("zstd");
    let rows = String::from_utf8(rows).expect("UTF-8");
    let field = |row: &serde_json::Value, name: &str| row[name].as_str().expect("a field").to_owned();
    let rows = rows.lines().map(|row| {
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        (field(&row, "lang"), field(&row, "text"))
    });
    Some(rows.collect())
}

#[test]
fn scores_equal_fasttexts_own() {
    let Some(files) = files() else {
        println!("skipped: ../shared is absent");
        return;
    };
    let model = std::fs::read(format!("{DATA}/lid.176.ftz")).expect("beside the files");
    let model = Model::read(&model).expect("Facebook's file");
    let golden = include_str!("golden/lid_udhr.tsv");
    assert_eq!(golden.lines().count(), files.len());
    let (mut scratch, mut worst) = (Scratch::default(), 0.0_f32);
    for (line, (code, text)) in golden.lines().zip(&files) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], code);
        let found = model.predict(text, usize::MAX, &mut scratch);
        assert_eq!(found[0].0.strip_prefix("__label__"), Some(fields[1]), "{code}");
        // Second labels may have scores that differ by less than fastText's table of exponentials, in either order.
        for expected in fields[1..].chunks(2) {
            let label = format!("__label__{}", expected[0]);
            let score = found.iter().find(|(name, _)| *name == label).map_or(0.0, |(_, score)| *score);
            worst = worst.max((score - expected[1].parse::<f32>().expect("a score")).abs());
        }
    }
    println!("{} files, largest difference {worst:e}", files.len());
    assert!(worst < 1e-5, "{worst:e}");
}

/// What a text was written in before there was UTF-8: the first of these that has all its characters. The order is that of
/// use: an encoding for a language comes before one for many that could hold the same letters.
const LEGACY: [&str; 19] = [
    "windows-1252",
    "windows-1250",
    "windows-1251",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "windows-874",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-10",
    "iso-8859-14",
    "koi8-u",
    "shift_jis",
    "gbk",
    "big5",
    "euc-kr",
];

/// What is read wrong where nothing declares its encoding; the cause of each stands in docs/decisions/charsets.md.
const UNDETECTED: [(&str, &str); 5] = [
    ("bul", "GBK read as Big5"),
    ("krl", "windows-1250 read as windows-1252"),
    ("rmy", "windows-1252 read as windows-1257"),
    ("sco", "ISO-8859-3 read as windows-1252"),
    ("tzm", "windows-1258 read as windows-1252"),
];

#[test]
fn texts_come_back_from_their_legacy_encodings() {
    let Some(files) = files() else {
        println!("skipped: ../shared is absent");
        return;
    };
    let (mut all, mut plain) = (0, 0);
    let mut wrong: BTreeMap<&str, String> = BTreeMap::new();
    for (code, text) in &files {
        if text.is_ascii() {
            plain += 1;
            continue;
        }
        let encoded = LEGACY.iter().find_map(|label| {
            let encoding = Encoding::for_label(label.as_bytes()).expect("a known label");
            let (bytes, _, unmappable) = encoding.encode(text);
            (!unmappable).then(|| (encoding.name(), bytes.into_owned()))
        });
        // What no legacy encoding has was never written in one; its bytes were UTF-16.
        let (name, bytes) = encoded.unwrap_or_else(|| {
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            ("UTF-16LE", [0xff, 0xfe].into_iter().chain(units).collect())
        });
        all += 1;
        let declared = Hints { charset: Some(name), ..Hints::default() };
        assert_eq!(charset::decode(&bytes, declared).text, *text, "{code} in {name}, declared");
        let decoded = charset::decode(&bytes, Hints::default());
        if decoded.text != *text {
            wrong.insert(code, format!("{name} read as {}", decoded.encoding));
        }
    }
    println!("{} of {all} read back undeclared, {plain} more are ASCII", all - wrong.len());
    let known: BTreeMap<&str, String> =
        UNDETECTED.iter().map(|&(code, what)| (code, what.to_owned())).collect();
    assert_eq!(wrong, known);
}

/// What `clean` makes of a plain text.
fn cleaned(text: &str, repair_mojibake: bool) -> String {
    let config = CleanConfig { repair_mojibake, min_characters: 0, ..CleanConfig::default() };
    let mut document = Document::new("test", 0, text);
    CleanStep::new(&config).expect("valid").apply(&mut document, &mut Vec::new());
    document.text
}

#[test]
fn misread_texts_are_repaired_and_no_text_is_touched_that_was_right() {
    let Some(files) = files() else {
        println!("skipped: ../shared is absent");
        return;
    };
    let changed: Vec<&str> = files
        .iter()
        .filter(|(_, text)| cleaned(text, true) != cleaned(text, false))
        .map(|(code, _)| code.as_str())
        .collect();
    assert_eq!(changed, Vec::<&str>::new(), "texts that nobody misread");
    for (label, least) in
        [("windows-1252", 92), ("windows-1251", 87), ("windows-1250", 92), ("macintosh", 87)]
    {
        let encoding = Encoding::for_label(label.as_bytes()).expect("a known label");
        let (mut lines, mut right) = (0, 0);
        for (_, text) in files.iter().filter(|(_, text)| !text.is_ascii()).step_by(5) {
            let (misread, _) = encoding.decode_without_bom_handling(text.as_bytes());
            let (meant, repaired) = (cleaned(text, false), cleaned(&misread, true));
            for (meant, repaired) in
                meant.lines().zip(repaired.lines()).filter(|(meant, _)| !meant.is_ascii())
            {
                lines += 1;
                right += usize::from(meant == repaired);
            }
        }
        println!("{label}: {right} of {lines} misread lines come back");
        assert!(right * 100 >= lines * least, "{label}: {right} of {lines}");
    }
}
