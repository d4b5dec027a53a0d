//! The text of pages, and the bounds of the work on hostile ones.

use proptest::prelude::*;

use super::*;

const PARAGRAPH: &str =
    "The committee had not yet decided whether the letters would be published in spring, or ever.";

fn lines(page: &str) -> String {
    main_text(page, Structure::Lines).expect("a page within the bounds")
}

fn markdown(page: &str) -> String {
    main_text(page, Structure::Markdown).expect("a page within the bounds")
}

/// `count` paragraphs that differ.
fn prose(count: usize) -> String {
    (0..count).fold(String::new(), |page, number| page + &format!("<p>{number}. {PARAGRAPH}</p>"))
}

#[test]
fn the_article_is_found_and_its_surroundings_are_not() {
    let page = format!(
        "<title>News</title><body><div class='nav-bar'><a href=/>Home</a></div>\
         <div id=wrap class='with-sidebar'><div class=article-body><h1>Title</h1>{}\
         <div class='share-buttons'>Share this with everybody you know, please.</div>\
         <p>Read also: <a href=/x>Another story of the same kind</a></p><h3>Related</h3></div>\
         <div class=sidebar>{PARAGRAPH}</div></div>\
         <div id=comments>{}</div><footer>{PARAGRAPH}</footer>",
        prose(4),
        prose(9),
    );
    let expected: Vec<String> = (0..4).map(|number| format!("{number}. {PARAGRAPH}")).collect();
    assert_eq!(lines(&page), expected.join("\n"));
}

#[test]
fn suspicious_names_do_not_empty_a_page() {
    for (open, close) in [
        ("<div class='content sidebar-right'>", "</div>"),
        ("<form id=aspnetForm>", "</form>"),
        ("<div class=comment-thread>", "</div>"),
        ("<div style='display: none'>", "</div>"),
        ("<footer>", "</footer>"),
    ] {
        let page = format!("<body>{open}{}{close}<p>Imprint</p>", prose(5));
        assert!(lines(&page).contains("4. The committee"), "{open}");
    }
}

#[test]
fn paragraphs_beside_the_container_are_of_its_text() {
    let page = format!("<body><div><p>First of all, {PARAGRAPH}</p><div class=ugc>{}</div></div>", prose(6));
    assert!(lines(&page).starts_with("First of all, The committee"));
}

#[test]
fn structure_is_kept_as_markdown_when_asked() {
    let page = format!(
        "<article><h1>Title</h1>{p}<h2>List</h2><ol><li>one<ul><li>inner</li></ul><li>two</ol>\
         <blockquote><p>{PARAGRAPH}</p></blockquote>\
         <p>Run <code>cargo test</code>, then wait. {PARAGRAPH}</p>\
         <pre><code class='hl language-rust'>fn main() {{\n    let x = 1 &lt; 2;\n}}</code></pre>\
         <table><tr><th>Name<th>Size<tr><td>a|b<td>10 kB</table>{p}</article>",
        p = prose(2),
    );
    let text = markdown(&page);
    let first =
        format!("# Title\n\n0. {PARAGRAPH}\n\n1. {PARAGRAPH}\n\n## List\n\n1. one\n  - inner\n2. two\n");
    assert!(text.starts_with(&first), "{text}");
    for part in [
        format!("\n\n> {PARAGRAPH}\n\n"),
        format!("Run `cargo test`, then wait. {PARAGRAPH}\n\n"),
        "```rust\nfn main() {\n    let x = 1 < 2;\n}\n```\n\n".to_owned(),
        "| Name | Size |\n| --- | --- |\n| a\\|b | 10 kB |\n\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} is missing in\n{text}");
    }
    let text = lines(&page);
    assert!(text.contains("\n    let x = 1 < 2;\n") && text.contains("\nName\tSize\na|b\t10 kB\n"), "{text}");
    assert!(!text.contains("Title"), "the title is no line of the text");
}

#[test]
fn a_table_that_lays_out_a_page_is_no_table() {
    let page = format!("<body><table><tr><td>{}</td><td>{}</td></tr></table>", prose(3), prose(3));
    assert!(!markdown(&page).contains('|') && lines(&page).lines().count() >= 3);
}

#[test]
fn all_text_is_what_is_shown() {
    let page = "<body><nav>Home</nav><script>var x = '</p>';</script><p hidden>no</p><p>a<br>b</p><svg><text>no</text></svg>";
    assert_eq!(all_text(page, Structure::Lines).expect("a small page"), "Home\na\nb");
}

#[test]
fn pages_in_chinese_have_prose_too() {
    let sentence = "委员会尚未决定这些信件是否会在春天出版，也没有说明原因。";
    let page = format!(
        "<div class=nav><a href=/>首页</a></div><div><p>{sentence}</p><p>{sentence}他说。</p></div><p>版权所有</p>"
    );
    assert_eq!(lines(&page), format!("{sentence}\n{sentence}他说。"));
}

#[test]
fn bounds_are_faults() {
    let fault = |page: &str| main_text(page, Structure::Lines).expect_err("a page out of bounds");
    assert_eq!(fault(&" ".repeat(MAX_BYTES + 1)), Fault::TooLarge);
    assert_eq!(fault(&"<div>".repeat(1000)), Fault::TooDeep);
    assert_eq!(fault(&"<svg>".repeat(1000)), Fault::TooDeep);
    assert_eq!(fault(&"<hr>".repeat(1 << 21)), Fault::TooManyNodes);
    // Formatting that nobody closes is common, and harmless.
    assert!(lines(&format!("<body>{}{}", "<font>".repeat(1000), prose(3))).contains("2. The committee"));
}

