//! The stage on hostile strings, pages and READMEs.

use proptest::prelude::*;

use super::*;

fn clean(config: &CleanConfig, media: Media, text: &str) -> (Decision, String, Vec<Note>) {
    let mut document = Document { media, ..Document::new("a", 0, text) };
    let mut notes = Vec::new();
    let decision = CleanStep::new(config).expect("a valid configuration").apply(&mut document, &mut notes);
    (decision, document.text, notes)
}

fn plain(text: &str) -> String {
    clean(&CleanConfig::default(), Media::Plain, text).1
}

#[test]
fn characters_and_lines_are_put_right() {
    assert_eq!(plain("\u{feff}a\u{0}b \t\r\n\r\n\n\n  cafe\u{301}  \n"), "ab\n\n  café");
    let collapse = CleanConfig {
        whitespace: Whitespace::Collapse,
        unicode: UnicodeForm::Nfkc,
        ..CleanConfig::default()
    };
    assert_eq!(clean(&collapse, Media::Plain, "  ﬁne \u{a0} day\n").1, "fine day");
    let repair = CleanConfig { repair_mojibake: true, ..CleanConfig::default() };
    assert_eq!(clean(&repair, Media::Plain, "GrÃ¼ÃŸe\nGrüße").1, "Grüße\nGrüße");
}

#[test]
fn empty_documents_drop() {
    assert_eq!(clean(&CleanConfig::default(), Media::Plain, " \n\t ").0, Decision::drop("too_short", 0));
    let five = CleanConfig { min_characters: 5, ..CleanConfig::default() };
    assert_eq!(clean(&five, Media::Plain, "äöüß").0, Decision::drop("too_short", 4));
}

#[test]
fn markdown_is_source_unless_stripped() {
    let readme = "# serde\n[![Build](https://x/y.svg)](https://ci) ![logo][1]\n<!-- hidden\nnote -->\nSee [docs](https://d).\n\n```\n[a](b) <!-- kept -->\n```\n[1]: https://l\n";
    assert_eq!(clean(&CleanConfig::default(), Media::Markdown, readme).1, readme.trim_end());
    let strip = CleanConfig { markdown: Markdown::Strip, ..CleanConfig::default() };
    let (_, text, notes) = clean(&strip, Media::Markdown, readme);
    assert_eq!(text, "# serde\n\nSee docs.\n\n```\n[a](b) <!-- kept -->\n```");
    let first = &notes[0];
    assert_eq!(&readme[first.start as usize..first.end as usize], "[![Build](https://x/y.svg)](https://ci)");
}

#[test]
fn frames_and_boilerplate_go() {
    let book = "The Project Gutenberg eBook\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\nText.\n\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicence";
    assert_eq!(plain(book), "Text.");
    let config = CleanConfig { boilerplate_lines: true, ..CleanConfig::default() };
    let page = "We use cookies to improve.\nThe cookies were baked.\n© Example Ltd 2020\nSubscribe to our newsletter!";
    assert_eq!(clean(&config, Media::Plain, page).1, "The cookies were baked.");
}

#[test]
fn pages_give_their_main_text_and_hostile_ones_drop() {
    let config = CleanConfig::default();
    let paragraph =
        "<p>The committee had not yet decided whether the letters would be published in spring.</p>";
    let page =
        format!("<html><body><nav>Home About</nav><article>{}</article></body></html>", paragraph.repeat(5));
    let (decision, text, notes) = clean(&config, Media::Html, &page);
    assert!(decision.is_keep() && text.contains("The committee") && !text.contains("Home"), "{text}");
    assert_eq!((notes.len(), notes[0].end), (1, page.len() as u64));
    let rule = |page: &str| match clean(&config, Media::Html, page).0 {
        Decision::Drop(reason) => reason.rule.into_owned(),
        Decision::Keep => "kept".to_owned(),
    };
    assert_eq!(rule(""), "no_main_text");
    assert_eq!(rule(&"<div>".repeat(100_000)), "html_too_deep");
    assert_eq!(rule(&" ".repeat((8 << 20) + 1)), "html_too_large");
    rule(&format!("{}text{}", "<div>".repeat(250), "</div>".repeat(250)));
    rule(&"<p><b>".repeat(120));
}

#[test]
fn naughty_strings_pass_and_stay_what_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/robustness");
    let Ok(folder) = std::fs::read_dir(path) else {
        println!("skipped: ../shared is absent");
        return;
    };
    for entry in folder.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("blns")) {
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).expect("a file")).into_owned();
        for line in text.lines() {
            assert_eq!(plain(&plain(line)), plain(line));
            for media in [Media::Markdown, Media::Html] {
                clean(&CleanConfig::default(), media, line);
            }
        }
    }
}

#[test]
fn configurations_round_trip_and_refuse_unknown_keys() {
    let config = CleanConfig { boilerplate_lines: true, ..CleanConfig::default() };
    let text = serde_json::to_string(&config).expect("a configuration");
    assert_eq!(serde_json::from_str::<CleanConfig>(&text).expect("its own text"), config);
    assert!(serde_json::from_str::<CleanConfig>(r#"{"unicod": "nfc"}"#).is_err());
}

proptest! {
    #[test]
    fn cleaning_twice_is_cleaning_once(text in "(?s).{0,80}", pick in 0usize..3) {
        let whitespace = [Whitespace::Keep, Whitespace::Lines, Whitespace::Collapse][pick];
        for unicode in [UnicodeForm::Nfc, UnicodeForm::Nfkc] {
            let config = CleanConfig { unicode, whitespace, ..CleanConfig::default() };
            let once = clean(&config, Media::Plain, &text).1;
            prop_assert_eq!(&clean(&config, Media::Plain, &once).1, &once);
        }
    }
}

#[test]
fn misread_text_is_repaired_by_option_only() {
    let repair = CleanConfig { repair_mojibake: true, ..CleanConfig::default() };
    assert_eq!(clean(&repair, Media::Plain, "grÃƒÂ¶ÃƒÅ¸er").1, "größer");
    assert_eq!(clean(&CleanConfig::default(), Media::Plain, "grÃ¶ÃŸer").1, "grÃ¶ÃŸer");
}
