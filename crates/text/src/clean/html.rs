//! The text of an HTML page, with bounded work. Why trafilatura: `docs/decisions/html-main-text.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trafilatura::{ExtractionFocus, HtmlDateMode, Options};

use super::Extract;

/// Larger pages are data, not articles, and parsing them takes seconds.
const MAX_BYTES: usize = 8 << 20;
/// Deeper pages are broken or hostile; the extractor's walks recurse.
const MAX_DEPTH: usize = 256;

/// Elements that never have content, or that the parser closes by itself.
const NOT_NESTING: [&str; 26] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
    "param", "p", "li", "dt", "dd", "option", "tr", "td", "th", "tbody", "thead", "html", "body",
];

/// Why a page gave no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    TooDeep,
    Failed,
    NoMainText,
}

impl Fault {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::TooLarge => "html_too_large",
            Self::TooDeep => "html_too_deep",
            Self::Failed => "extraction_failed",
            Self::NoMainText => "no_main_text",
        }
    }
}

pub(super) fn text(html: &str, extract: Extract) -> Result<String, Fault> {
    if html.len() > MAX_BYTES {
        return Err(Fault::TooLarge);
    }
    if is_deeper_than(html, MAX_DEPTH) {
        return Err(Fault::TooDeep);
    }
    // The extractor is a port full of indexing: one page must not take its task down.
    let text = catch_unwind(AssertUnwindSafe(|| match extract {
        Extract::Main => {
            let options = Options::default()
                .with_focus(ExtractionFocus::FavorPrecision)
                .with_fallback(true)
                .with_exclude_comments(true)
                .with_html_date_mode(HtmlDateMode::Disabled);
            trafilatura::extract(html, &options).map(|result| result.content_text).unwrap_or_default()
        }
        // It takes only what begins as a page; the parser merges a second `html` into the first.
        Extract::All => trafilatura::html2txt(&format!("<html>{html}")),
    }))
    .map_err(|_| Fault::Failed)?;
    if text.trim().is_empty() { Err(Fault::NoMainText) } else { Ok(text) }
}

/// Whether more than `bound` elements may be open at once: opening tags less closing ones, read without a parser.
fn is_deeper_than(html: &str, bound: usize) -> bool {
    let bytes = html.as_bytes();
    let mut depth = 0_usize;
    for at in memchr::memchr_iter(b'<', bytes) {
        let rest = &bytes[at + 1..];
        let (closes, rest) = match rest.strip_prefix(b"/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let length = rest.iter().take(16).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let name = &rest[..length];
        if length == 0 || NOT_NESTING.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes())) {
            continue;
        }
        depth = if closes { depth.saturating_sub(1) } else { depth + 1 };
        if depth > bound {
            return true;
        }
    }
    false
}