/// Pages of 8 MiB or just within the bound of nodes, each built against one loop of the extractor.
fn hostile() -> Vec<(&'static str, String)> {
    // `nodes` is how many a piece adds.
    let fill = |start: &str, piece: &str, nodes: usize, end: &str| {
        let by_nodes = ((1 << 20) - 2000_usize).checked_div(nodes).unwrap_or(usize::MAX);
        format!(
            "{start}{}{end}",
            piece.repeat(((MAX_BYTES - start.len() - end.len()) / piece.len()).min(by_nodes))
        )
    };
    let deep = "<div>".repeat(250);
    let names = (0..1_000_000).fold(String::new(), |names, number| names + " a" + &number.to_string());
    vec![
        ("one text", fill("<p>", "The committee had not decided. ", 0, "")),
        ("one text of references", fill("<p>", "&amp;&#x41;&nosuch;&", 0, "")),
        ("ampersands", fill("<p>", "&", 0, "")),
        ("no spaces", fill("<p>", "a", 0, "")),
        ("spaces", fill("<p>x", " ", 0, "x")),
        ("equal attributes", fill("<p ", "a=1 ", 0, ">x")),
        ("a million attributes", format!("<p{names}>x")),
        ("a class", fill("<p class='", "article share-", 0, "'>x")),
        ("classes", fill("", "<b class='article-body share'>x", 2, "")),
        ("open quotation", fill("<p a=\"", "<p a=", 0, "")),
        ("less than", fill("", "<", 0, "")),
        ("unfinished tags", fill("", "<p ", 0, "")),
        ("unfinished comments", fill("", "<!-- ", 0, "")),
        ("comments of hyphens", fill("<!--", "--!-", 0, "")),
        ("bogus comments", fill("", "</ >", 0, "")),
        ("declarations", fill("", "<!x>", 0, "")),
        ("unfinished scripts", fill("<script>", "<!--<script>", 0, "")),
        ("scripts", fill("", "<script></script>", 0, "")),
        ("unclosed paragraphs", fill("", "<p>x", 2, "")),
        ("unclosed formatting", fill("", "<b><i><a href=x>y", 4, "")),
        ("unclosed items", fill("<ol>", "<li>x", 2, "")),
        ("unclosed cells", fill("<table><tr>", "<td>x", 2, "")),
        ("unclosed rows", fill("<table>", "<tr><td>x<td>y", 5, "")),
        ("unknown elements", fill("", "<x-y>z</y-x>", 2, "")),
        ("end tags of nothing", fill(&deep, "</span></p></section>", 0, "")),
        ("end tags across cells", fill(&format!("<p><table><td>{deep}"), "</p></b></a>", 0, "")),
        ("paragraphs down below", fill(&deep, "<p>The committee had not decided.", 2, "")),
        ("lists down below", fill(&"<ul><li>".repeat(120), "<li>The committee had not decided.", 2, "")),
        ("lists side by side", fill("", "<ol><li>The committee had not decided.</ol>", 3, "")),
        ("short links", fill("", "<p><a href=x>read more</a>", 3, "")),
        ("line breaks", fill("<p>", "The committee<br>", 2, "")),
        ("headings", fill("", "<h2>The committee</h2>", 2, "")),
        ("code", fill("<pre>", "<code>x</code>\n", 3, "")),
        ("tables", fill("", "<table><tr><td>x<td>y</table>", 6, "")),
        (
            "tables within tables",
            fill(&"<table><tr><td>".repeat(80), "<td>The committee had not decided.", 2, ""),
        ),
    ]
}

/// What is quadratic takes minutes on these pages, and the suite's time-out names it; how long each takes,
/// `benches/compare/html_main_text.py` says.
#[test]
fn hostile_pages_end_in_a_text_or_a_refusal() {
    for (name, page) in hostile() {
        for structure in [Structure::Lines, Structure::Markdown] {
            let text = main_text(&page, structure);
            assert!(text.as_ref().map_or(true, |text| text.len() <= 4 * page.len()), "{name} grew");
        }
        all_text(&page, Structure::Markdown).ok();
    }
}

proptest! {
    #[test]
    fn no_page_panics(pieces in prop::collection::vec(0_usize..PIECES.len(), 0..60), noise in "(?s).{0,20}") {
        let page: String = pieces.iter().map(|piece| PIECES[*piece]).collect::<String>() + &noise;
        for structure in [Structure::Lines, Structure::Markdown] {
            main_text(&page, structure).expect("a small page");
            all_text(&page, structure).expect("a small page");
        }
    }
}

const PIECES: &[&str] = &[
    "<p>",
    "</p>",
    "<div class='article-body'>",
    "</div>",
    "<ul>",
    "<ol>",
    "<li>",
    "</ul>",
    "<table>",
    "<tr>",
    "<td>",
    "</td>",
    "</table>",
    "<pre>",
    "</pre>",
    "<code>",
    "</code>",
    "<a href=x>",
    "</a>",
    "<b>",
    "</b>",
    "<br>",
    "<h1>",
    "<h2>",
    "</h2>",
    "<blockquote>",
    "</blockquote>",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "<title>",
    "</title>",
    "<select>",
    "<option>",
    "<nav>",
    "</nav>",
    "<svg>",
    "</svg>",
    "&amp;",
    "&",
    "<",
    "</",
    "<x-y>",
    "</x-y>",
    " ",
    "\n",
    "x",
    "日本。",
    "The committee had not yet decided whether the letters would be published in spring.",
    "<plaintext>",
    "<p hidden>",
    "<textarea>",
    "</textarea>",
    "<dl>",
    "<dt>",
    "<dd>",
    "<form>",
    "</form>",
    "\u{a0}",
    "<img alt='",
];
