//! The articles of a public benchmark (`../shared/data/html_extraction`); passes where that is absent.

use orchestrator_text::charset::{Hints, decode};
use orchestrator_text::html::{Structure, main_text};

#[test]
fn the_benchmark_s_articles_are_found() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/html_extraction/scrapinghub");
    let Ok(gold) = std::fs::read_to_string(format!("{folder}/ground-truth.json")) else {
        println!("skipped: ../shared is absent");
        return;
    };
    let gold: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&gold).expect("JSON");
    let (mut found, mut written, mut right) = (0, 0, 0);
    for (name, page) in &gold {
        let file = std::fs::File::open(format!("{folder}/html/{name}.html.gz")).expect("a page");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).expect("a page");
        let text =
            main_text(&decode(&bytes, Hints { is_html: true, ..Hints::default() }).text, Structure::Lines)
                .expect("a page within the bounds");
        let words = |text: &str| -> std::collections::BTreeSet<String> {
            text.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase).collect()
        };
        let (gold, text) = (words(page["articleBody"].as_str().expect("a text")), words(&text));
        (found, written, right) =
            (found + gold.len(), written + text.len(), right + gold.intersection(&text).count());
    }
    // By distinct words, not by the benchmark's shingles: `benches/compare/html_main_text.py` measures those.
    let (precision, recall) =
        (right as f64 / f64::from(written as u32), right as f64 / f64::from(found as u32));
    assert!(precision > 0.97 && recall > 0.97, "precision {precision}, recall {recall}");
}
