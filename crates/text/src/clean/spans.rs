//! Spans that go: Markdown's machinery, Project Gutenberg's frame, boilerplate lines.

use std::ops::Range;
use std::sync::LazyLock;

use orchestrator_core::Media;
use regex::Regex;

use super::{CleanConfig, Markdown, characters};

/// A rule's name and the bytes it removes.
pub(super) type Removed = (&'static str, Range<usize>);

/// Boilerplate lines are short: a paragraph that names cookies is about them.
const MAX_BOILERPLATE_BYTES: usize = 160;

#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles each")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a valid pattern")
}

static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<!--.*?-->"));
static IMAGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\[!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])\](?:\([^)\n]*\)|\[[^\]\n]*\])|!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])",
    )
});
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\[)[^\[\]\n]+(\](?:\([^)\n]*\)|\[[^\]\n]*\]))"));
static DEFINITION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^ {0,3}\[[^\]\n]+\]:[ \t]+\S[^\n]*\n?"));
static GUTENBERG_START: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\*{3} ?START OF (?:THE|THIS) PROJECT GUTENBERG [^\n]*(?:\n|$)"));
static GUTENBERG_END: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^(?:\*{3} ?END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg)")
});
static BOILERPLATE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)^\W*(?:(?:this|our) (?:web)?site uses cookies\b|we use cookies\b|accept (?:all )?cookies\b|cookie policy\W*$",
        r"|privacy policy\W*$|terms of (?:use|service)\W*$|all rights reserved\W*$|(?:copyright|©|\(c\)) .*\b\d{4}\b",
        r"|(?:subscribe|sign up) (?:to|for) (?:our|the|my) .*(?:newsletter|updates)\b|subscribe now\W*$",
        r"|share (?:this )?on (?:facebook|twitter|x|linkedin|pinterest)\b|read more\W*$|skip to (?:main )?content\W*$)",
    ))
});

/// Finds what goes, in order and without overlaps.
pub(super) fn find(text: &str, media: Media, config: &CleanConfig) -> Vec<Removed> {
    let mut found: Vec<Removed> = Vec::new();
    if media == Media::Markdown && config.markdown == Markdown::Strip {
        markdown(text, &mut found);
    }
    let names_it = |name: &str| memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some();
    if config.gutenberg && names_it("GUTENBERG") {
        let start = GUTENBERG_START.find(text).map_or(0, |start| start.end());
        if start > 0 {
            found.push(("gutenberg", 0..start));
            // A footer counts only under a header: a book about the project may name it.
            if let Some(end) = GUTENBERG_END.find_at(text, start) {
                found.push(("gutenberg", end.start()..text.len()));
            }
        }
    }
    if config.boilerplate_lines {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if line.len() <= MAX_BOILERPLATE_BYTES {
                let clean = characters::characters(line.trim(), config);
                if BOILERPLATE.is_match(clean.trim()) {
                    found.push(("boilerplate_line", start..start + line.len()));
                }
            }
            start += line.len();
        }
    }
    found.sort_by_key(|(_, span)| (span.start, std::cmp::Reverse(span.end)));
    let mut end = 0;
    found.retain_mut(|(_, span)| {
        span.start = span.start.max(end);
        end = end.max(span.end);
        span.start < span.end
    });
    found
}

/// The text without the spans.
pub(super) fn remove(text: &str, spans: &[Removed]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (_, span) in spans {
        out.push_str(&text[at..span.start]);
        at = span.end;
    }
    out.push_str(&text[at..]);
    out
}

fn markdown(text: &str, found: &mut Vec<Removed>) {
    let mut start = 0;
    for code in fences(text).into_iter().chain(std::iter::once(text.len()..text.len())) {
        let prose = &text[start..code.start];
        let mut add = |rule, span: Range<usize>| found.push((rule, start + span.start..start + span.end));
        COMMENT.find_iter(prose).for_each(|comment| add("html_comment", comment.range()));
        IMAGE.find_iter(prose).for_each(|image| add("image", image.range()));
        DEFINITION.find_iter(prose).for_each(|definition| add("link_target", definition.range()));
        for link in LINK.captures_iter(prose) {
            [1, 2]
                .iter()
                .filter_map(|&group| link.get(group))
                .for_each(|part| add("link_target", part.range()));
        }
        start = code.end;
    }
}

/// The fenced code blocks; one that is never closed ends with the text.
fn fences(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut open, mut at) = (Vec::new(), None, 0);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|&mark| trimmed.starts_with(mark));
        match (open, mark) {
            (None, Some(mark)) => open = Some((at, mark)),
            (Some((start, opened)), Some(mark)) if opened == mark => {
                found.push(start..at + line.len());
                open = None;
            }
            _ => {}
        }
        at += line.len();
    }
    found.extend(open.map(|(start, _)| start..text.len()));
    found
}
